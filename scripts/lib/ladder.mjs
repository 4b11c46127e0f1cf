// hls.js in headless Chromium plays a master list and takes each segment from the next rung; what it plays is captured (tap.mjs).
//
//   node ladder.mjs WISH.json
//
// WISH.json: {"url": "…", "switches": N, "prefix": "…"}. Adds to what tap.mjs writes: `lists`, the URL of the list of each level,
// and `played`, the segments that were played one after the other as (media sequence, level).
import fs from 'node:fs';
import { opened } from './tap.mjs';

const { url, switches, prefix } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const { browser, page, server, tap } = await opened(prefix);
await page.evaluate((source) => {
  const audio = document.querySelector('audio');
  const hls = new Hls({ startLevel: 0 });
  Object.assign(window, { hls, played: [] });
  hls.on(Hls.Events.ERROR, (_, { fatal, type, details }) => fatal && console.error(`hls.js: fatal ${type}: ${details}`));
  hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.loadLevel = 0; audio.play(); });
  // By its number, for it may take a segment again from the rung of the next one, in place of what it has.
  hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag }) => { hls.loadLevel = (frag.sn + 1) % hls.levels.length; });
  hls.on(Hls.Events.FRAG_CHANGED, (_, { frag }) => window.played.push([frag.sn, frag.level]));
  hls.loadSource(source);
  hls.attachMedia(audio);
}, url);
if (!await tap.sounds()) throw new Error(`not a sound in a minute: ${tap.problems.join('; ')}`);

// One segment more than there are switches, and the last one to its end.
const changed = () => page.evaluate(() => window.played.filter(([, level], at) => at > 0 && window.played[at - 1][1] !== level).length);
const deadline = Date.now() + 60_000 + 20_000 * switches;
while (await changed() <= switches && Date.now() < deadline) await new Promise((done) => setTimeout(done, 200));
const told = await page.evaluate(() => ({ lists: window.hls.levels.map(({ url: [list] }) => list), played: window.played }));
await tap.finish();
fs.writeFileSync(`${prefix}.json`, JSON.stringify({ ...JSON.parse(fs.readFileSync(`${prefix}.json`, 'utf8')), ...told }));
await browser.close();
server.close();
