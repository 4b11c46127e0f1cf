// Web players of others, and pages, side by side in one headless Chromium, each in a tab of its own; what each plays is
// captured (tap.mjs).
//
//   node web.mjs WISHES.json
//
// WISHES.json: {"seconds": N, "clients": [{"kind": "hls.js", "url": "…", "prefix": "…"}, …]}. Kinds: hls.js,
// patient-hls.js (with time limits and retries for slow gateways), shaka (with the README's option), plain-shaka, video.js, the
// others with their defaults, and page (what lies at the URL). Prints "playing" when every client has sounded or had a minute for it.
import fs from 'node:fs';
import path from 'node:path';
import { Tap, launch, modules, press, stage } from './tap.mjs';

const SCRIPTS = {
  'hls.js': 'hls.js/dist/hls.min.js',
  'patient-hls.js': 'hls.js/dist/hls.min.js',
  shaka: 'shaka-player/dist/shaka-player.compiled.js',
  'plain-shaka': 'shaka-player/dist/shaka-player.compiled.js',
  'video.js': 'video.js/dist/video.min.js',
};

/// Runs in the tab: sets the player up on the page's audio element.
function setUp({ kind, url }) {
  const audio = document.querySelector('audio');
  const lost = (words) => console.error(`${kind}: ${words}`);
  if (kind === 'shaka' || kind === 'plain-shaka') {
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    if (kind === 'shaka') player.configure('manifest.availabilityWindowOverride', 3600);
    player.addEventListener('error', ({ detail }) => lost(`error ${detail.code}, severity ${detail.severity}`));
    window.start = async () => {
      await player.attach(audio);
      await player.load(url);
      await audio.play();
    };
  } else if (kind === 'video.js') {
    const player = videojs(audio, { html5: { vhs: { overrideNative: true } } });
    player.on('error', () => lost(JSON.stringify(player.error())));
    window.start = () => {
      player.src({ src: url, type: 'application/vnd.apple.mpegurl' });
      return player.play();
    };
  } else {
    const patience = (maxLoadTimeMs) => {
      const retry = { maxNumRetry: 1000, retryDelayMs: 500, maxRetryDelayMs: 6000, backoff: 'exponential' };
      return { default: { maxTimeToFirstByteMs: maxLoadTimeMs, maxLoadTimeMs, timeoutRetry: retry, errorRetry: retry } };
    };
    const hls = new Hls(kind === 'hls.js' ? {} : {
      manifestLoadPolicy: patience(60000), playlistLoadPolicy: patience(60000), fragLoadPolicy: patience(30000), maxBufferLength: 120,
    });
    hls.on(Hls.Events.ERROR, (_, { fatal, type, details }) => fatal && lost(`fatal ${type}: ${details}`));
    hls.on(Hls.Events.MANIFEST_PARSED, () => audio.play());
    window.start = async () => {
      hls.loadSource(url);
      hls.attachMedia(audio);
    };
  }
}

const { seconds, clients } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));

const { server, url: blank } = await stage();

const browser = await launch();
const context = await browser.newContext({ bypassCSP: true });

async function open({ kind, url, prefix }) {
  const page = await context.newPage();
  const tap = new Tap(page, prefix);
  if (kind === 'page') {
    await page.goto(url, { timeout: 60_000 });
    await tap.open();
    await press(page);
    return tap;
  }
  await page.goto(blank);
  await page.addScriptTag({ path: path.join(modules, SCRIPTS[kind]) });
  await page.evaluate(setUp, { kind, url });
  await tap.open();
  await page.evaluate(() => { window.start().catch((error) => console.error(`start: ${error.message ?? error}`)); });
  return tap;
}

const taps = [];
const sounding = [];
for (const client of clients) {
  try {
    const tap = await open(client);
    taps.push(tap);
    sounding.push(tap.sounds());
  } catch (error) {
    fs.writeFileSync(`${client.prefix}.json`, JSON.stringify({ first: null, stamps: [], waits: [], stalls: [], radio: null, problems: [error.message] }));
  }
}
await Promise.all(sounding);
console.log('playing');
await Promise.all(taps.map(async (tap, index) => {
  if (await sounding[index]) await tap.until(seconds);
  await tap.finish();
}));
await browser.close();
server.close();
