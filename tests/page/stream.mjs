// Transport streams made by hand, for the tests.

import { joined } from "../../src/http/page/ts.mjs";

const AUDIO_PID = 0x101;

/// One AAC frame in ADTS: 44.1 kHz, stereo, LC.
export function adts(payload, { rateIndex = 4, channels = 2, crc = false } = {}) {
  const length = payload.length + (crc ? 9 : 7);
  const head = [0xff, crc ? 0xf0 : 0xf1, (1 << 6) | (rateIndex << 2) | (channels >> 2), ((channels & 3) << 6) | (length >> 11)];
  head.push((length >> 3) & 0xff, ((length & 7) << 5) | 0x1f, 0xfc, ...(crc ? [0, 0] : []));
  return Uint8Array.from([...head, ...payload]);
}

function packet(pid, starts, payload) {
  const room = 184 - payload.length;
  const head = [0x47, (starts ? 0x40 : 0) | (pid >> 8), pid & 0xff, room > 0 ? 0x30 : 0x10];
  const fill = room === 0 ? [] : room === 1 ? [0] : [room - 1, 0, ...new Array(room - 2).fill(0xff)];
  return Uint8Array.from([...head, ...fill, ...payload]);
}

export function tables(streamType = 0x0f) {
  const pat = [0, 0x00, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0x00, 1, 2, 3, 4];
  const video = [0x1b, 0xe2, 0x00, 0xf0, 2, 9, 9];
  const audio = [streamType, 0xe0 | (AUDIO_PID >> 8), AUDIO_PID & 0xff, 0xf0, 0];
  const pmt = [0, 0x02, 0xb0, 13 + video.length + audio.length, 0, 1, 0xc1, 0, 0, 0xe1, 1, 0xf0, 0, ...video, ...audio, 1, 2, 3, 4];
  return [packet(0, true, pat), packet(0x1000, true, pmt)];
}

/// A transport stream of PES packets with these bytes.
export function stream(pieces, streamType) {
  const packets = tables(streamType);
  for (const piece of pieces) {
    const pes = [0, 0, 1, 0xc0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1, ...piece];
    for (let at = 0; at < pes.length; at += 184) packets.push(packet(AUDIO_PID, at === 0, pes.slice(at, at + 184)));
    packets.push(packet(0x1fff, false, new Array(184).fill(0xff)));
  }
  return joined(packets);
}
