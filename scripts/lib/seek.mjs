// hls.js in headless Chromium goes to one place of a recording after the other and plays a little from each; what it plays is
// captured (tap.mjs).
//
//   node seek.mjs WISH.json
//
// WISH.json: {"url": "…", "places": [seconds, …], "millis": N, "prefix": "…"}. Adds `seeks` to what tap.mjs writes: for each
// place when it was left to play and when it was stopped, in ms.
import fs from 'node:fs';
import { opened } from './tap.mjs';

const { url, places, millis, prefix } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));

const { browser, page, server, tap } = await opened(prefix);
await page.evaluate((source) => {
  const audio = document.querySelector('audio');
  const hls = new Hls();
  hls.on(Hls.Events.ERROR, (_, { fatal, type, details }) => fatal && console.error(`hls.js: fatal ${type}: ${details}`));
  hls.on(Hls.Events.MANIFEST_PARSED, () => audio.play());
  hls.loadSource(source);
  hls.attachMedia(audio);
}, url);
if (!await tap.sounds()) throw new Error(`not a sound in a minute: ${tap.problems.join('; ')}`);

const seeks = [];
for (const place of places) {
  seeks.push(await page.evaluate(async ([to, length]) => {
    const audio = document.querySelector('audio');
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    const heard = (event) => new Promise((done) => audio.addEventListener(event, done, { once: true }));
    audio.pause();
    await wait(300); // What is on its way to the loudspeaker is played; then there is silence, which tells the places apart.
    const arrived = heard('seeked');
    audio.currentTime = to;
    await arrived;
    const began = Date.now();
    await audio.play();
    while (audio.currentTime < to + length / 1000) await wait(20);
    return [began, Date.now()];
  }, [place, millis]));
}
await tap.finish();
fs.writeFileSync(`${prefix}.json`, JSON.stringify({ ...JSON.parse(fs.readFileSync(`${prefix}.json`, 'utf8')), seeks }));
await browser.close();
server.close();
