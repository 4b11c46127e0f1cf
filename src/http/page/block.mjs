// Content addresses: a segment is one raw block, so its SHA-256 stands in its CID (base32, CIDv1).

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
/// CIDv1, raw, SHA-256, 32 bytes.
const RAW_SHA256 = [0x01, 0x55, 0x12, 0x20];

/// The SHA-256 that a CID of one raw block names, or null for any other CID.
export function digestOf(cid) {
  if (!/^b[a-z2-7]{58}$/.test(cid)) return null;
  const bytes = [];
  let [bits, held] = [0, 0];
  for (const letter of cid.slice(1)) {
    held = ((held << 5) | BASE32.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits >= 8) bytes.push((held >> (bits -= 8)) & 0xff);
  }
  return RAW_SHA256.every((byte, index) => bytes[index] === byte) ? Uint8Array.from(bytes.slice(4)) : null;
}

/// Whether hashes can be checked here: browsers give SHA-256 to secure pages only.
export const canVerify = Boolean(globalThis.crypto?.subtle);

/// Throws when the bytes are not those that the CID names.
export async function verify(cid, bytes) {
  const expected = digestOf(cid);
  if (!canVerify || expected === null) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  if (digest.some((byte, index) => byte !== expected[index])) throw new Error(`other bytes than ${cid} names`);
}
