import test from "node:test";
import assert from "node:assert/strict";
import { parseList, startIn } from "../../src/http/page/m3u8.mjs";
import { chance, changed, targets } from "./fuzz.mjs";

const CASES = 2_000;

for (const target of targets) {
  test(`${target.name}: what is damaged is refused in words or makes sense`, () => {
    const [seeds, random] = [target.seeds(), chance(808)];
    seeds.forEach((seed) => target.run(seed));
    for (let count = 0; count < CASES; count += 1) {
      const input = changed(seeds[random(seeds.length)], seeds, target, random);
      try {
        target.run(input);
      } catch (error) {
        throw new Error(`input ${count}, base64 ${Buffer.from(input).toString("base64")}`, { cause: error });
      }
    }
  });
}

test("a list without numbers, or with numbers without end, is refused", () => {
  const text = (target, sequence, length) =>
    `#EXTM3U\n#EXT-X-TARGETDURATION:${target}\n#EXT-X-MEDIA-SEQUENCE:${sequence}\n#EXTINF:${length},\n/x\n`;
  parseList(text(6, 1, 6), "http://x/");
  for (const wrong of [text("Infinity", 1, 6), text(6, "x", 6), text(6, "-1", 6), text(6, 1, "Infinity"), text(6, "9".repeat(30), 6)]) {
    assert.throws(() => parseList(wrong, "http://x/"), { name: "Error" }, wrong);
  }
});

test("a listener starts inside a list without dates", () => {
  const text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-PROGRAM-DATE-TIME:yesterday\n" + "#EXTINF:6,\n/x\n".repeat(9);
  assert.deepEqual(startIn(parseList(text, "http://x/"), Date.now()), { sequence: 6, into: 0, sane: false });
});

test("whatever stands in a line, it is one line", () => {
  const text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#a\rb\n#EXTINF:6,c\u2028d\n/x\n#EXT-X-SERVER-CONTROL:HOLD-BACK=Infinity\n";
  const list = parseList(text, "http://x/");
  assert.deepEqual([list.segments[0].title, list.holdBack], ["c\u2028d", 18]);
});

// Read with a look back from each letter this would take hours.
test("a line of attributes is read in one pass, however long", () => {
  const range = "A".repeat(4_000_000);
  const text = `#EXTM3U\n#EXT-X-DATERANGE:${range}\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n/x\n`;
  assert.equal(parseList(text, "http://x/").items[0].id, "");
});
