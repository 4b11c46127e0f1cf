import test from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Feed, backoff, firstOf, listPlaces } from "../../src/http/page/feed.mjs";

const CID = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq";
const STREAM = "k51stream";
const PAGE = "http://127.0.0.1:8000/";

function listText(sequence, count = 3) {
  const segments = Array.from({ length: count }, () => `#EXTINF:6.0,\n/ipfs/${CID}?filename=s.mpegts\n`);
  return `#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:${sequence}\n${segments.join("")}`;
}

/// Gateways in memory: `answers[url]` is text, bytes, a status, or a function; everything else is 404.
function feed(answers, gateways = [], page = PAGE) {
  const asked = [];
  const fetcher = async (url, { signal }) => {
    asked.push(url);
    let answer = answers[url] ?? 404;
    if (typeof answer === "function") answer = await answer(signal);
    return typeof answer === "number" ? new Response("", { status: answer }) : new Response(answer);
  };
  return Object.assign(new Feed(page, STREAM, gateways, fetcher), { asked });
}

test("the page finds its list wherever it is served", () => {
  const name = `/ipns/${STREAM}`;
  const table = [
    ["http://127.0.0.1:8000/", `http://127.0.0.1:8000${name}`],
    ["http://127.0.0.1:8000/?autoplay", `http://127.0.0.1:8000${name}`],
    ["https://ipfs.io/ipns/k51station/", "https://ipfs.io/ipns/k51station/live.m3u8"],
    ["https://ipfs.io/ipns/k51station/index.html#x", "https://ipfs.io/ipns/k51station/live.m3u8"],
    ["https://k51station.ipns.dweb.link/", "https://k51station.ipns.dweb.link/live.m3u8"],
    ["http://k51station.ipns.localhost:8080/", "http://k51station.ipns.localhost:8080/live.m3u8"],
    ["https://ipfs.io/ipfs/bafyroot/", `https://ipfs.io${name}`],
    ["https://radio.example/", `https://radio.example${name}`],
  ];
  for (const [page, first] of table) {
    const places = listPlaces(page, STREAM);
    assert.equal(places[0], first, page);
    assert.equal(new Set(places).size, 2, page);
  }
});

test("the second place is asked when the first has nothing, and remembered", async () => {
  const subject = feed({ "https://radio.example/live.m3u8": listText(5) }, [], "https://radio.example/");
  assert.equal(await subject.refresh(), true);
  assert.equal(subject.list.end, 8);
  subject.asked.length = 0;
  await subject.refresh();
  assert.deepEqual(subject.asked, ["https://radio.example/live.m3u8"]);
});

test("a list is never replaced by an older one", async () => {
  let sequence = 10;
  const subject = feed({ [`http://127.0.0.1:8000/ipns/${STREAM}`]: () => listText(sequence) });
  const seen = [];
  for (sequence of [10, 11, 9, 11, 3, 12]) {
    seen.push([await subject.refresh(), subject.list.end]);
  }
  assert.deepEqual(seen, [[true, 13], [true, 14], [false, 14], [false, 14], [false, 14], [true, 15]]);
});

test("failures keep the last good list and wait longer, within a bound", async () => {
  let answer = listText(1);
  const subject = feed({ [`http://127.0.0.1:8000/ipns/${STREAM}`]: () => answer });
  await subject.refresh();
  assert.equal(subject.pause(), 6000);
  for (answer of [500, "<html>", "#EXTM3U\n", () => { throw new Error("down"); }, 503]) {
    assert.equal(await subject.refresh(), false);
    assert.equal(subject.list.end, 4);
    assert.ok(subject.pause() <= 10_000 && subject.pause() >= 375);
  }
  assert.equal(subject.failures, 5);
  answer = listText(2);
  assert.equal(await subject.refresh(), true);
  assert.equal(subject.failures, 0);
});

test("backoff grows and is bounded", () => {
  const waits = [0, 1, 2, 3, 4, 5, 100, 1e9].map((failures) => backoff(failures, 0.5));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
});

test("when one gateway has had no news for long, the newest list of all is taken", async () => {
  const own = `http://127.0.0.1:8000/ipns/${STREAM}`;
  const subject = feed({ [own]: listText(5), [`https://a/ipns/${STREAM}`]: listText(7), [`https://b/ipns/${STREAM}`]: listText(9) }, ["https://a/", "https://b"]);
  const ends = [];
  for (let round = 0; round < 6; round += 1) {
    await subject.refresh();
    ends.push(subject.list.end);
  }
  assert.deepEqual(ends, [8, 8, 8, 8, 8, 12]);
  subject.asked.length = 0;
  await subject.refresh();
  assert.deepEqual(subject.asked, [`https://b/ipns/${STREAM}`], "the one with the news is asked from now on");
});

test("a segment comes from whoever has the right bytes", async () => {
  const path = `/ipfs/${CID}?filename=s.mpegts`;
  assert.equal(createHash("sha256").update("hello").digest("hex").slice(0, 8), "2cf24dba");
  const subject = feed({ [`http://127.0.0.1:8000${path}`]: "forged", [`https://a${path}`]: 404, [`https://b${path}`]: "hello" }, ["https://a", "https://b"]);
  const segment = { cid: CID, url: `http://127.0.0.1:8000${path}` };
  const bytes = await subject.segment(segment, new AbortController().signal);
  assert.equal(new TextDecoder().decode(bytes), "hello");
  assert.deepEqual(subject.asked, [`http://127.0.0.1:8000${path}`, `https://a${path}`, `https://b${path}`]);
  assert.equal(subject.segmentPlaces(segment)[0], `https://b${path}`, "where it was found is asked first");
});

test("a segment is asked for again until somebody has it, and given up on demand", async () => {
  const path = `http://127.0.0.1:8000/ipfs/${CID}?filename=s.mpegts`;
  let rounds = 0;
  const subject = feed({ [path]: () => (++rounds < 2 ? 404 : "hello") });
  await subject.segment({ cid: CID, url: path }, new AbortController().signal);
  assert.equal(rounds, 2);
  const over = new AbortController();
  const never = feed({}).segment({ cid: CID, url: path }, over.signal);
  setTimeout(() => over.abort(), 20);
  await assert.rejects(never);
});

test("a slow place does not hold up the next one, and the losers are given up", async () => {
  const events = [];
  const attempt = (place, signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => (events.push(`${place} given up`), reject(new Error("given up"))));
      if (place === "fast") resolve("body");
    });
  assert.equal(await firstOf(["slow", "fast", "unasked"], attempt, undefined, 5), "body");
  assert.deepEqual(events, ["slow given up", "fast given up"]);
  await assert.rejects(firstOf(["x", "y"], async (place) => { throw new Error(`no ${place}`); }), /no y/);
});
