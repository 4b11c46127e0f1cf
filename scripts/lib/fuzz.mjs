// The targets of tests/page/fuzz.mjs, guided by the code of the page that they reach: for scripts/fuzz.
//
//   node fuzz.mjs                     prints the names of the targets
//   node fuzz.mjs NAME FOLDER SECONDS runs one; inputs that reach something new are kept in FOLDER/corpus
//   node fuzz.mjs NAME FOLDER FILE    runs one input
//
// Says what libFuzzer says at its end. An input that breaks something is kept as FOLDER/found-…; exit code 1.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { Session } from 'node:inspector';
import path from 'node:path';
import { chance, changed, targets } from '../../tests/page/fuzz.mjs';

const PAGE = '/src/http/page/';
// So many inputs between two looks at what was reached: a look takes longer than an input.
const BATCH = 50;

const [name, folder, what] = process.argv.slice(2);
if (!name) {
  console.log(targets.map((target) => target.name).join('\n'));
  process.exit();
}
const target = targets.find((one) => one.name === name);

function run(input) {
  try {
    target.run(input);
  } catch (error) {
    const found = path.join(folder, `found-${createHash('sha1').update(input).digest('hex')}`);
    fs.writeFileSync(found, input);
    console.log(`panicked at ${error.stack}\nTest unit written to ${found}`);
    process.exit(1);
  }
}

if (!/^\d+$/.test(what)) {
  run(fs.readFileSync(what));
  process.exit();
}

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

// What was run since the last look: each piece of code, and about how often.
function reached() {
  let pieces = [];
  session.post('Profiler.takePreciseCoverage', (error, answer) => {
    if (error) throw error;
    for (const { url, functions } of answer.result) {
      if (!url.includes(PAGE)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          const times = 32 - Math.clz32(count);
          if (count > 0) pieces.push([`${path.basename(url)} ${startOffset} ${endOffset}`, times]);
        }
      }
    }
  });
  return pieces;
}

const [code, features] = [new Set(), new Set()];
function isNew(pieces) {
  const before = features.size;
  for (const [piece, times] of pieces) {
    code.add(piece);
    features.add(`${piece} ${times}`);
  }
  return features.size > before;
}

const kept = path.join(folder, 'corpus');
fs.mkdirSync(kept, { recursive: true });
const corpus = [...target.seeds(), ...fs.readdirSync(kept).map((file) => new Uint8Array(fs.readFileSync(path.join(kept, file))))];
for (const input of corpus) {
  run(input);
  isNew(reached());
}
const random = chance(Number(process.hrtime.bigint() & 0xffffffffn));
const end = performance.now() + 1000 * Number(what);
let executions = corpus.length;
while (performance.now() < end) {
  const batch = Array.from({ length: BATCH }, () => changed(corpus[random(corpus.length)], corpus, target, random));
  batch.forEach(run);
  executions += batch.length;
  if (!reached().some(([piece]) => !code.has(piece)) && random(10) > 0) continue;
  for (const input of batch) {
    run(input);
    if (!isNew(reached())) continue;
    corpus.push(input);
    fs.writeFileSync(path.join(kept, createHash('sha1').update(input).digest('hex')), input);
  }
}
console.log(`#${executions} DONE cov: ${code.size} ft: ${features.size} corp: ${corpus.length}`);
console.log(`stat::number_of_executed_units: ${executions}`);
