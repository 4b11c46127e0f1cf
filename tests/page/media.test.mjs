import test from "node:test";
import assert from "node:assert/strict";
import { demux, joined } from "../../src/http/page/ts.mjs";
import { initSegment, mediaSegment } from "../../src/http/page/fmp4.mjs";
import { digestOf, verify } from "../../src/http/page/block.mjs";
import { adts, stream, tables } from "./stream.mjs";

const payloads = [350, 1, 700, 20].map((length, seed) => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff));

test("frames come out as they went in, across packets and PES packets", () => {
  const all = joined(payloads.map((payload) => adts(payload)));
  for (const cuts of [[], [1], [6, 8], [500], [357, 365]]) {
    const edges = [0, ...cuts, all.length];
    const audio = demux(stream(edges.slice(1).map((end, i) => [...all.subarray(edges[i], end)])));
    assert.deepEqual([audio.rate, audio.channels, audio.config], [44100, 2, [0x12, 0x10]]);
    assert.deepEqual(audio.frames.map((f) => [...f]), payloads.map((p) => [...p]), `cut at ${cuts}`);
  }
});

test("a checksum in the frame head is passed over", () => {
  assert.deepEqual([...demux(stream([[...adts(payloads[0], { crc: true })]])).frames[0]], [...payloads[0]]);
});

test("every rate and channel count is described", () => {
  const mono = demux(stream([[...adts(payloads[0], { rateIndex: 3, channels: 1 })]]));
  assert.deepEqual([mono.rate, mono.channels, mono.config], [48000, 1, [0x11, 0x88]]);
});

test("what cannot be played is refused in words", () => {
  const good = stream([[...adts(payloads[0])]]);
  const cut = [...adts(payloads[0])].slice(0, 100);
  const two = [...adts(payloads[0]), ...adts(payloads[0], { channels: 1 })];
  const table = [
    [new Uint8Array(), /whole transport packets/],
    [good.subarray(0, 200), /whole transport packets/],
    [joined([good.subarray(188), new Uint8Array(188)]), /no transport packet/],
    [stream([[...adts(payloads[0])]], 0x1b), /no AAC in/],
    [stream([cut]), /cut at byte 0/],
    [stream([[1, 2, 3, 4, 5, 6, 7, 8]]), /no AAC frame at byte 0/],
    [stream([two]), /format changes/],
    [joined(tables()), /without audio/],
  ];
  for (const [bytes, reason] of table) assert.throws(() => demux(bytes), reason);
});

test("no damage of one byte makes the reader run away or lose its place silently", () => {
  const good = stream([[...adts(payloads[0]), ...adts(payloads[2])]]);
  for (let at = 0; at < good.length; at += 1) {
    for (const value of [0x00, 0xff, good[at] ^ 0x40]) {
      const bytes = Uint8Array.from(good);
      bytes[at] = value;
      try {
        assert.ok(demux(bytes).frames.length <= 3);
      } catch (error) {
        assert.equal(error.name, "Error", `byte ${at}: ${error.stack}`);
      }
    }
  }
});

/// The boxes of a level: name, body.
function boxes(bytes) {
  const found = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; ) {
    const size = view.getUint32(at);
    assert.ok(size >= 8 && at + size <= bytes.length, "a box fits into its parent");
    found.push([new TextDecoder().decode(bytes.subarray(at + 4, at + 8)), bytes.subarray(at + 8, at + size)]);
    at += size;
  }
  return found;
}

const inside = (bytes, name) => boxes(bytes).find(([found]) => found === name)[1];

test("the initialisation segment nests and tells rate, channels and config", () => {
  const init = initSegment({ rate: 44100, channels: 2, config: [0x12, 0x10] });
  assert.deepEqual(boxes(init).map(([name]) => name), ["ftyp", "moov"]);
  const moov = inside(init, "moov");
  assert.deepEqual(boxes(moov).map(([name]) => name), ["mvhd", "trak", "mvex"]);
  assert.equal(inside(moov, "mvhd").length, 100);
  const trak = inside(moov, "trak");
  assert.equal(inside(trak, "tkhd").length, 84);
  const mdia = inside(trak, "mdia");
  const mdhd = inside(mdia, "mdhd");
  assert.equal(new DataView(mdhd.buffer, mdhd.byteOffset).getUint32(12), 44100);
  const stbl = inside(inside(mdia, "minf"), "stbl");
  assert.deepEqual(boxes(stbl).map(([name]) => name), ["stsd", "stts", "stsc", "stco", "stsz"]);
  const mp4a = inside(inside(stbl, "stsd").subarray(8), "mp4a");
  assert.deepEqual([mp4a[17], mp4a[19], (mp4a[24] << 8) | mp4a[25]], [2, 16, 44100]);
  const esds = [...inside(mp4a.subarray(28), "esds")];
  assert.deepEqual(esds.slice(-7), [0x05, 2, 0x12, 0x10, 0x06, 1, 2]);
});

test("a media segment places its frames by samples", () => {
  const from = 2 ** 32 + 5;
  const segment = mediaSegment(7, from, payloads);
  const [[moofName, moof], [mdatName, mdat]] = boxes(segment);
  assert.deepEqual([moofName, mdatName], ["moof", "mdat"]);
  assert.deepEqual([...mdat], [...joined(payloads)]);
  const traf = inside(moof, "traf");
  const tfdt = inside(traf, "tfdt");
  assert.equal(Number(new DataView(tfdt.buffer, tfdt.byteOffset).getBigUint64(4)), from);
  const trun = inside(traf, "trun");
  const view = new DataView(trun.buffer, trun.byteOffset);
  assert.equal(view.getUint32(4), payloads.length);
  assert.equal(view.getUint32(8), segment.length - mdat.length, "the data offset points at the first frame");
  assert.deepEqual(payloads.map((_, i) => view.getUint32(12 + 4 * i)), payloads.map((p) => p.length));
});

test("a segment is checked against its name", async () => {
  const hello = new TextEncoder().encode("hello");
  const cid = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq";
  assert.equal(Buffer.from(digestOf(cid)).toString("hex"), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  await verify(cid, hello);
  await assert.rejects(verify(cid, new TextEncoder().encode("hellp")), /other bytes/);
  for (const other of ["", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"]) {
    assert.equal(digestOf(other), null, other);
  }
});
