"""Reads live HLS lists, and says what is wrong with one and with the step from one version to the next."""

import re
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class Segment:
    number: int
    uri: str
    seconds: float
    begins: float | None
    join: bool
    group: int
    title: str = ""


@dataclass
class List:
    text: str
    tags: dict = field(default_factory=dict)
    segments: list = field(default_factory=list)
    ranges: dict = field(default_factory=dict)
    ended: bool = False

    @property
    def end(self):
        """The media sequence behind the last one."""
        return self.segments[-1].number + 1 if self.segments else self.first

    @property
    def first(self):
        return int(self.tags.get("MEDIA-SEQUENCE", 0))

    @property
    def discontinuities(self):
        """How many went before the list."""
        return int(self.tags.get("DISCONTINUITY-SEQUENCE", 0))

    @property
    def target(self):
        return int(self.tags.get("TARGETDURATION", 0))

    @property
    def hold_back(self):
        return float(re.search(r"HOLD-BACK=([0-9.]+)", self.tags.get("SERVER-CONTROL", "HOLD-BACK=nan")).group(1))

    @property
    def start(self):
        return float(re.search(r"TIME-OFFSET=(-?[0-9.]+)", self.tags.get("START", "TIME-OFFSET=nan")).group(1))

    @property
    def seconds(self):
        return sum(segment.seconds for segment in self.segments)


def instant(text):
    """Unix seconds of an RFC 3339 date with a `Z`."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def parse(text):
    """The list in `text`. Tolerant: what is wrong is for `faults` to say."""
    result = List(text)
    begins = info = None
    join, extra = False, 0
    for line in text.split("\n"):
        if line.startswith("#EXTINF:"):
            seconds, _, title = line[8:].partition(",")
            info = (float(seconds), title)
        elif line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
            begins = instant(line[25:])
        elif line == "#EXT-X-DISCONTINUITY":
            join = True
        elif line == "#EXT-X-ENDLIST":
            result.ended = True
        elif line.startswith("#EXT-X-DATERANGE:"):
            result.ranges[re.search(r'ID="([^"]*)"', line).group(1)] = line
        elif line.startswith("#EXT-X-"):
            name, _, value = line[7:].partition(":")
            result.tags[name] = value
        elif line and not line.startswith("#") and info:
            extra += join
            group = int(result.tags.get("DISCONTINUITY-SEQUENCE", 0)) + extra
            number = result.first + len(result.segments)
            result.segments.append(Segment(number, line, info[0], begins, join, group, info[1]))
            begins = info = None
            join = False
    return result


def fetch(url, timeout=10):
    """The body at `url`."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read()


VARIANT = re.compile(r'#EXT-X-STREAM-INF:BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+),CODECS="mp4a\.40\.2"')


def is_master(text):
    return "#EXT-X-STREAM-INF" in text


def variants(text):
    """The lists that a master list names."""
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def master_faults(text):
    """What is wrong with the master list of a station."""
    wrong = []
    lines = text.split("\n")
    if lines[:3] != ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-INDEPENDENT-SEGMENTS"] or lines[-1]:
        wrong.append("must begin with #EXTM3U, VERSION and INDEPENDENT-SEGMENTS, and end with LF")
    for line, name in zip(lines[3:-1:2], lines[4:-1:2]):
        found = VARIANT.fullmatch(line)
        if not found or not 16_000 <= int(found.group(2)) <= int(found.group(1)) <= 600_000:
            wrong.append(f"{line} does not tell bandwidths and codec")
        if not re.fullmatch(r"live(-[1-9]\d{3,})?\.m3u8", name):
            wrong.append(f"{name} is no list beside it")
    if len(lines) % 2 or len(set(variants(text))) != len(variants(text)) or variants(text)[:1] != ["live.m3u8"]:
        wrong.append("must name live.m3u8 first, and each list once")
    return wrong


HEAD = ["VERSION", "TARGETDURATION", "SERVER-CONTROL", "START", "MEDIA-SEQUENCE", "DISCONTINUITY-SEQUENCE"]
URI = re.compile(r"/ipfs/baf[a-z2-7]{56}\?filename=s\.mpegts")


def faults(text, now=None, slack=0.0):
    """What is wrong with one list of a station (docs/hls.md §9, 1 to 9). `now`, in Unix seconds, adds where the air must be;
    `slack` is how old the list may be, in seconds."""
    wrong = []
    say = wrong.append
    if not text.startswith("#EXTM3U\n") or not text.endswith("\n") or "\r" in text:
        say("must begin with #EXTM3U and LF, end with LF, and have no CR")
    if any(ord(c) < 32 and c != "\n" for c in text):
        say("holds control characters")
    lines = text.split("\n")
    first_info = next((i for i, line in enumerate(lines) if line.startswith("#EXTINF")), len(lines))
    for tag in HEAD:
        at = [i for i, line in enumerate(lines) if line.startswith(f"#EXT-X-{tag}:")]
        if len(at) != 1 or at[0] > first_info:
            say(f"EXT-X-{tag} must stand once, before the first segment; lines {[i + 1 for i in at]}")
    for tag in ("PLAYLIST-TYPE", "ENDLIST", "GAP"):
        if f"#EXT-X-{tag}" in text:
            say(f"EXT-X-{tag} has no place in a live list")
    if wrong:
        return wrong
    try:
        live = parse(text)
    except (AttributeError, ValueError) as why:
        return [f"cannot be read: {why}"]
    if not live.segments:
        return ["lists no segment"]
    if not 3 * live.target <= live.hold_back == -live.start:
        say(f"HOLD-BACK {live.hold_back} must be at least {3 * live.target} and the opposite of START {live.start}")
    if live.seconds < live.hold_back:
        say(f"is {live.seconds:.3f} s long, shorter than its HOLD-BACK of {live.hold_back} s")
    for segment in live.segments:
        if not 0.5 <= segment.seconds <= live.target:
            say(f"{segment.number}: EXTINF {segment.seconds} is not within 0.5 and {live.target}")
        if not URI.fullmatch(segment.uri):
            say(f"{segment.number}: URI {segment.uri} is not /ipfs/<cid>?filename=s.mpegts")
        if segment.begins is None:
            say(f"{segment.number}: no EXT-X-PROGRAM-DATE-TIME")
    if any(segment.begins is None for segment in live.segments):
        return wrong
    for before, after in zip(live.segments, live.segments[1:]):
        step = after.begins - before.begins
        jumped = step - before.seconds
        # Where an item begins the dates may jump: forward by themselves, back if an operator has asked for it.
        if abs(jumped) > 0.0021 and not (after.join and abs(jumped) > 2 * live.target):
            say(f"{after.number}: dated {step:.3f} s after the one before, which lasts {before.seconds} s")
    starts = [segment.begins for segment in live.segments if segment.join]
    for name, line in live.ranges.items():
        begins = instant(re.search(r'START-DATE="([^"]*)"', line).group(1))
        # A chapter of an item has the item's ID and its own number behind it, and begins anywhere.
        if name.count("-") < 2 and begins >= live.segments[0].begins and min((abs(begins - s) for s in starts), default=1) > 0.001:
            say(f"DATERANGE {name} starts where no item does")
    spans = [(instant(begins), float(length), name) for name, begins, length in
             re.findall(r'#EXT-X-DATERANGE:ID="([^"]*)".*START-DATE="([^"]*)",DURATION=([0-9.]+)', text)]
    # Where the dates have gone back, the one before it is dated otherwise.
    back = {after.begins for before, after in zip(live.segments, live.segments[1:]) if after.join and after.begins < before.begins}
    for (begins, length, name), (after, _, _) in zip(spans, spans[1:]):
        if begins + length > after + 0.0001 and not any(abs(after - date) < 0.001 for date in back):
            say(f"DATERANGE {name} goes on {(begins + length - after) * 1000:.0f} ms into the next one")
    if len(re.findall(r"#EXT-X-DATERANGE", text)) != len(live.ranges):
        say("two DATERANGE with the same ID")
    if now is not None:
        ahead = live.segments[-1].begins + live.segments[-1].seconds - now
        look_ahead = live.hold_back - 2 * live.target
        if not look_ahead - 2 * live.target - slack <= ahead <= look_ahead + live.target + 0.5:
            say(f"ends {ahead:.1f} s after now; the look-ahead is {look_ahead:.0f} s")
    return wrong


def step_faults(before, after, holds_back=True):
    """What is wrong with the step from one version of a list to a later one (docs/hls.md §9, 10 to 14). `holds_back`: whether
    all hold back by the same; a station that starts again after its clock was set back has a longer list, and waits by it."""
    wrong = []
    say = wrong.append
    if after.first < before.first:
        say(f"the media sequence went back from {before.first} to {after.first}")
    if after.end < before.end:
        say(f"the end went back from {before.end} to {after.end}")
    if after.first > before.end:
        say(f"a hole: the list before ended at {before.end}, this one begins at {after.first}")
    for tag in ("VERSION", "TARGETDURATION", *(("SERVER-CONTROL", "START") if holds_back else ())):
        if before.tags.get(tag) != after.tags.get(tag):
            say(f"EXT-X-{tag} changed from {before.tags.get(tag)} to {after.tags.get(tag)}")
    known = {segment.number: segment for segment in before.segments}
    for segment in after.segments:
        old = known.get(segment.number)
        if old and old != segment:
            say(f"{segment.number} changed from {old} to {segment}")
    removed = [s for s in before.segments if s.number < after.first]
    gone = sum(s.join for s in removed)
    was, now = (int(x.tags.get("DISCONTINUITY-SEQUENCE", 0)) for x in (before, after))
    if after.first <= before.end and now - was != gone:
        say(f"DISCONTINUITY-SEQUENCE went from {was} to {now}, but {gone} joins left the list")
    for name, line in after.ranges.items():
        if name in before.ranges and before.ranges[name] != line:
            say(f"DATERANGE {name} changed: {before.ranges[name]} -> {line}")
    return wrong
