#!/usr/bin/env node
// Makes ipns.json: IPNS records of a fixed key, put together from the specification (https://specs.ipfs.tech/ipns/ipns-record/)
// with nothing of ours: the keys and signatures are OpenSSL's, CBOR and protobuf are written here.
//
//   tests/golden/ipns.mjs           writes ipns.json beside itself
//   tests/golden/ipns.mjs --check   says whether ipns.json is what this writes, and, where the npm package `ipns` can be
//                                   found (NODE_PATH or the current folder), whether it accepts each record
//
// Exit code: 0 written or the same, 1 different or refused.

import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const FILE = new URL('ipns.json', import.meta.url)
const VALUE = '/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
const CASES = [
  { seed: 42, sequence: 1795252684893n, validity_us: 1795259884893000n, ttl_seconds: 60n },
  { seed: 42, sequence: 1795252684893n, validity_us: 1795259884893000n, ttl_seconds: 60n, media_sequence: 1795252684n, discontinuity_sequence: 7n },
  { seed: 7, sequence: 0n, validity_us: 1000000n, ttl_seconds: 0n },
  { seed: 7, sequence: 23n, validity_us: 4102444799999999n, ttl_seconds: 4294n, media_sequence: 0n, discontinuity_sequence: 24n },
  { seed: 255, sequence: 2n ** 64n - 1n, validity_us: 4102444800000000n, ttl_seconds: 3600n, media_sequence: 2n ** 53n + 1n, discontinuity_sequence: 255n },
]

const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)))

// CBOR (RFC 8949): a head of major type and number in its shortest form.
function head (major, number) {
  if (number < 24n) return Buffer.from([(major << 5) | Number(number)])
  const size = number < 2n ** 8n ? 1 : number < 2n ** 16n ? 2 : number < 2n ** 32n ? 4 : 8
  const out = Buffer.alloc(9)
  out[0] = (major << 5) | (24 + Math.log2(size))
  out.writeBigUInt64BE(number << BigInt(64 - 8 * size), 1)
  return out.subarray(0, 1 + size)
}
const cbor = (value) => typeof value === 'bigint' ? head(0, value) : bytes(head(2, BigInt(value.length)), value)
const text = (value) => bytes(head(3, BigInt(value.length)), value)

// Protobuf.
function varint (number) {
  const out = []
  for (; number >= 128n; number >>= 7n) out.push(Number(number & 127n) | 128)
  return Buffer.from([...out, Number(number)])
}
const field = (number, value) => typeof value === 'bigint'
  ? bytes(varint(BigInt(number << 3)), varint(value))
  : bytes(varint(BigInt((number << 3) | 2)), varint(BigInt(value.length)), value)

function base36 (data) {
  let number = BigInt('0x' + data.toString('hex'))
  let out = ''
  for (; number > 0n; number /= 36n) out = (number % 36n).toString(36) + out
  return out
}

// RFC 3339 with nanoseconds.
const instant = (micros) => new Date(Number(micros / 1000000n) * 1000).toISOString().slice(0, 19) +
  '.' + String(micros % 1000000n).padStart(6, '0') + '000Z'

function record ({ seed, sequence, validity_us: micros, ttl_seconds: ttl, media_sequence: media, discontinuity_sequence: disc }) {
  const key = createPrivateKey({ key: bytes(Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, seed)), format: 'der', type: 'pkcs8' })
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  const multihash = bytes([0x00, 36, 0x08, 0x01, 0x12, 32], raw)
  const validity = instant(micros)
  // Keys by length, then by bytes.
  const entries = [['TTL', ttl * 1000000000n], ['Value', Buffer.from(VALUE)]]
  if (media !== undefined) entries.push(['_dseq', disc], ['_mseq', media])
  entries.push(['Sequence', sequence], ['Validity', Buffer.from(validity)], ['ValidityType', 0n])
  const data = bytes(head(5, BigInt(entries.length)), ...entries.flatMap(([name, value]) => [text(name), cbor(value)]))
  const first = sign(null, bytes(VALUE, validity, 'EOL'), key)
  const second = sign(null, bytes('ipns-signature:', data), key)
  const message = bytes(field(1, Buffer.from(VALUE)), field(2, first), field(3, 0n), field(4, Buffer.from(validity)), field(5, sequence),
    field(6, ttl * 1000000000n), field(8, second), field(9, data))
  return { name: 'k' + base36(bytes([0x01, 0x72], multihash)), multihash, message }
}

async function accepted (made) {
  const require = createRequire(process.cwd() + '/')
  let entry
  try {
    entry = require.resolve('ipns/validator')
  } catch {
    console.log('the package ipns is not here: not asked')
    return
  }
  const { ipnsValidator } = await import(pathToFileURL(entry))
  for (const { multihash, message } of made) {
    const expired = (error) => error.name === 'RecordExpiredError'
    await ipnsValidator(bytes('/ipns/', multihash), message).catch((error) => assert(expired(error), error))
  }
  console.log(`the package ipns accepts ${made.length} records, or finds them expired and no more`)
}

const made = CASES.map((one) => ({ ...one, ...record(one) }))
const lines = made.map(({ message, multihash, ...rest }) =>
  JSON.stringify({ ...rest, value: VALUE, record: message.toString('hex') }, (_, value) => typeof value === 'bigint' ? String(value) : value))
const out = `[\n${lines.join(',\n')}\n]\n`
if (process.argv.includes('--check')) {
  assert.equal(readFileSync(FILE, 'utf8'), out)
  await accepted(made)
} else {
  writeFileSync(FILE, out)
}
