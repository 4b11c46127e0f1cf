import test from "node:test";
import assert from "node:assert/strict";
import { itemsAt, parseList, startIn } from "../../src/http/page/m3u8.mjs";

const CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
const AT = Date.parse("2026-11-21T09:00:00.000Z");

/// A list of `count` segments of 6 s, an item every four of them.
function listText(count, sequence = 100) {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:6", "#EXT-X-SERVER-CONTROL:HOLD-BACK=24.000"];
  lines.push("#EXT-X-START:TIME-OFFSET=-24.000,PRECISE=NO", `#EXT-X-MEDIA-SEQUENCE:${sequence}`, "#EXT-X-DISCONTINUITY-SEQUENCE:3");
  for (let i = 0; i < count; i += 1) {
    const start = new Date(AT + i * 6000).toISOString();
    if (i % 4 === 0) {
      const range = `ID="1-${i}",CLASS="org.ipfs-radio.track",START-DATE="${start}",DURATION=24.000,X-TITLE="Song, ${i}",X-ARTIST="A=B"`;
      lines.push("#EXT-X-DISCONTINUITY", `#EXT-X-DATERANGE:${range}`);
    }
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${start}`, `#EXTINF:6.000000,A – Song, ${i}`, `/ipfs/${CID}?filename=s.mpegts`);
  }
  return lines.join("\n") + "\n";
}

const list = (count, sequence) => parseList(listText(count, sequence), "https://gw.example/ipns/k51abc");

test("a list is read whole", () => {
  const read = list(8);
  assert.deepEqual([read.target, read.holdBack, read.sequence, read.end, read.ended], [6, 24, 100, 108, false]);
  const [first, second] = read.segments;
  assert.deepEqual([first.sequence, first.start, first.duration, first.join], [100, AT, 6, true]);
  assert.deepEqual([second.sequence, second.start, second.join], [101, AT + 6000, undefined]);
  assert.equal(first.cid, CID);
  assert.equal(first.url, `https://gw.example/ipfs/${CID}?filename=s.mpegts`);
  assert.deepEqual(read.items.map(({ title, artist, kind }) => [title, artist, kind]), [
    ["Song, 0", "A=B", "track"],
    ["Song, 4", "A=B", "track"],
  ]);
});

test("the picture of an item is a block and nothing else", () => {
  const told = (cover) => parseList(listText(2).replace("X-ARTIST=", `X-COVER="${cover}",X-ARTIST=`), "https://gw.example/").items[0].cover;
  assert.equal(told(`/ipfs/${CID}`), `/ipfs/${CID}`);
  for (const other of ["", "https://elsewhere.example/a.png", "//elsewhere.example/a", `/ipfs/${CID}/../x`, "/ipfs/"]) assert.equal(told(other), "", other);
  assert.equal(list(2).items[0].cover, "");
});

test("segments without a date follow the one before", () => {
  const text = listText(4).split("\n").filter((line, index, all) => !line.startsWith("#EXT-X-PROGRAM") || all.indexOf(line) < 12);
  assert.deepEqual(parseList(text.join("\r\n"), "http://x/").segments.map((s) => s.start - AT), [0, 6000, 12000, 18000]);
});

test("what is no live list is refused", () => {
  for (const text of ["", "<html>", "#EXTM3U\n", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n", "#EXTM3U\n#EXTINF:6,\n/x\n"]) {
    assert.throws(() => parseList(text, "http://x/"), { name: "Error" }, text);
  }
  assert.throws(() => parseList("#EXTM3U\n#EXT-X-TARGETDURATION:6\n/x\n", "http://x/"), /without a length/);
});

test("a listener starts at the air by the clock, exactly", () => {
  const start = startIn(list(20), AT + 31_500);
  assert.deepEqual(start, { sequence: 105, into: 1.5, sane: true });
  assert.deepEqual(startIn(list(20), AT), { sequence: 100, into: 0, sane: true });
});

test("an absurd clock or a list too old falls back to the hold-back", () => {
  const backed = { sequence: 116, into: 0, sane: false };
  for (const wanted of [0, AT - 1, AT + 103_000, AT + 3_600_000, NaN]) assert.deepEqual(startIn(list(20), wanted), backed, wanted);
});

/// The same with the dates of everything from the item at `from` on moved by `by` ms.
function moved(count, from, by) {
  const read = list(count);
  for (const segment of read.segments.slice(from)) segment.start += by;
  for (const item of read.items) if (item.start >= AT + from * 6000) [item.start, item.end] = [item.start + by, item.end + by];
  return read;
}

test("a list whose dates go back is started by its lengths", () => {
  const hour = 3_600_000;
  const back = moved(20, 12, -hour);
  assert.deepEqual(startIn(back, AT - hour + 7000), { sequence: 116, into: 0, sane: false }, "what airs is dated otherwise still");
  assert.deepEqual(startIn(back, AT - hour + 75_500), { sequence: 112, into: 3.5, sane: true });
  assert.deepEqual(startIn(back, AT + 31_500), { sequence: 116, into: 0, sane: false }, "a date that passed");
  assert.deepEqual(itemsAt(back, AT - hour + 75_500).map((item) => item.title), ["Song, 12", "Song, 16"]);
  assert.equal(itemsAt(back, AT + 31_500)[0].title, "Song, 4");
});

test("who listens by the clock while the air stood still waits at the end of what was", () => {
  const jumped = moved(20, 12, 60_000);
  assert.deepEqual(startIn(jumped, AT + 80_000), { sequence: 111, into: 5.9, sane: true });
  assert.deepEqual(startIn(jumped, AT + 132_000 + 3500), { sequence: 112, into: 3.5, sane: true });
});

test("a list shorter than its hold-back starts at its first segment", () => {
  assert.deepEqual(startIn(list(2), AT + 3_600_000), { sequence: 100, into: 0, sane: false });
});

test("now and next go by the time that is heard", () => {
  const read = list(12);
  const [now, next] = itemsAt(read, AT + 23_999);
  assert.deepEqual([now.title, next.title], ["Song, 0", "Song, 4"]);
  assert.deepEqual(itemsAt(read, AT + 24_000).map((item) => item.title), ["Song, 4", "Song, 8"]);
  const [last, after] = itemsAt(read, AT + 71_000);
  assert.deepEqual([last.title, after], ["Song, 8", null]);
  read.items = [];
  assert.deepEqual(itemsAt(read, AT + 7000).map((item) => item?.title), ["A – Song, 1", undefined]);
});
