// From an MPEG transport stream to AAC frames: ISO/IEC 13818-1 packets, ADTS headers of ISO/IEC 13818-7.

const PACKET_BYTES = 188;
const AAC_IN_ADTS = 0x0f;
const RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
/// Samples of one AAC-LC frame.
export const FRAME_SAMPLES = 1024;

/// The audio of a segment: `rate`, `channels`, `config` (AudioSpecificConfig) and the bare `frames`. Throws when there
/// is anything that cannot be played.
export function demux(bytes) {
  return adtsFrames(audioOf(bytes));
}

function audioOf(bytes) {
  if (bytes.length === 0 || bytes.length % PACKET_BYTES !== 0) throw new Error("not whole transport packets");
  let [tablePid, audioPid] = [-1, -1];
  const pieces = [];
  for (let at = 0; at < bytes.length; at += PACKET_BYTES) {
    const packet = bytes.subarray(at, at + PACKET_BYTES);
    if (packet[0] !== 0x47) throw new Error(`no transport packet at byte ${at}`);
    const pid = ((packet[1] & 0x1f) << 8) | packet[2];
    const starts = (packet[1] & 0x40) !== 0;
    const payload = packet.subarray(packet[3] & 0x20 ? 5 + packet[4] : 4);
    if (!(packet[3] & 0x10)) continue;
    if (pid === 0 && starts) tablePid = programOf(payload);
    else if (pid === tablePid && starts) audioPid = audioPidOf(payload);
    else if (pid === audioPid) pieces.push(starts ? payload.subarray(9 + payload[8]) : payload);
  }
  return joined(pieces);
}

function programOf(payload) {
  const table = payload.subarray(1 + payload[0]);
  return ((table[10] & 0x1f) << 8) | table[11];
}

function audioPidOf(payload) {
  const table = payload.subarray(1 + payload[0]);
  const end = 3 + (((table[1] & 0x0f) << 8) | table[2]) - 4;
  let at = 12 + (((table[10] & 0x0f) << 8) | table[11]);
  while (at + 5 <= end) {
    if (table[at] === AAC_IN_ADTS) return ((table[at + 1] & 0x1f) << 8) | table[at + 2];
    at += 5 + (((table[at + 3] & 0x0f) << 8) | table[at + 4]);
  }
  throw new Error("no AAC in the transport stream");
}

/// One array of all the pieces.
export function joined(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function adtsFrames(stream) {
  const frames = [];
  let head = null;
  for (let at = 0; at < stream.length; ) {
    const h = stream.subarray(at, at + 7);
    if (h.length < 7 || h[0] !== 0xff || (h[1] & 0xf6) !== 0xf0) throw new Error(`no AAC frame at byte ${at}`);
    const length = ((h[3] & 0x03) << 11) | (h[4] << 3) | (h[5] >> 5);
    const headBytes = h[1] & 0x01 ? 7 : 9;
    if (length <= headBytes || at + length > stream.length) throw new Error(`an AAC frame is cut at byte ${at}`);
    if (h[6] & 0x03) throw new Error("several AAC blocks in one frame");
    const own = (h[2] << 8) | (h[3] & 0xc0);
    if (head !== null && own !== head) throw new Error("the AAC format changes inside a segment");
    head = own;
    frames.push(stream.subarray(at + headBytes, at + length));
    at += length;
  }
  if (frames.length === 0) throw new Error("a segment without audio");
  return { ...format(head), frames };
}

function format(head) {
  const objectType = (head >> 14) + 1;
  const rateIndex = (head >> 10) & 0x0f;
  const channels = (head >> 6) & 0x07;
  if (!(rateIndex < RATES.length) || channels === 0) throw new Error("an AAC format that cannot be described");
  const config = [(objectType << 3) | (rateIndex >> 1), ((rateIndex & 1) << 7) | (channels << 3)];
  return { rate: RATES[rateIndex], channels, config };
}
