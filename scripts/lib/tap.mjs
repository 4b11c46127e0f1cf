// Headless Chromium, and an AudioWorklet that captures what a media element plays: each block is stamped and written as
// PCM (s16le stereo 44.1 kHz).
import { createRequire } from 'node:module';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

const cache = process.env.IPFS_RADIO_CACHE
  ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'ipfs-radio');

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/// Where the web players are.
export const modules = path.join(cache, 'npm-web', 'node_modules');

const { chromium } = createRequire(path.join(cache, 'npm', 'node_modules', 'x.js'))('playwright-core');

export function launch() {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
  });
}

/// Serves an empty page with an audio element: a player needs an origin of its own, and a worklet a secure context, which
/// loopback is. Its address, and the server to be closed.
export async function stage() {
  const server = http.createServer((_, answer) => {
    answer.setHeader('Content-Type', 'text/html');
    answer.end('<!doctype html><title>player</title><audio></audio>');
  }).listen(0, '127.0.0.1');
  await new Promise((done) => server.on('listening', done));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

/// An empty page with hls.js, whose sound goes to files that begin with `prefix`. To be closed: the browser and the server.
export async function opened(prefix) {
  const { server, url } = await stage();
  const browser = await launch();
  const page = await (await browser.newContext({ bypassCSP: true })).newPage();
  const tap = new Tap(page, prefix);
  await page.goto(url);
  await page.addScriptTag({ path: path.join(modules, 'hls.js/dist/hls.min.js') });
  await tap.open();
  return { browser, page, server, tap };
}

// One block each 2 048 frames, stamped inside the audio thread, where the main thread cannot delay it.
const worklet = `
registerProcessor('tap', class extends AudioWorkletProcessor {
  constructor() { super(); this.block = new Int16Array(4096); this.at = 0; this.heard = false; }
  process([input]) {
    const left = input[0], right = input[1] ?? input[0];
    for (let i = 0; i < 128; i += 1) {
      for (const channel of [left, right]) {
        const sample = channel ? Math.max(-1, Math.min(1, channel[i])) : 0;
        this.heard ||= sample !== 0;
        this.block[this.at] = Math.round(sample * 32767);
        this.at += 1;
      }
    }
    if (!this.heard) this.at = 0;
    if (this.at === this.block.length) {
      this.port.postMessage([this.block, Date.now()]);
      this.block = new Int16Array(4096);
      this.at = 0;
    }
    return true;
  }
});`;

/// Taps the media element of `page`. What it plays goes to `prefix`.pcm; what it said, to `prefix`.json with `finish()`.
export class Tap {
  constructor(page, prefix) {
    Object.assign(this, { page, prefix, first: null, stamps: [], problems: [] });
    this.pcm = fs.createWriteStream(`${prefix}.pcm`);
    page.on('pageerror', (error) => this.problems.push(`page: ${error.message}`));
    page.on('console', (line) => {
      const { url } = line.location();
      if (line.type() === 'error' && !url.endsWith('/favicon.ico')) this.problems.push(`console: ${line.text()} ${url}`.trim());
    });
  }

  /// To be called when the element is there and silent still.
  async open() {
    await this.page.exposeFunction('deliver', (base64, at, frames) => {
      // A tab plays on while it is asked what it saw, and what it plays is no longer of interest.
      if (this.pcm.writableEnded) return;
      this.first ??= at;
      this.stamps.push([at, frames]);
      this.pcm.write(Buffer.from(base64, 'base64'));
    });
    await this.page.evaluate(async (code) => {
      const context = new AudioContext({ sampleRate: 44100 });
      await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
      const tap = new AudioWorkletNode(context, 'tap', { numberOfInputs: 1, numberOfOutputs: 1, channelCount: 2, channelCountMode: 'explicit' });
      tap.port.onmessage = ({ data: [block, at] }) => {
        let text = '';
        for (const byte of new Uint8Array(block.buffer)) text += String.fromCharCode(byte);
        window.deliver(btoa(text), at, block.length / 2);
      };
      tap.connect(context.destination);
      const element = document.querySelector('audio');
      Object.assign(window, { tapped: element, waits: [], stalls: [], began: null, dry: null });
      element.addEventListener('playing', () => {
        window.began ??= performance.now();
        if (window.dry !== null) window.stalls.push([window.dry, Math.round(performance.now() - window.began - window.dry)]);
        window.dry = null;
      });
      for (const kind of ['waiting', 'error', 'ended']) {
        element.addEventListener(kind, () => {
          const at = window.began === null ? 0 : Math.round(performance.now() - window.began);
          if (at <= 1000) return;
          window.waits.push([at, kind]);
          window.dry ??= at;
        });
      }
      context.createMediaElementSource(element).connect(tap);
      await context.resume();
    }, worklet);
  }

  /// Waits at most a minute for the first sound. Whether it came.
  async sounds() {
    const deadline = Date.now() + 60_000;
    while (this.first === null && Date.now() < deadline) await sleep(100);
    return this.first !== null;
  }

  /// Waits until `seconds` after the first sound.
  async until(seconds) {
    await sleep(Math.max(0, this.first + seconds * 1000 - Date.now()));
  }

  /// Writes what was seen: when the first block came, each block's stamp and frames, `waits` (at, event) and `stalls`
  /// (at, length) in ms since it played, and the page's own account of itself.
  async finish() {
    const told = await this.page.evaluate(() => {
      const plain = (value) => JSON.parse(JSON.stringify(value, (_, v) => (typeof v === 'function' ? undefined : v)) ?? 'null');
      const open = window.dry === null ? [] : [[window.dry, Math.round(performance.now() - window.began - window.dry)]];
      return { waits: window.waits, stalls: [...window.stalls, ...open], radio: window.radio ? plain(window.radio.state()) : null };
    }).catch((error) => {
      this.problems.push(`page: ${error.message.split('\n')[0]}`);
      return { waits: [], stalls: [], radio: null };
    });
    this.pcm.end();
    const { first, stamps, problems } = this;
    fs.writeFileSync(`${this.prefix}.json`, JSON.stringify({ first, stamps, problems, ...told }));
  }
}

/// Presses play as a listener would: the button if there is one, else the element itself.
export async function press(page) {
  const button = page.locator('button').first();
  if (await button.count()) await button.click();
  else await page.evaluate(() => window.tapped.play());
}
