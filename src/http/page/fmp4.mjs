// Fragmented MP4 (ISO/IEC 14496-12) around AAC frames, as Media Source Extensions take it.

import { FRAME_SAMPLES, joined } from "./ts.mjs";

const MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].flatMap(u32);

function u16(n) {
  return [(n >>> 8) & 0xff, n & 0xff];
}

function u32(n) {
  return [(n >>> 24) & 0xff, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff];
}

function u64(n) {
  return [...u32(Math.floor(n / 2 ** 32)), ...u32(n % 2 ** 32)];
}

function zeros(count) {
  return new Array(count).fill(0);
}

function box(name, ...parts) {
  const body = joined(parts.map((part) => (part instanceof Uint8Array ? part : Uint8Array.from(part))));
  return joined([Uint8Array.from(u32(8 + body.length)), new TextEncoder().encode(name), body]);
}

function full(name, version, flags, ...parts) {
  return box(name, u32((version << 24) | flags), ...parts);
}

/// The initialisation segment. Its clock ticks once per sample, so that every time in it is an exact integer.
export function initSegment({ rate, channels, config }) {
  const esds = [0x03, 25, 0, 1, 0, 0x04, 17, 0x40, 0x15, ...zeros(11), 0x05, 2, ...config, 0x06, 1, 2];
  const entry = [...zeros(6), ...u16(1), ...zeros(8), ...u16(channels), ...u16(16), ...zeros(4), ...u16(rate), 0, 0];
  const table = box(
    "stbl",
    full("stsd", 0, 0, u32(1), box("mp4a", entry, full("esds", 0, 0, esds))),
    ...["stts", "stsc", "stco"].map((name) => full(name, 0, 0, u32(0))),
    full("stsz", 0, 0, zeros(8)),
  );
  const data = box("dinf", full("dref", 0, 0, u32(1), full("url ", 0, 1)));
  const media = box(
    "mdia",
    full("mdhd", 0, 0, zeros(8), u32(rate), u32(0), u16(0x55c4), zeros(2)),
    full("hdlr", 0, 0, zeros(4), new TextEncoder().encode("soun"), zeros(13)),
    box("minf", full("smhd", 0, 0, zeros(4)), data, table),
  );
  const track = full("tkhd", 0, 7, zeros(8), u32(1), zeros(18), u16(0), u16(0x100), zeros(2), MATRIX, zeros(8));
  const movie = full("mvhd", 0, 0, zeros(8), u32(rate), u32(0), u32(0x10000), u16(0x100), zeros(10), MATRIX, zeros(24), u32(2));
  const extend = box("mvex", full("trex", 0, 0, u32(1), u32(1), zeros(12)));
  return joined([
    box("ftyp", new TextEncoder().encode("iso5"), u32(1), new TextEncoder().encode("iso5iso6mp41")),
    box("moov", movie, box("trak", track, media), extend),
  ]);
}

/// One media segment: `frames` from sample `from` on.
export function mediaSegment(number, from, frames) {
  const sizes = frames.flatMap((frame) => u32(frame.length));
  const moof = (offset) =>
    box(
      "moof",
      full("mfhd", 0, 0, u32(number)),
      box(
        "traf",
        full("tfhd", 0, 0x020028, u32(1), u32(FRAME_SAMPLES), u32(0x02000000)),
        full("tfdt", 1, 0, u64(from)),
        full("trun", 0, 0x000201, u32(frames.length), u32(offset), sizes),
      ),
    );
  return joined([moof(moof(0).length + 8), box("mdat", ...frames)]);
}
