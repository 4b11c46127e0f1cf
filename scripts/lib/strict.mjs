// Reads the list on standard input with hls-parser in strict mode; prints what it says and fails if it objects.
// hls-parser refuses SERVER-CONTROL without CAN-BLOCK-RELOAD=YES, which only low-latency lists have: that line is taken out
// here and checked by check-playlist.
// It decodes UTF-8 itself (title by title), so the text is handed to it byte by byte.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const cache = process.env.IPFS_RADIO_CACHE
  ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'ipfs-radio');
const HLS = createRequire(path.join(cache, 'npm', 'node_modules', 'x.js'))('hls-parser');

HLS.setOptions({ strictMode: true });
try {
  const text = fs.readFileSync(0, 'latin1').split('\n').filter((line) => !line.startsWith('#EXT-X-SERVER-CONTROL:')).join('\n');
  const list = HLS.parse(text);
  if (list.isMasterPlaylist) console.log(JSON.stringify({ variants: list.variants.map(({ uri }) => uri) }));
  else console.log(JSON.stringify({ segments: list.segments.length, first: list.mediaSequenceBase, joins: list.discontinuitySequenceBase }));
} catch (error) {
  console.log(error.message.split('\n')[0]);
  process.exit(1);
}
