// The player in a world of its own: a browser's audio element and media source as far as it uses them, a list that
// slides, gateways that fail, and a clock that only moves when the test says so.

import test, { mock } from "node:test";
import assert from "node:assert/strict";
import { adts, stream } from "./stream.mjs";

const FRAMES = 258;
const RATE = 44100;
const SECONDS = (FRAMES * 1024) / RATE;
const LOOK_AHEAD = 300;
const STEP_MS = 50;
const frame = adts(new Uint8Array(10));
const SEGMENT = stream([Array.from({ length: FRAMES }, () => [...frame]).flat()]);
const DAY = 86_400_000;

class FakeBuffer extends EventTarget {
  ranges = [];
  appends = [];

  appendBuffer(bytes) {
    const name = String.fromCharCode(...bytes.subarray(4, 8));
    if (name === "moof") {
      const at = bytes.findIndex((_, i) => String.fromCharCode(...bytes.subarray(i, i + 4)) === "tfdt");
      const from = Number(new DataView(bytes.buffer, at).getBigUint64(8));
      const trun = bytes.findIndex((_, i) => String.fromCharCode(...bytes.subarray(i, i + 4)) === "trun");
      const samples = new DataView(bytes.buffer, trun).getUint32(8) * 1024;
      this.appends.push({ from, samples });
      const last = this.ranges.at(-1);
      if (last && Math.abs(last[1] - from / RATE) < 1e-6) last[1] = (from + samples) / RATE;
      else this.ranges.push([from / RATE, (from + samples) / RATE]);
    }
    queueMicrotask(() => this.dispatchEvent(new Event("updateend")));
  }

  remove(start, end) {
    this.ranges = this.ranges.map(([a, b]) => [Math.max(a, end), b]).filter(([a, b]) => b > a);
    queueMicrotask(() => this.dispatchEvent(new Event("updateend")));
  }
}

class FakeSource extends EventTarget {
  static isTypeSupported = () => true;
  readyState = "closed";
  buffers = [];

  addSourceBuffer() {
    this.buffers.push(new FakeBuffer());
    return this.buffers[0];
  }
}

class FakeAudio extends EventTarget {
  currentTime = 0;
  paused = true;
  seeking = false;
  error = null;

  set src(media) {
    this.media = media;
    this.currentTime = 0;
    queueMicrotask(() => {
      media.readyState = "open";
      media.dispatchEvent(new Event("sourceopen"));
    });
  }

  get src() {
    return this.media;
  }

  get buffered() {
    const ranges = this.media?.buffers[0]?.ranges ?? [];
    return { length: ranges.length, start: (i) => ranges[i][0], end: (i) => ranges[i][1] };
  }

  async play() {
    this.paused = false;
  }

  pause() {
    this.paused = true;
    this.dispatchEvent(new Event("pause"));
  }
}

globalThis.MediaSource = FakeSource;
URL.createObjectURL = (media) => media;
URL.revokeObjectURL = () => {};
mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-11-21T09:00:00Z") });
const { Player, WATCH_MS } = await import("../../src/http/page/player.mjs");

function world({ skew = 0 } = {}) {
  const opened = Date.now() - 600_000;
  const self = { dark: false, frozen: false, delay: 100, trouble: new Map(), asked: [] };
  const slide = () => {
    const at = (ms) => Math.floor((ms - opened) / 1000 / SECONDS);
    const [first, last] = [Math.max(0, at(Date.now() - 300_000)), at(Date.now() + LOOK_AHEAD * 1000)];
    const segments = Array.from({ length: last - first + 1 }, (_, i) => first + i).map((sequence) => {
      return { sequence, start: opened + sequence * SECONDS * 1000, duration: SECONDS, cid: "", url: "" };
    });
    return { target: 6, holdBack: LOOK_AHEAD + 12, sequence: first, end: last + 1, segments, items: [] };
  };
  const segment = (wanted, signal) =>
    new Promise((resolve, reject) => {
      self.asked.push(wanted.sequence);
      signal.addEventListener("abort", () => reject(new Error("given up")));
      const answer = () => {
        const trouble = self.trouble.get(wanted.sequence);
        if (self.dark || trouble === "never") return setTimeout(answer, 500);
        resolve(trouble === "damaged" ? SEGMENT.subarray(188 * 3) : SEGMENT);
      };
      setTimeout(answer, self.delay);
    });
  self.feed = { list: slide(), lists: [], segment };
  self.audio = new FakeAudio();
  self.player = new Player(self.audio, self.feed, () => Date.now() + skew);
  self.player.run();
  self.silence = 0;
  self.pass = async (seconds) => {
    for (let ms = 0; ms < seconds * 1000; ms += STEP_MS) {
      mock.timers.tick(STEP_MS);
      await new Promise(setImmediate);
      if (!self.frozen) self.feed.list = slide();
      const ahead = self.player.buffered();
      if (!self.audio.paused) self.audio.currentTime += Math.min(ahead, STEP_MS / 1000);
      if (!self.audio.paused && ahead === 0) self.silence += STEP_MS / 1000;
      if (Date.now() % WATCH_MS === 0) self.player.watch();
    }
  };
  self.appends = () => self.audio.media.buffers[0].appends;
  return self;
}

/// Every segment begins with the very sample that follows the one before.
function assertContiguous(appends) {
  for (let i = 1; i < appends.length; i += 1) assert.equal(appends[i].from, appends[i - 1].from + appends[i - 1].samples);
}

test("it starts at the air and plays on without a hole", async () => {
  const it = world();
  await it.player.play();
  await it.pass(2);
  assert.ok(Math.abs(it.player.lag() - 12) < 1, `${it.player.lag()} s behind the air`);
  await it.pass(600);
  assert.deepEqual([it.player.stalls, it.player.skipped], [0, 0]);
  assert.ok(Math.abs(it.player.lag() - 12) < 1);
  assertContiguous(it.appends());
  assert.equal(it.appends()[0].from, 0);
  const { buffered, currentTime } = it.audio;
  assert.equal(buffered.length, 1);
  assert.ok(buffered.end(0) - currentTime > 110 && buffered.end(0) - currentTime < 130, "the look-ahead is used, within a bound");
  assert.ok(currentTime - buffered.start(0) < 70, "what was heard is let go");
  assert.ok(it.player.places.length < 40);
  assert.equal(new Set(it.asked).size, it.asked.length, "nothing is fetched twice");
});

test("two minutes without any gateway are not heard", async () => {
  const it = world();
  await it.player.play();
  await it.pass(60);
  it.dark = it.frozen = true;
  await it.pass(110);
  it.dark = it.frozen = false;
  await it.pass(60);
  assert.deepEqual([it.player.stalls, it.player.skipped], [0, 0]);
  assert.ok(Math.abs(it.player.lag() - 12) < 1);
  assertContiguous(it.appends());
});

test("after a long silence it returns to the air", async () => {
  // The place where it stopped is still in the list after the first, gone after the second.
  for (const seconds of [280, 500]) {
    const it = world();
    await it.player.play();
    await it.pass(30);
    it.dark = it.frozen = true;
    await it.pass(seconds);
    assert.equal(it.player.stalls, 1);
    it.dark = it.frozen = false;
    await it.pass(30);
    assert.ok(Math.abs(it.player.lag() - 12) < 2, `after ${seconds} s: ${it.player.lag()} s behind the air`);
    assert.equal(it.player.stalls, 1);
    assertContiguous(it.appends());
  }
});

test("after a short silence the programme goes on where it stopped", async () => {
  const it = world();
  await it.player.play();
  await it.pass(30);
  it.dark = true;
  await it.pass(150);
  it.dark = false;
  await it.pass(30);
  assert.equal(it.player.stalls, 1);
  assert.ok(it.player.lag() > 20 && it.player.lag() < 60, `${it.player.lag()} s behind the air`);
  assert.equal(it.player.skipped, 0);
});

test("one segment that nobody has costs a moment, not the station", async () => {
  const it = world();
  it.trouble.set(Math.floor(600 / SECONDS) + 5, "never");
  await it.player.play();
  await it.pass(200);
  assert.deepEqual([it.player.stalls, it.player.skipped], [1, 1]);
  assert.ok(it.silence < 12, `${it.silence} s of silence`);
  assertContiguous(it.appends());
});

test("a damaged segment is passed over without a silence", async () => {
  const it = world();
  it.trouble.set(Math.floor(600 / SECONDS) + 5, "damaged");
  await it.player.play();
  await it.pass(120);
  assert.deepEqual([it.player.stalls, it.player.skipped], [0, 1]);
  assert.match(it.player.lastError, /segment \d+: /);
  assertContiguous(it.appends());
});

test("a pause ends at the air, whether it was short or long", async () => {
  for (const seconds of [20, 60, 400]) {
    const it = world();
    await it.player.play();
    await it.pass(30);
    it.player.pause();
    await it.pass(seconds);
    await it.player.play();
    await it.pass(5);
    assert.ok(Math.abs(it.player.lag() - 12) < 2, `after ${seconds} s: ${it.player.lag()} s behind the air`);
    await it.pass(30);
    assert.equal(it.player.stalls, 0);
    assert.equal(it.audio.paused, false);
    if (seconds < 100) assert.equal(new Set(it.asked).size, it.asked.length, "what is at hand is not fetched again");
  }
});

test("an absurd clock plays steadily from the hold-back of the list", async () => {
  for (const skew of [-DAY, DAY]) {
    const it = world({ skew });
    await it.player.play();
    await it.pass(300);
    const behind = (Date.now() - it.player.air()) / 1000;
    assert.ok(behind > 0 && behind < 25, `${behind} s behind the air`);
    assert.deepEqual([it.player.stalls, it.player.skipped], [0, 0]);
    assertContiguous(it.appends());
  }
});

test("a decoder that fails is set up anew at the air", async () => {
  const it = world();
  await it.player.play();
  await it.pass(30);
  it.audio.error = { message: "PIPELINE_ERROR_DECODE" };
  it.audio.dispatchEvent(new Event("error"));
  await it.pass(10);
  assert.ok(Math.abs(it.player.lag() - 12) < 2, `${it.player.lag()} s behind the air`);
  assert.equal(it.player.lastError, "PIPELINE_ERROR_DECODE");
  await it.pass(60);
  assert.equal(it.player.stalls, 1);
});

test("a first segment that took a minute does not make a listener a minute late", async () => {
  const it = world();
  it.dark = true;
  await it.player.play();
  await it.pass(60);
  it.dark = false;
  await it.pass(5);
  assert.ok(Math.abs(it.player.lag() - 12) < 2, `${it.player.lag()} s behind the air`);
  assert.equal(it.player.stalls, 0);
});

test("a line too slow for the air is heard all the same", async () => {
  const it = world();
  it.delay = 30_000;
  await it.player.play();
  await it.pass(70);
  assert.ok(it.player.air() > 0);
});

test("nothing is fetched before somebody listens", async () => {
  const it = world();
  await it.pass(30);
  assert.deepEqual(it.asked, []);
});
