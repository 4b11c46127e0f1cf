// Helia against a station: a peer of its own on loopback that resolves both names through the DHT, fetches everything over
// bitswap and validates every record that is published meanwhile. Prints one line of JSON for each check.
//
//   node -r ./node20.cjs helia.mjs PLAN.json
//
// PLAN.json: {"bootstrap": multiaddr, "gateway": URL of the station, "station": k51…, "stream": k51…, "peer": id,
// "seconds": N, "segments": N at most, "records": folder}. Records are left there as NAME-SEQUENCE.record.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const cache = process.env.IPFS_RADIO_CACHE
  ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'ipfs-radio');
const load = (name, file = 'index.js') => import(pathToFileURL(path.join(cache, 'npm-helia', 'node_modules', name, 'dist', 'src', file)).href);

const { createHeliaLight } = await load('helia');
const { withLibp2pLight } = await load('@helia/libp2p');
const { withBitswap } = await load('@helia/bitswap');
const { ipns } = await load('@helia/ipns');
const { createVerifiedFetchWithHelia } = await load('@helia/verified-fetch');
const { multihashToIPNSRoutingKey, unmarshalIPNSRecord } = await load('ipns');
const { ipnsValidator } = await load('ipns', 'validator.js');
const { ipnsSelector } = await load('ipns', 'selector.js');
const { tcp } = await load('@libp2p/tcp');
const { kadDHT, passthroughMapper } = await load('@libp2p/kad-dht');
const { identify } = await load('@libp2p/identify');
const { ping } = await load('@libp2p/ping');
const { noise } = await load('@chainsafe/libp2p-noise');
const { yamux } = await load('@chainsafe/libp2p-yamux');
const { multiaddr } = await load('@multiformats/multiaddr');
const { CID } = await load('multiformats', 'cid.js');
const { base36 } = await load('multiformats', 'bases/base36.js');
const { base58btc } = await load('multiformats', 'bases/base58.js');
const dagPb = await import(pathToFileURL(path.join(cache, 'npm-helia', 'node_modules', '@ipld', 'dag-pb', 'src', 'index.js')).href);
const dagCbor = await import(pathToFileURL(path.join(cache, 'npm-helia', 'node_modules', '@ipld', 'dag-cbor', 'src', 'index.js')).href);

const plan = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const soon = () => ({ signal: AbortSignal.timeout(60_000) });
const keyOf = (name) => CID.parse(name, base36);

function say(what, ok, detail = '') {
  console.log(JSON.stringify({ what, ok: Boolean(ok), detail: String(detail) }));
}

/// Runs one check; what it throws is the reason why it failed. Returns what the check returns.
async function check(what, work) {
  try {
    const [ok, detail, value] = await work();
    say(what, ok, detail);
    return value;
  } catch (error) {
    say(what, false, `${error.name}: ${error.message}`);
    return undefined;
  }
}

/// A node that knows the bootstrap peer only; it asks the public DHT's protocol of it.
async function node() {
  const helia = withBitswap(withLibp2pLight(createHeliaLight(), {
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: '/ipfs/kad/1.0.0', clientMode: true, peerInfoMapper: passthroughMapper,
        validators: { ipns: ipnsValidator }, selectors: { ipns: ipnsSelector },
      }),
    },
  }));
  await helia.start();
  await helia.libp2p.dial(multiaddr(plan.bootstrap), soon());
  return helia;
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const hashIn = (cid) => Buffer.from(cid.multihash.digest).toString('hex');

async function block(helia, cid) {
  const chunks = [];
  const found = await helia.blockstore.get(cid, soon());
  if (found instanceof Uint8Array) return found;
  for await (const chunk of found) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function resolve(helia, name) {
  for await (const { value } of ipns(helia).resolve(keyOf(name), { ...soon(), nocache: true })) return value;
  throw new Error('no record');
}

const segmentsOf = (list) => list.split('\n').filter((line) => line.startsWith('/ipfs/')).map((line) => CID.parse(/\/ipfs\/(\w+)/.exec(line)[1]));

/// Names, root, list and segments, by a node that has nothing yet.
async function fetchAll() {
  const helia = await node();
  const list = await check('the stream name resolves through the DHT, the list comes over bitswap', async () => {
    const value = await resolve(helia, plan.stream);
    const cid = CID.parse(value.slice('/ipfs/'.length));
    const bytes = await block(helia, cid);
    const theirs = Buffer.from(await (await fetch(`${plan.gateway}/ipfs/${cid}`)).arrayBuffer());
    return [sha256(bytes) === hashIn(cid) && theirs.equals(bytes), `${value}, ${bytes.length} bytes`, Buffer.from(bytes).toString()];
  });
  await check('the station name resolves through the DHT, the root comes over bitswap', async () => {
    const value = await resolve(helia, plan.station);
    const cid = CID.parse(value.slice('/ipfs/'.length));
    const bytes = await block(helia, cid);
    const names = dagPb.decode(bytes).Links.map((link) => link.Name);
    const wanted = ['index.html', 'ipfs', 'live.m3u8'].filter((name) => !names.includes(name));
    return [wanted.length === 0 && sha256(bytes) === hashIn(cid), `${value}: ${names.join(' ')}`];
  });
  const segments = segmentsOf(list ?? '').slice(0, plan.segments);
  await check('the DHT names the station as the provider of a segment', async () => {
    for await (const provider of helia.routing.findProviders(segments[0], soon())) {
      const id = base58btc.baseEncode(provider.id.multihash.bytes);
      const there = provider.multiaddrs.map(String);
      if (there.length > 0) return [id === plan.peer, `${id} at ${there.join(' ')}`];
    }
    return [false, 'nobody with an address'];
  });
  await check(`${segments.length} segments come over bitswap and are what their CIDs say`, async () => {
    let [bytes, wrong] = [0, 0];
    for (const cid of segments) {
      const body = await block(helia, cid);
      bytes += body.length;
      wrong += sha256(body) !== hashIn(cid);
    }
    return [segments.length > 0 && wrong === 0, `${bytes} bytes, ${wrong} wrong`];
  });
  await check('they came from the station', async () => {
    const peers = helia.libp2p.getPeers().map(String);
    return [peers.includes(plan.peer), peers.join(' ')];
  });
  await helia.stop();
}

/// What the service-worker gateway does, with its engine.
async function fetchVerified() {
  const helia = await node();
  const get = await createVerifiedFetchWithHelia(helia);
  const text = await check('ipns://<station>/live.m3u8 by verified-fetch', async () => {
    const response = await get(`ipns://${plan.station}/live.m3u8`, soon());
    const body = await response.text();
    return [response.status === 200 && body.startsWith('#EXTM3U\n'),
      `${response.status} ${response.headers.get('content-type')}, ${response.headers.get('cache-control')}`, body];
  });
  const cids = segmentsOf(text ?? '');
  for (const [what, cid] of [['first', cids[0]], ['last', cids.at(-1)]]) {
    await check(`ipns://<station>/ipfs/<cid>?filename=s.mpegts by verified-fetch, the ${what} segment listed`, async () => {
      const response = await get(`ipns://${plan.station}/ipfs/${cid}?filename=s.mpegts`, soon());
      const bytes = new Uint8Array(await response.arrayBuffer());
      return [response.status === 200 && sha256(bytes) === hashIn(cid), `${response.status} ${response.headers.get('content-type')}, ${bytes.length} bytes`];
    });
  }
  await check('ipns://<station>/ is the page', async () => {
    const response = await get(`ipns://${plan.station}/`, soon());
    const body = await response.text();
    return [response.status === 200 && body.includes(plan.stream), `${response.status} ${response.headers.get('content-type')}`];
  });
  await check('a segment that is not in the folder is 404', async () => {
    const response = await get(`ipns://${plan.station}/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy`, soon());
    return [response.status === 404, response.status];
  });
  await get.stop();
  await helia.stop();
}

/// Every record that the DHT holds of both names in `plan.seconds`, asked for once a second.
async function watchRecords() {
  const helia = await node();
  const seen = { stream: new Map(), station: new Map() };
  const refused = [];
  let [back, extra] = [0, 0];
  const over = Date.now() + plan.seconds * 1000;
  while (Date.now() < over) {
    for (const word of ['stream', 'station']) {
      const key = multihashToIPNSRoutingKey(keyOf(plan[word]).multihash);
      const bytes = await helia.libp2p.contentRouting.get(key, soon()).catch((error) => void refused.push(`${word}: ${error.message}`));
      if (!bytes) continue;
      const record = unmarshalIPNSRecord(bytes);
      const last = Math.max(0, ...seen[word].keys());
      const sequence = Number(record.sequence);
      if (seen[word].has(sequence)) continue;
      back += sequence < last;
      await ipnsValidator(key, bytes).catch((error) => refused.push(`${word} ${sequence}: ${error.message}`));
      extra += dagCbor.decode(record.data)._mseq !== undefined;
      seen[word].set(sequence, bytes);
      fs.writeFileSync(path.join(plan.records, `${plan[word]}-${sequence}.record`), bytes);
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
  if (seen.stream.size === 0) throw new Error(`no record of the stream: ${refused[0]}`);
  const key = multihashToIPNSRoutingKey(keyOf(plan.stream).multihash);
  const [[, good]] = seen.stream;
  const bent = Buffer.from(good);
  bent[bent.indexOf(unmarshalIPNSRecord(good).signatureV2)] ^= 1;
  fs.writeFileSync(path.join(plan.records, `${plan.stream}-bent.record`), bent);
  await check('the JavaScript validator refuses a record with one bit turned', () => ipnsValidator(key, bent)
    .then(() => [false, 'taken'], (error) => [true, error.message]));
  const counts = `${seen.stream.size} of the stream, ${seen.station.size} of the station`;
  say('the JavaScript validator takes every record', refused.length === 0 && seen.stream.size > 1 && seen.station.size > 1, [counts, ...refused.slice(0, 3)].join('; '));
  say('no record is older than one before', back === 0, counts);
  say('records with extra data are among them', extra > 0, `${extra} name the list's numbers`);
  await helia.stop();
}

await fetchAll();
await fetchVerified();
await watchRecords();
process.exit(0);
