// What the listener sees and touches.

import { Feed, sleep } from "./feed.mjs";
import { NativePlayer, Player, WATCH_MS, canStream } from "./player.mjs";
import { itemsAt } from "./m3u8.mjs";
import { canVerify } from "./block.mjs";

const KINDS = { jingle: "Station identification", filler: "Between programmes" };

function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/// A hue of its own for each title.
function hueOf(text) {
  return [...text].reduce((hash, letter) => (hash * 31 + letter.codePointAt(0)) % 360, 7);
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/// Brings the page to life. `config` has `title`, `station`, `stream` and `gateways`.
export function start(config, document, window) {
  const $ = (id) => document.getElementById(id);
  const audio = $("audio");
  const feed = new Feed(window.location.href, config.stream, config.gateways);
  const player = new (canStream ? Player : NativePlayer)(audio, feed);
  let refused = false;

  const toggle = () => (player.wanted ? player.pause() : play());
  const play = async () => {
    refused = false;
    try {
      await player.play();
    } catch (error) {
      // A new source or a pause interrupts an earlier wish to play; only a browser that wants a click says "not allowed".
      if (error.name !== "NotAllowedError" && error.name !== "NotSupportedError") return;
      refused = error.name === "NotSupportedError";
      player.pause();
    }
  };

  function state() {
    const air = player.air();
    const list = feed.list;
    const [now, next] = list ? itemsAt(list, air > 0 ? air : Date.now() - 2000 * list.target) : [null, null];
    return {
      mode: canStream ? "mse" : "native",
      playing: player.wanted && !audio.paused,
      position: audio.currentTime,
      air,
      lag: player.lag(),
      buffered: player.buffered(),
      stalls: player.stalls,
      skipped: player.skipped,
      sequence: player.sequence(),
      end: list?.end ?? NaN,
      verified: canVerify,
      error: player.lastError ?? "",
      now,
      next,
    };
  }

  function words({ playing, buffered, lag, air }) {
    if (refused) return "This browser cannot play the stream. Open the list in a player instead.";
    if (!feed.list) return feed.failures > 1 ? "Waiting for the station…" : "Connecting…";
    const { start, duration } = feed.list.segments.at(-1);
    const silence = Date.now() - start - duration * 1000;
    if (silence > 30_000 && feed.quiet + feed.failures > 2) return `No news from the station for ${clock(silence)}`;
    if (!player.wanted) return "Press play to listen";
    if (!playing || !(air > 0) || buffered < 0.1) return "Tuning in…";
    const behind = lag >= 0 && lag < 3600 ? ` · ${Math.round(lag)} s behind the air` : "";
    return `${Math.round(buffered)} s in the buffer${behind}`;
  }

  function show() {
    const told = state();
    const { now, next, air, playing } = told;
    const at = air > 0 ? air : Date.now() - 2000 * (feed.list?.target ?? 0);
    const part = now && now.end > now.start ? Math.min(1, Math.max(0, (at - now.start) / (now.end - now.start))) : 0;
    put($("title"), now?.title || (feed.list ? config.title : "…"));
    put($("artist"), now?.artist || KINDS[now?.kind] || " ");
    picture(now?.cover ?? "");
    put($("next"), next ? [next.artist, next.title].filter(Boolean).join(" – ") || KINDS[next.kind] : "–");
    put($("state"), words(told));
    put($("elapsed"), part > 0 ? clock(at - now.start) : "0:00");
    put($("left"), part > 0 ? `−${clock(now.end - at)}` : "0:00");
    $("progress").setAttribute("aria-valuenow", String(Math.round(part * 100)));
    $("progress").style.setProperty("--part", String(part));
    document.documentElement.style.setProperty("--hue", String(hueOf(now ? now.artist + now.title : config.title)));
    document.documentElement.dataset.state = playing && told.buffered > 0.1 ? "playing" : player.wanted ? "tuning" : "off";
    $("play").setAttribute("aria-label", player.wanted ? "Pause" : "Play");
    announce(now);
  }

  let pictured = "";
  /// Shows the picture of the item once it is there: a gateway may not have it.
  function picture(path) {
    if (path === pictured) return;
    pictured = path;
    $("cover").hidden = true;
    if (path) $("cover").src = path;
    else $("cover").removeAttribute("src");
  }

  let announced = "";
  function announce(now) {
    const name = now ? [now.artist, now.title].filter(Boolean).join(" – ") : "";
    if (name === announced) return;
    announced = name;
    document.title = name ? `${name} · ${config.title}` : config.title;
    const session = window.navigator.mediaSession;
    if (session && window.MediaMetadata) {
      const artwork = now?.cover ? [{ src: new URL(now.cover, window.location.href).href }] : [];
      session.metadata = new MediaMetadata({ title: now?.title ?? "", artist: now?.artist ?? "", album: config.title, artwork });
    }
  }

  function remember(volume) {
    audio.volume = volume;
    try {
      localStorage.setItem("volume", String(volume));
    } catch {
      // Some gateways give a page no storage; the volume is then new each time.
    }
  }

  function recalled() {
    try {
      const volume = parseFloat(localStorage.getItem("volume"));
      return volume >= 0 && volume <= 1 ? volume : 1;
    } catch {
      return 1;
    }
  }

  $("play").addEventListener("click", toggle);
  $("cover").addEventListener("load", () => ($("cover").hidden = false));
  $("volume").value = String(recalled());
  audio.volume = recalled();
  $("volume").addEventListener("input", (event) => remember(Number(event.target.value)));
  // The browser may pause too: a headset is pulled, a call comes in.
  audio.addEventListener("pause", () => (player.wanted &&= !audio.paused || audio.error !== null));
  $("list").href = feed.lists[0];
  const session = window.navigator.mediaSession;
  session?.setActionHandler("play", play);
  session?.setActionHandler("pause", () => player.pause());

  (async () => {
    for (;;) {
      await feed.refresh();
      show();
      // A page that nobody sees or hears asks seldom.
      await sleep(document.hidden && !player.wanted ? 60_000 : feed.pause());
    }
  })();
  player.run();
  setInterval(() => (player.watch(), show()), WATCH_MS);
  window.radio = { state, play, pause: () => player.pause() };
  if (/[?#&]autoplay\b/.test(window.location.search + window.location.hash)) play();
}
