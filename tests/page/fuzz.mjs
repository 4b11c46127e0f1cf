// What the page reads of strangers, as functions of bytes: each reads, checks what must hold of whatever was read, and
// throws an AssertionError where it does not. The tests drive them, and, with coverage, scripts/fuzz.

import assert from "node:assert/strict";
import { initSegment, mediaSegment } from "../../src/http/page/fmp4.mjs";
import { itemsAt, parseList, startIn } from "../../src/http/page/m3u8.mjs";
import { demux, joined } from "../../src/http/page/ts.mjs";
import { adts, stream } from "./stream.mjs";

const encoder = new TextEncoder();

/// What `read` gives, or undefined when it refuses in words.
function read(reader) {
  try {
    return reader();
  } catch (error) {
    assert.ok(error.constructor === Error && error.message.length > 0, error);
    return undefined;
  }
}

/// A segment: what is in it is described and makes boxes of the right sizes.
function segment(bytes) {
  const audio = read(() => demux(bytes));
  if (audio === undefined) return;
  const { rate, channels, config, frames } = audio;
  const size = frames.reduce((sum, frame) => sum + frame.length, 0);
  assert.ok(frames.length > 0 && size < bytes.length && frames.every((frame) => frame.length > 0));
  assert.ok(rate >= 7350 && rate <= 96000 && channels >= 1 && channels <= 7);
  assert.ok(config.length === 2 && config.every((byte) => byte >= 0 && byte <= 255));
  assert.equal(boxes(initSegment(audio)), 2);
  assert.equal(boxes(mediaSegment(1, 2 ** 40, frames)), 2);
}

/// How many boxes stand one behind the other.
function boxes(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let count = 0;
  for (let at = 0; at < bytes.length; at += view.getUint32(at)) {
    assert.ok(view.getUint32(at) >= 8 && at + view.getUint32(at) <= bytes.length);
    count += 1;
  }
  return count;
}

function segments() {
  const frames = [350, 1, 700].map((length, seed) => adts(Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff)));
  const whole = joined(frames);
  return [stream([whole]), stream([whole.subarray(0, 360), whole.subarray(360)]), stream([adts([1, 2, 3], { crc: true })])];
}

/// A list: all numbers are numbers, and a listener starts inside it.
function list(bytes) {
  const list = read(() => parseList(new TextDecoder().decode(bytes), "https://gw.example/ipns/k51abc"));
  if (list === undefined) return;
  const { target, holdBack, sequence, end, segments } = list;
  assert.ok(Number.isFinite(target) && target > 0 && Number.isFinite(holdBack) && holdBack > 0);
  assert.ok(Number.isSafeInteger(sequence) && sequence >= 0 && end === sequence + segments.length);
  assert.ok(segments.every((one) => Number.isFinite(one.duration) && one.duration > 0 && URL.canParse(one.url)));
  assert.ok(segments.every((one) => /^[a-zA-Z0-9]*$/.test(one.cid)));
  for (const wanted of [0, segments[0].start, segments.at(-1).start + 1000, NaN]) {
    const start = startIn(list, wanted);
    assert.ok(start.sequence >= sequence && start.sequence < end && Number.isFinite(start.into), JSON.stringify(start));
    for (const item of itemsAt(list, wanted)) assert.ok(item === null || typeof item.title === "string");
  }
}

function lists() {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:6", "#EXT-X-SERVER-CONTROL:HOLD-BACK=24.000"];
  lines.push("#EXT-X-MEDIA-SEQUENCE:1795252684", "#EXT-X-DISCONTINUITY-SEQUENCE:3");
  const cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
  for (const second of ["00", "06", "12", "18"]) {
    const date = `2026-11-21T09:00:${second}.000Z`;
    const range = `ID="1-${second}",CLASS="org.ipfs-radio.track",START-DATE="${date}",DURATION=6.000,X-TITLE="Song, 1"`;
    lines.push("#EXT-X-DISCONTINUITY", `#EXT-X-DATERANGE:${range}`, `#EXT-X-PROGRAM-DATE-TIME:${date}`);
    lines.push("#EXTINF:6.000000,A – Song", `/ipfs/${cid}?filename=s.mpegts`);
  }
  return [encoder.encode(`${lines.join("\n")}\n`), encoder.encode(`${lines.slice(0, 11).join("\r\n")}\r\n#EXT-X-ENDLIST`)];
}

const words = ["Infinity", "-1", "1e99", "NaN", "#EXTINF:", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-TARGETDURATION:", "\n", '"', "=", "\r", "\u2028", "http://["];

/// Name, function, seeds, longest input in bytes, and words that mean something.
export const targets = [
  { name: "page-segment", run: segment, seeds: segments, longest: 188 * 20, words: [] },
  { name: "page-list", run: list, seeds: lists, longest: 4096, words: words.map((word) => encoder.encode(word)) },
];

/// Chance from a seed (mulberry32): integers below `below`.
export function chance(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/// An input like `bytes`, changed in a few places; `others` are inputs to take pieces of.
export function changed(bytes, others, target, random) {
  let made = Uint8Array.from(bytes);
  for (let count = 1 + random(5); count > 0; count -= 1) {
    const [at, length] = [random(made.length + 1), 1 + random(40)];
    const [before, piece, behind] = [made.subarray(0, at), made.subarray(at, at + length), made.subarray(at + length)];
    const other = others[random(others.length)];
    const from = random(other.length + 1);
    const word = target.words.length > 0 ? target.words[random(target.words.length)] : Uint8Array.of(random(256));
    const change = random(8);
    if (change < 3 && at < made.length) made[at] ^= 1 + random(255);
    else if (change === 3) made = joined([before, behind]);
    else if (change === 4) made = joined([before, piece, piece, behind]);
    else if (change === 5) made = joined([before, other.subarray(from, from + length), piece, behind]);
    else if (change === 6) made = joined([before, word, piece, behind]);
    else if (random(8) === 0) made = before;
  }
  return made.slice(0, target.longest);
}
