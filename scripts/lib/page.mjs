// Listens to the station's page in headless Chromium: presses play, captures what the audio element plays with an
// AudioWorklet that stamps each block, writes the PCM (s16le stereo 44.1 kHz), the stamps and a screenshot.
//
//   node page.mjs URL SECONDS OUT_PREFIX [PAUSE_AT_SECONDS PAUSE_MILLISECONDS]
import { createRequire } from 'node:module';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const cache = process.env.IPFS_RADIO_CACHE
  ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'ipfs-radio');
const { chromium } = createRequire(path.join(cache, 'npm', 'node_modules', 'x.js'))('playwright-core');

const [url, seconds, prefix, pauseAt, pauseMillis] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
});
const page = await browser.newPage({ bypassCSP: true, viewport: { width: 900, height: 700 } });
const problems = [];
page.on('pageerror', (error) => problems.push(`page: ${error.message}`));
page.on('console', (line) => {
  if (line.type() === 'error' && !line.location().url.endsWith('/favicon.ico')) problems.push(`console: ${line.text()}`);
});

const pcm = fs.createWriteStream(`${prefix}.pcm`);
const stamps = [];
let first = null;
await page.exposeFunction('deliver', (base64, at, frames) => {
  first ??= at;
  stamps.push([at, frames]);
  pcm.write(Buffer.from(base64, 'base64'));
});
await page.goto(url);

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
await page.evaluate(async (code) => {
  const context = new AudioContext({ sampleRate: 44100 });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
  const tap = new AudioWorkletNode(context, 'tap', { numberOfInputs: 1, numberOfOutputs: 1, channelCount: 2, channelCountMode: 'explicit' });
  let queue = [];
  tap.port.onmessage = ({ data: [block, at] }) => {
    queue.push(block);
    const bytes = new Uint8Array(block.buffer);
    let text = '';
    for (const byte of bytes) text += String.fromCharCode(byte);
    window.deliver(btoa(text), at, block.length / 2);
  };
  tap.connect(context.destination);
  const element = document.querySelector('audio');
  window.tapped = element;
  window.waits = [];
  window.began = null;
  element.addEventListener('playing', () => { window.began ??= performance.now(); });
  for (const kind of ['waiting', 'error', 'ended']) {
    element.addEventListener(kind, () => {
      const at = window.began === null ? 0 : Math.round(performance.now() - window.began);
      if (at > 1000) window.waits.push([at, kind]);
    });
  }
  context.createMediaElementSource(element).connect(tap);
  await context.resume();
}, worklet);

// As a listener would: the button if there is one, else the element itself.
const button = page.locator('button').first();
if (await button.count()) await button.click();
else await page.evaluate(() => window.tapped.play());

const deadline = Date.now() + 60_000;
while (first === null && Date.now() < deadline) await page.waitForTimeout(100);
if (first !== null) {
  const left = () => first + Number(seconds) * 1000 - Date.now();
  if (pauseAt) {
    await page.waitForTimeout(Math.max(0, first + pauseAt * 1000 - Date.now()));
    await page.evaluate((millis) => { tapped.pause(); setTimeout(() => tapped.play(), millis); }, Number(pauseMillis));
  }
  await page.waitForTimeout(Math.max(0, left()));
}
const told = await page.evaluate(() => {
  const plain = (value) => JSON.parse(JSON.stringify(value, (_, v) => (typeof v === 'function' ? undefined : v)) ?? 'null');
  return { waits: window.waits, radio: window.radio ? plain(window.radio.state()) : null };
});
await page.screenshot({ path: `${prefix}.png` });
await browser.close();
pcm.end();
fs.writeFileSync(`${prefix}.json`, JSON.stringify({ first, stamps, problems, ...told }));
