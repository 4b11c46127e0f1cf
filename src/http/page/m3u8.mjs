// A live media playlist (RFC 8216) as the station writes it.

const CID_IN_PATH = /\/ipfs\/([a-zA-Z0-9]+)/;

/// No segment is longer.
const LONGEST_SECONDS = 3_600;

/// Reads a list. Times are milliseconds since 1970, lengths are seconds. `url` is where it came from.
export function parseList(text, url) {
  if (!text.startsWith("#EXTM3U")) throw new Error("not a playlist");
  const list = { target: 0, holdBack: 0, sequence: 0, end: 0, ended: false, segments: [], items: [] };
  let next = {};
  // Without any date the times only tell what comes after what.
  let clock = 0;
  for (const line of text.split(/\r?\n/)) {
    if (line === "") continue;
    if (!line.startsWith("#")) {
      const start = next.start ?? clock;
      clock = start + next.duration * 1000;
      list.segments.push({ ...next, start, cid: CID_IN_PATH.exec(line)?.[1] ?? "", url: addressOf(line, url) });
      next = {};
      continue;
    }
    const [, tag, value] = /^#([^:]*):?(.*)$/s.exec(line);
    if (tag === "EXTINF") {
      next.duration = parseFloat(value);
      next.title = value.slice(value.indexOf(",") + 1);
    } else if (tag === "EXT-X-PROGRAM-DATE-TIME") next.start = dateOf(value);
    else if (tag === "EXT-X-DISCONTINUITY") next.join = true;
    else if (tag === "EXT-X-DATERANGE") list.items.push(itemOf(attributes(value)));
    else if (tag === "EXT-X-TARGETDURATION") list.target = parseFloat(value);
    else if (tag === "EXT-X-MEDIA-SEQUENCE") list.sequence = parseInt(value, 10);
    else if (tag === "EXT-X-SERVER-CONTROL") list.holdBack = parseFloat(attributes(value)["HOLD-BACK"]);
    else if (tag === "EXT-X-ENDLIST") list.ended = true;
  }
  if (list.segments.length === 0 || !isLength(list.target)) throw new Error("a playlist without segments");
  if (!list.segments.every((segment) => isLength(segment.duration))) throw new Error("a segment without a length");
  if (!Number.isSafeInteger(list.sequence) || list.sequence < 0) throw new Error("a playlist without numbers");
  list.segments.forEach((segment, index) => (segment.sequence = list.sequence + index));
  list.end = list.sequence + list.segments.length;
  if (!isLength(list.holdBack)) list.holdBack = 3 * list.target;
  return list;
}

function addressOf(line, url) {
  try {
    return new URL(line, url).href;
  } catch {
    throw new Error("a segment without an address");
  }
}

function dateOf(text) {
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : date;
}

function isLength(seconds) {
  return seconds > 0 && seconds <= LONGEST_SECONDS;
}

function attributes(text) {
  const pairs = text.matchAll(/(?:^|,)([A-Z0-9-]+)=("[^"]*"|[^,]*)/g);
  return Object.fromEntries([...pairs].map(([, name, value]) => [name, value.replace(/^"|"$/g, "")]));
}

function itemOf(range) {
  const start = Date.parse(range["START-DATE"]);
  return {
    id: range.ID ?? "",
    start,
    end: start + parseFloat(range.DURATION) * 1000,
    title: range["X-TITLE"] ?? "",
    artist: range["X-ARTIST"] ?? "",
    // On a subdomain gateway too: the root has the picture in its own folder.
    cover: /^\/ipfs\/[a-z0-9]+$/.test(range["X-COVER"] ?? "") ? range["X-COVER"] : "",
    kind: range["X-KIND"] ?? (range.CLASS ?? "").split(".").pop(),
  };
}

/// The item that airs at `time` and the one after it.
export function itemsAt(list, time) {
  const later = list.items.filter((item) => item.end > time).sort((a, b) => a.start - b.start);
  if (later[0]?.start <= time) return [later[0], later[1] ?? null];
  const segment = list.segments.findLast((segment) => segment.start <= time);
  const titled = segment?.title && { id: "", start: NaN, end: NaN, title: segment.title, artist: "", cover: "", kind: "" };
  return [titled || null, later[0] ?? null];
}

/// Where a listener starts: the segment that airs at `wanted`, and how many seconds into it. When the listener's clock
/// points outside the list, or so near to its end that a late list would be heard, the list's own hold-back counts.
export function startIn(list, wanted) {
  const { segments } = list;
  // How far before the end of the list each begins, in seconds: lengths tell it also where dates go back or jump.
  const before = segments.map(() => 0);
  for (let at = segments.length - 1; at >= 0; at -= 1) before[at] = (before[at + 1] ?? 0) + segments[at].duration;
  const dated = segments.findLastIndex((segment) => segment.start <= wanted);
  const past = dated < 0 ? 0 : Math.max(0, (wanted - segments[dated].start) / 1000);
  const within = dated >= 0 && (past < segments[dated].duration || segments[dated + 1]?.start > wanted);
  const sane = within && before[dated] - Math.min(past, segments[dated].duration) >= 3 * list.target;
  const held = Math.max(0, before.findLastIndex((left) => left >= list.holdBack));
  const [at, into] = sane ? [dated, past] : [held, Math.max(0, before[held] - list.holdBack)];
  return { sequence: segments[at].sequence, into: Math.min(into, segments[at].duration - 0.1), sane };
}
