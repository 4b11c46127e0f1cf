// Plays the list through Media Source Extensions: every frame has its place in samples, so joins are exact.

import { FRAME_SAMPLES, demux } from "./ts.mjs";
import { initSegment, mediaSegment } from "./fmp4.mjs";
import { startIn } from "./m3u8.mjs";
import { backoff, sleep } from "./feed.mjs";

const MIME = 'audio/mp4; codecs="mp4a.40.2"';
/// How far ahead of the ear segments are fetched.
const AHEAD_SECONDS = 120;
/// How much of what was heard is kept.
const BEHIND_SECONDS = 30;
/// How many segments are fetched at a time.
const AT_ONCE = 3;
/// A listener who is later than this after a silence goes back to the air.
const LATE_SECONDS = 90;
/// How often `watch` is called.
export const WATCH_MS = 250;

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

/// Whether this browser can play through media sources.
export const canStream = Boolean(Source?.isTypeSupported(MIME));

export class Player {
  /// `audio` is the element to play on, `feed` where everything comes from, `now` the listener's clock in ms.
  constructor(audio, feed, now = Date.now) {
    this.audio = audio;
    this.feed = feed;
    this.now = now;
    this.wanted = false;
    this.stalls = 0;
    this.skipped = 0;
    this.failures = 0;
    this.#forget();
    audio.addEventListener("error", () => this.#rebuild());
  }

  /// Called from a click. Comes back to the air when it was paused for long.
  async play() {
    this.wanted = true;
    if (!this.media) this.#build();
    else if (this.feed.list && this.#isLater(this.sequence(), 2)) this.#goToAir();
    await this.audio.play();
  }

  pause() {
    this.wanted = false;
    this.audio.pause();
  }

  /// Where a listener who starts now starts: two segments behind the air, so that a late segment is not heard.
  #start() {
    const { list } = this.feed;
    return startIn(list, this.now() - 2000 * list.target);
  }

  /// Whether `sequence` lies more than `segments` before what a new listener would hear.
  #isLater(sequence, segments) {
    return this.#start().sequence > sequence + segments;
  }

  /// The air time that is heard, in ms since 1970; NaN before there is sound.
  air() {
    const place = this.#placeAt(this.audio.currentTime);
    return place ? place.start + (this.audio.currentTime - place.from) * 1000 : NaN;
  }

  /// Seconds behind the air.
  lag() {
    return (this.now() - this.air()) / 1000;
  }

  /// Seconds that are ready to be heard.
  buffered() {
    const { buffered, currentTime } = this.audio;
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  /// Media sequence of the segment that is heard.
  sequence() {
    return this.#placeAt(this.audio.currentTime)?.sequence ?? NaN;
  }

  /// Fetches and appends for ever. Every failure is waited out.
  async run() {
    for (;;) {
      try {
        await this.#step();
        this.failures = 0;
      } catch (error) {
        this.failures += 1;
        this.lastError = String(error);
        await sleep(backoff(this.failures));
      }
    }
  }

  /// To be called a few times a second: counts silences that nobody asked for.
  watch() {
    const { currentTime, paused, seeking } = this.audio;
    const still = currentTime === this.lastTime && !paused && !seeking && this.wanted;
    this.lastTime = currentTime;
    this.stillFor = still ? this.stillFor + 1 : 0;
    if (this.heard && this.stillFor === 2) this.stalls += 1;
    if (this.stillFor >= 2) this.#unstick();
    this.heard ||= !paused && currentTime > this.firstTime + 0.2;
  }

  #forget() {
    for (const [, { over }] of this.pending ?? []) over.abort();
    Object.assign(this, { media: null, buffer: null, cursor: NaN, jump: null, retuned: false, fragments: 0 });
    // The end of what is appended, in samples of `format.rate`.
    Object.assign(this, { samples: 0, format: { rate: 1 } });
    Object.assign(this, { pending: new Map(), places: [], heard: false, stillFor: 0, lastTime: -1, firstTime: Infinity });
  }

  #build() {
    const media = new Source();
    this.media = media;
    this.audio.disableRemotePlayback = true;
    this.audio.src = URL.createObjectURL(media);
    media.addEventListener("sourceopen", () => {
      URL.revokeObjectURL(this.audio.src);
      if (media !== this.media || this.buffer) return;
      this.buffer = media.addSourceBuffer(MIME);
      media.duration = Infinity;
    });
  }

  /// The element has failed: everything is set up anew, at the air.
  async #rebuild() {
    if (!this.media) return;
    this.lastError = this.audio.error?.message ?? "";
    this.stalls += this.heard ? 1 : 0;
    this.#forget();
    await sleep(backoff(this.failures++));
    if (this.media) return;
    this.#build();
    if (this.wanted) this.audio.play().catch(() => {});
  }

  /// The end of what is appended, in seconds.
  #end() {
    return this.samples / this.format.rate;
  }

  #placeAt(time) {
    return this.places.findLast((place) => place.from <= time + 1e-3);
  }

  async #step() {
    const { list } = this.feed;
    if (this.buffer && this.media.readyState !== "open") return this.#rebuild();
    if (!list || !this.buffer || this.#isFull()) return sleep(200);
    if (!(this.cursor >= list.sequence) || this.#isLost(list)) this.#goToAir();
    if (this.cursor >= list.end) return sleep(200);
    this.#fetchAhead(list);
    const fetch = this.pending.get(this.cursor);
    const done = await Promise.race([fetch.bytes.then(() => true, () => false), sleep(1000)]);
    if (this.pending.get(this.cursor) !== fetch) return;
    if (!done) return this.#skipIfStuck(list);
    if (this.#cameTooLate()) return this.#goToAir();
    this.pending.delete(this.cursor);
    this.cursor += 1;
    await this.#append(fetch.segment, await fetch.bytes);
  }

  #isFull() {
    const ahead = this.#end() - this.audio.currentTime;
    return ahead > AHEAD_SECONDS || (this.media.streaming === false && ahead > 10);
  }

  /// Silent, and so far behind that going on would not be the radio any more.
  #isLost(list) {
    return this.buffered() < 0.5 && this.#isLater(this.cursor, LATE_SECONDS / list.target);
  }

  /// The first segment took so long that another one airs by now. Once only: a slow line must not begin for ever.
  #cameTooLate() {
    if (this.jump === null || this.retuned || !this.#isLater(this.cursor, 3)) return false;
    this.retuned = true;
    return true;
  }

  /// Goes to what airs now; what is at hand already is not fetched again.
  #goToAir() {
    const { sequence, into } = this.#start();
    this.heard = false;
    const held = this.places.find((place) => place.sequence === sequence);
    if (held) return this.#seek(held.from + into);
    // Nothing of what is left from before is to be heard meanwhile.
    if (this.samples > 0) this.audio.currentTime = this.#end();
    for (const [, { over }] of this.pending) over.abort();
    this.pending.clear();
    this.cursor = sequence;
    this.jump = into;
  }

  #fetchAhead(list) {
    for (let sequence = this.cursor; sequence < Math.min(this.cursor + AT_ONCE, list.end); sequence += 1) {
      if (this.pending.has(sequence)) continue;
      const over = new AbortController();
      const segment = list.segments[sequence - list.sequence];
      const fetch = { over, segment, ready: false, bytes: this.feed.segment(segment, over.signal) };
      fetch.bytes.then(() => (fetch.ready = true), () => {});
      this.pending.set(sequence, fetch);
    }
  }

  /// One segment that nobody has must not silence the station: the next one at hand is played.
  #skipIfStuck(list) {
    if (this.buffered() > 0.5) return;
    const next = [...this.pending.keys()].filter((sequence) => this.pending.get(sequence).ready).sort((a, b) => a - b)[0];
    if (!(next > this.cursor) || this.stillFor * WATCH_MS < 1000 * list.target) return;
    for (; this.cursor < next; this.cursor += 1) {
      this.pending.get(this.cursor)?.over.abort();
      this.pending.delete(this.cursor);
      this.skipped += 1;
    }
  }

  async #append(segment, bytes) {
    const audio = this.#demuxed(segment, bytes);
    if (!audio) return;
    const { frames, ...format } = audio;
    if (JSON.stringify(this.format) !== JSON.stringify(format)) {
      await this.#feedBuffer(initSegment(format));
      this.samples = Math.round(this.#end() * format.rate);
      this.format = format;
    }
    await this.#feedBuffer(mediaSegment(++this.fragments, this.samples, frames));
    const from = this.#end();
    this.samples += frames.length * FRAME_SAMPLES;
    this.places.push({ sequence: segment.sequence, from, start: segment.start });
    if (this.jump !== null) this.#seek(from + this.jump);
    await this.#trim();
  }

  /// A segment that cannot be read is passed over, like one that nobody has.
  #demuxed(segment, bytes) {
    try {
      return demux(bytes);
    } catch (error) {
      this.lastError = `segment ${segment.sequence}: ${error.message}`;
      this.skipped += 1;
      return null;
    }
  }

  #seek(time) {
    this.jump = null;
    this.retuned = false;
    this.audio.currentTime = time;
    this.firstTime = time;
  }

  /// The ear stands just before sound that is there: a rounding of the browser's, never more.
  #unstick() {
    const { buffered, currentTime } = this.audio;
    for (let i = 0; i < buffered.length; i += 1) {
      const gap = buffered.start(i) - currentTime;
      if (gap > 0 && gap < 1) this.audio.currentTime = buffered.start(i) + 0.01;
    }
  }

  async #trim() {
    const end = this.audio.currentTime - BEHIND_SECONDS;
    if (!(end > this.places[0]?.from + BEHIND_SECONDS)) return;
    await this.#whenDone(() => this.buffer.remove(0, end));
    const heard = this.#placeAt(end);
    this.places = this.places.filter((place) => place.from >= heard.from);
  }

  async #feedBuffer(bytes) {
    for (;;) {
      try {
        return await this.#whenDone(() => this.buffer.appendBuffer(bytes));
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
        await this.#trim();
        await sleep(1000);
      }
    }
  }

  #whenDone(work) {
    const { buffer } = this;
    return new Promise((resolve, reject) => {
      const over = new AbortController();
      const settle = (finish) => (event) => (over.abort(), finish(event));
      buffer.addEventListener("updateend", settle(resolve), { signal: over.signal });
      buffer.addEventListener("error", settle(() => reject(new Error("the browser refused a segment"))), { signal: over.signal });
      try {
        work();
      } catch (error) {
        settle(reject)(error);
      }
    });
  }
}

/// Where media sources are missing the browser plays the list itself, if it can.
export class NativePlayer {
  constructor(audio, feed, now = Date.now) {
    Object.assign(this, { audio, feed, now, wanted: false, stalls: 0, skipped: 0, failures: 0 });
    audio.addEventListener("error", () => this.#again());
    audio.addEventListener("ended", () => this.#again());
    audio.addEventListener("playing", () => (this.failures = 0));
    audio.addEventListener("waiting", () => (this.stalls += audio.currentTime > 1 ? 1 : 0));
  }

  /// Called from a click; always from the air.
  async play() {
    this.wanted = true;
    this.audio.src = this.feed.lists[0];
    await this.audio.play();
  }

  pause() {
    this.wanted = false;
    this.audio.pause();
  }

  async #again() {
    await sleep(backoff(this.failures++));
    if (this.wanted) this.play().catch(() => {});
  }

  air() {
    const start = this.audio.getStartDate?.().getTime() ?? NaN;
    if (start > 0) return start + this.audio.currentTime * 1000;
    return this.audio.paused ? NaN : this.now() - 2000 * (this.feed.list?.target ?? 6);
  }

  lag() {
    return (this.now() - this.air()) / 1000;
  }

  buffered() {
    const { buffered, currentTime } = this.audio;
    return buffered.length > 0 ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0;
  }

  sequence() {
    const [segments, air] = [this.feed.list?.segments ?? [], this.air()];
    const lasts = (segment) => air < segment.start + segment.duration * 1000;
    const begun = segments.filter((segment) => segment.start <= air);
    return (begun.findLast(lasts) ?? begun.at(-1))?.sequence ?? NaN;
  }

  async run() {}

  watch() {}
}
