// Listens to the station's page in headless Chromium: presses play, captures what the audio element plays (tap.mjs), and
// takes a screenshot.
//
//   node page.mjs URL SECONDS OUT_PREFIX [PAUSE_AT_SECONDS PAUSE_MILLISECONDS]
import { Tap, launch, press } from './tap.mjs';

const [url, seconds, prefix, pauseAt, pauseMillis] = process.argv.slice(2);

const browser = await launch();
const page = await browser.newPage({ bypassCSP: true, viewport: { width: 900, height: 700 } });
const tap = new Tap(page, prefix);
await page.goto(url);
await tap.open();
await press(page);
if (await tap.sounds()) {
  if (pauseAt) {
    await tap.until(Number(pauseAt));
    await page.evaluate((millis) => { tapped.pause(); setTimeout(() => tapped.play(), millis); }, Number(pauseMillis));
  }
  await tap.until(Number(seconds));
}
await page.screenshot({ path: `${prefix}.png` });
await tap.finish();
await browser.close();
