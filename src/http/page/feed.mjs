// Lists and segments from whichever gateway answers. A list is never replaced by an older one; failures are no news.

import { parseList } from "./m3u8.mjs";
import { verify } from "./block.mjs";

const LIST_WITHIN_MS = 60_000;
const SEGMENT_WITHIN_MS = 30_000;
const MAX_SEGMENT_BYTES = 4 << 20;
/// When one gateway takes longer than this, the next one is asked as well.
const HEDGE_MS = 3_000;
/// After so many answers without news every gateway is asked for its list.
const QUIET_ROUNDS = 4;

/// How long to wait after `failures` failures: 0.5 s doubled each time, at most 8 s, and chance, so that listeners do
/// not ask in step.
export function backoff(failures, chance = Math.random()) {
  return Math.min(8_000, 500 * 2 ** Math.min(failures, 10)) * (0.75 + chance / 2);
}

export function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

/// Where the list may be, seen from a page at `location`, best guess first. Under `/ipns/…/` and on a subdomain gateway
/// it lies beside the page; at the root of the station's own port it has its name only; under `/ipfs/` what lies beside
/// the page is frozen.
export function listPlaces(location, stream) {
  const [beside, named] = ["live.m3u8", `/ipns/${stream}`].map((place) => new URL(place, location).href);
  const { pathname, hostname } = new URL(location);
  const inRoot = pathname.startsWith("/ipns/") || /\.ip[fn]s\./.test(hostname);
  return inRoot ? [beside, named] : [named, beside];
}

/// Asks for each of `places` in turn, the next one after `hedge` ms or a failure; the first answer wins and the other
/// attempts are given up. Rejects with the last error when all have failed or `signal` says so.
export function firstOf(places, attempt, signal, hedge = HEDGE_MS) {
  const over = new AbortController();
  return new Promise((resolve, reject) => {
    let [next, open, timer] = [0, 0, 0];
    const finish = (settle, value) => {
      clearTimeout(timer);
      settle(value);
      over.abort();
    };
    const fail = (error) => {
      open -= 1;
      if (open === 0 && next === places.length) finish(reject, error);
      else if (next < places.length && !over.signal.aborted) ask();
    };
    const ask = () => {
      clearTimeout(timer);
      const place = places[next++];
      open += 1;
      attempt(place, over.signal).then((value) => finish(resolve, value), fail);
      if (next < places.length) timer = setTimeout(ask, hedge);
    };
    signal?.addEventListener("abort", () => finish(reject, new Error("given up")), { signal: over.signal });
    ask();
  });
}

/// Fetches with a time limit that covers the body too.
async function ask(fetcher, url, signal, within, read) {
  const over = new AbortController();
  const stop = () => over.abort();
  const timer = setTimeout(stop, within);
  signal.addEventListener("abort", stop);
  try {
    const response = await fetcher(url, { signal: over.signal, credentials: "omit", referrerPolicy: "no-referrer" });
    if (!response.ok) throw new Error(`${response.status} from ${url}`);
    return await read(response);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

export class Feed {
  /// `gateways` are the bases of further path gateways, such as `https://example.org`.
  constructor(location, stream, gateways = [], fetcher = (url, options) => fetch(url, options)) {
    this.bases = gateways.map((gateway) => gateway.replace(/\/+$/, ""));
    this.lists = [...listPlaces(location, stream), ...this.bases.map((base) => `${base}/ipns/${stream}`)];
    this.origin = new URL(location).origin;
    this.fetcher = fetcher;
    this.list = null;
    this.failures = 0;
    this.quiet = 0;
  }

  /// Asks for a newer list once. True when there is one.
  async refresh() {
    const attempt = (place, signal) => this.#askList(place, signal);
    const asksAll = this.quiet > 0 && this.quiet % QUIET_ROUNDS === 0;
    const never = new AbortController().signal;
    const answers = await Promise.allSettled(
      asksAll ? this.lists.map((place) => attempt(place, never)) : [firstOf(this.lists, attempt)],
    );
    const lists = answers.filter((answer) => answer.status === "fulfilled").map((answer) => answer.value);
    this.failures = lists.length > 0 ? 0 : this.failures + 1;
    const newest = lists.reduce((best, list) => (best && best.end >= list.end ? best : list), null);
    return newest !== null && this.accept(newest);
  }

  /// Takes a list unless it ends before the one at hand. True when it is news.
  accept(list) {
    if (this.list && list.end <= this.list.end) {
      this.quiet += 1;
      return false;
    }
    this.quiet = 0;
    this.list = list;
    this.lists.sort((a, b) => (b === list.place) - (a === list.place));
    return true;
  }

  /// How many milliseconds to wait before the next refresh.
  pause() {
    if (this.failures > 0) return backoff(this.failures);
    const target = (this.list?.target ?? 2) * 1000;
    return this.quiet > 0 ? target / 2 : target;
  }

  /// The bytes of a segment, checked against its CID; tries for ever, until `signal`.
  async segment(segment, signal) {
    for (let failures = 0; ; failures += 1) {
      try {
        return await firstOf(this.segmentPlaces(segment), (url, over) => this.#askSegment(url, segment, over), signal);
      } catch (error) {
        if (!signal.aborted) await sleep(backoff(failures));
        if (signal.aborted) throw error;
      }
    }
  }

  /// Where a segment may be: where the last one was, beside the page, where the list says, on the other gateways.
  segmentPlaces(segment) {
    if (segment.cid === "") return [segment.url];
    const path = `/ipfs/${segment.cid}?filename=s.mpegts`;
    const places = [...new Set([this.origin + path, segment.url, ...this.bases.map((base) => base + path)])];
    return places.sort((a, b) => this.#isGood(b) - this.#isGood(a));
  }

  #isGood(url) {
    return new URL(url).origin === this.good;
  }

  #askList(place, signal) {
    return ask(this.fetcher, place, signal, LIST_WITHIN_MS, async (response) => {
      return { ...parseList(await response.text(), response.url || place), place };
    });
  }

  #askSegment(url, segment, signal) {
    return ask(this.fetcher, url, signal, SEGMENT_WITHIN_MS, async (response) => {
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (bytes.length === 0 || bytes.length > MAX_SEGMENT_BYTES) throw new Error(`a segment of ${bytes.length} bytes`);
      await verify(segment.cid, bytes);
      this.good = new URL(url).origin;
      return bytes;
    });
  }
}
