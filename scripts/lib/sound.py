"""What a client let be heard, compared with what the station sent: both as curves of 10 ms peaks."""

import array
import math
import re
import subprocess
import urllib.parse
from dataclasses import dataclass, field
from operator import mul

from playlist import fetch, parse

RATE = 44100
STEP = RATE // 100
STEP_BYTES = 4 * STEP
SILENT = 33  # of 32 768: -60 dBFS
HOLE = 6  # steps: what is shorter is a join, not a silence
WINDOW = 200
ALIKE = 0.93


def curve(pcm):
    """The highest magnitude in each 10 ms of interleaved stereo s16 at 44.1 kHz."""
    samples = array.array("h", pcm[: len(pcm) // 4 * 4])
    block = 2 * STEP
    return [max(max(piece), -min(piece)) for piece in (samples[i : i + block] for i in range(0, len(samples) - block + 1, block))]


def smooth(peaks):
    """The curve without what depends on where its 10 ms happen to begin."""
    for _ in range(2):
        peaks = [(a + 2 * b + c) / 4 for a, b, c in zip(peaks[:1] + peaks[:-1], peaks, peaks[1:] + peaks[-1:])]
    return peaks


def silences(peaks):
    """Runs of silence as (first step, steps), from 60 ms on."""
    runs, begin = [], None
    for i, peak in enumerate(peaks + [SILENT]):
        if peak < SILENT and begin is None:
            begin = i
        elif peak >= SILENT and begin is not None:
            if i - begin >= HOLE:
                runs.append((begin, i - begin))
            begin = None
    return runs


def likeness(a, b):
    """Pearson's correlation of two curves of one length; 0 where one of them is flat."""
    n = len(a)
    mean_a, mean_b = sum(a) / n, sum(b) / n
    var_a = sum(map(mul, a, a)) - n * mean_a * mean_a
    var_b = sum(map(mul, b, b)) - n * mean_b * mean_b
    if var_a < 1 or var_b < 1:
        return 0.0
    return (sum(map(mul, a, b)) - n * mean_a * mean_b) / math.sqrt(var_a * var_b)


class Source:
    """Everything that the list named while the test ran, decoded directly."""

    def __init__(self, url):
        self.url = url
        self.segments = {}

    def look(self):
        """Reads the list; called often enough that no segment is missed."""
        live = parse(fetch(self.url).decode())
        for segment in live.segments:
            self.segments.setdefault(segment.number, segment)
        return live

    def decode(self, begins):
        """Decodes what airs from a wall time on, item by item, and lays it on one curve."""
        self.peaks, self.joins = [], []
        rest = b""
        wanted = [self.segments[n] for n in sorted(self.segments) if self.segments[n].begins > begins]
        runs = []
        for segment in wanted:
            if segment.join or not runs:
                runs.append([])
            runs[-1].append(segment)
        self.begins = wanted[0].begins
        for run in runs:
            body = b"".join(fetch(urllib.parse.urljoin(self.url, segment.uri)) for segment in run)
            pcm = subprocess.run(
                ["ffmpeg", "-v", "error", "-f", "mpegts", "-i", "-", "-ar", str(RATE), "-ac", "2", "-f", "s16le", "-"],
                input=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
            if run[0].join and self.peaks:
                self.joins.append(len(self.peaks))
            # What fills no step goes into the first step of the next item: players join them without a gap.
            pcm = rest + pcm
            self.peaks += curve(pcm)
            rest = pcm[len(pcm) // STEP_BYTES * STEP_BYTES :]
        self.silences = silences(self.peaks)
        self.smooth = smooth(self.peaks)

    def join_near(self, first, last):
        """Whether two items meet within two seconds of the steps between the two."""
        return any(min(first, last) - 200 <= join <= max(first, last) + 200 for join in self.joins)


@dataclass
class Heard:
    """What one client played: silences of its own, (second, by) where it left the source's course in the middle of an item
    (`jumps`) and where two items meet (`cuts`), seconds that are not the source's, boundaries crossed."""

    seconds: float = 0.0
    behind: float = 0.0
    holes: list = field(default_factory=list)
    jumps: list = field(default_factory=list)
    cuts: list = field(default_factory=list)
    foreign: int = 0
    joins: int = 0


def in_step(pcm, source, began):
    """The curve of what a client played, with its steps laid where the source has them: a dense recording looks different in
    other steps."""
    peaks = curve(pcm)
    lead, at = _begin(smooth(peaks), peaks, source, began)
    if at is None:
        return peaks

    def likeness_with(skip):
        head = smooth(curve(pcm[lead * STEP_BYTES + 4 * skip : (lead + 1000) * STEP_BYTES]))
        # The place found is the likely one that is nearest to where a listener is due: a few steps off, maybe.
        return max(_course(head, 0, source.smooth, place) for place in range(max(0, at - 4), at + 5))

    skip = max(range(0, STEP, 10), key=likeness_with)
    return curve(pcm[4 * skip :])


def _begin(course, peaks, source, began):
    """Where the client's curve and the source's first agree. The first seconds may be odd; what comes later tells as well."""
    lead = next((i for i, peak in enumerate(peaks) if peak >= SILENT), len(peaks))
    places = ((i, _find(course, i, source, began + i / 100)) for i in range(lead, len(peaks) - 600, 300))
    return next(((i, at) for i, at in places if at is not None), (lead, None))


def compare(peaks, source, began):
    """Follows the client's curve along the source's. `began`: wall time of the client's first block."""
    heard = Heard(seconds=len(peaks) / 100)
    course = smooth(peaks)
    lead, at = _begin(course, peaks, source, began)
    if at is None:
        heard.foreign = int(heard.seconds)
        return heard
    offset = at - lead
    heard.behind = began - (source.begins + offset / 100)
    offsets, matched = {}, set()
    for i in range(lead, len(course) - WINDOW, 100):
        window = course[i : i + WINDOW]
        best, lag = _near(window, source.smooth, i + offset, 0, 12)
        if best < ALIKE:
            best, lag = max((best, lag), _near(window, source.smooth, i + offset, 0, 150))
        if best < ALIKE:
            best, lag = max((best, lag), _near(window, source.smooth, i + offset, 0, 4000))
        offsets[i] = offset
        if best < ALIKE:
            continue
        # A second window must agree, so that a likeness by chance moves nothing.
        after = course[i + WINDOW // 2 : i + WINDOW // 2 + WINDOW]
        agreed = len(after) < WINDOW or _near(after, source.smooth, i + WINDOW // 2 + offset + lag, 0, 12)[0] >= ALIKE
        if abs(lag) > 5 and agreed:
            kind = heard.cuts if source.join_near(i + offset, i + offset + lag) else heard.jumps
            kind.append((round(i / 100, 1), round(lag / 100, 2)))
        if abs(lag) <= 5 or agreed:
            matched.update((i // 100, i // 100 + 1))
            offset += lag
            offsets[i] = offset
    for second in range(lead // 100 + 1, len(peaks) // 100 - 3):
        at = second * 100
        flat = max(peaks[at : at + 100]) < 2 * SILENT
        place = at + offsets[max((i for i in offsets if i <= at), default=lead)]
        if second not in matched and not flat and not source.join_near(place, place + 100):
            heard.foreign += 1
    heard.holes = [hole for hole in silences(peaks) if hole[0] > lead and not _in_source(hole, offsets, source)]
    first, last = lead + offsets.get(lead, offset), len(peaks) + offset
    heard.joins = sum(1 for join in source.joins if first < join < last)
    return heard


def behind_at_the_end(peaks, source, wall):
    """Seconds behind the air at the last place that can be told, at most a minute before the end; None if there is none.
    `wall(step)`: the wall time at which a step was heard."""
    course = smooth(peaks)
    for i in range(len(peaks) - 1000, max(0, len(peaks) - 7000), -500):
        at = _find(course, i, source, wall(i))
        if at is not None:
            return wall(i) - (source.begins + at / 100)
    return None


def _find(peaks, lead, source, when):
    """Where in the source the client starts. Music repeats itself: many places are likely, the right one goes on being so;
    of places that fit about equally, the one nearest to where HOLD-BACK puts a listener, two segments behind the air."""
    probe = peaks[lead : lead + 200]
    if len(probe) < 200:
        return None
    coarse = sorted(((likeness(probe, source.smooth[i : i + 200]), i) for i in range(0, len(source.smooth) - 200, 2)), reverse=True)
    fine = {}
    for _, i in coarse[:100]:
        for j in range(max(0, i - 2), i + 3):
            if j not in fine:
                fine[j] = _course(peaks, lead, source.smooth, j)
    top = max(fine.values(), default=0)
    due = (when - 12 - source.begins) * 100
    return min((j for j, like in fine.items() if like >= top - 0.05), key=lambda j: abs(j - due)) if top >= ALIKE else None


def _course(peaks, lead, others, at):
    """The mean likeness of two-second windows over eight seconds."""
    starts = range(0, min(800, len(peaks) - lead - 200), 200)
    return sum(likeness(peaks[lead + s : lead + s + 200], others[at + s : at + s + 200]) if at + s + 200 <= len(others) else 0
               for s in starts) / max(1, len(starts))


def _near(window, peaks, at, nearest, furthest):
    """The best likeness and its lag within `furthest` steps of `at`; the nearer one where they are equal."""
    best = (-1.0, 0)
    for distance in range(nearest, furthest + 1):
        for lag in {distance, -distance}:
            i = at + lag
            if 0 <= i <= len(peaks) - len(window):
                like = likeness(window, peaks[i : i + len(window)])
                if like > best[0] + 0.002:
                    best = (like, lag)
        if best[0] > 0.995:
            break
    return best


def _in_source(hole, offsets, source):
    """Whether the source is silent there for as long, give or take a join."""
    begin, length = hole
    keys = [i for i in offsets if i <= begin]
    if not keys:
        return False
    at = begin + offsets[max(keys)]
    return any(b - 30 <= at + length and at <= b + n + 30 and n >= length - 6 for b, n in source.silences)


def levels(path):
    """Integrated loudness in LUFS and true peak in dBTP of an audio file, by ffmpeg."""
    run = subprocess.run(["ffmpeg", "-nostdin", "-hide_banner", "-i", path, "-vn", "-af", "ebur128=framelog=verbose:peak=true", "-f", "null", "-"],
                         stderr=subprocess.PIPE, text=True, check=True)
    last = [re.findall(pattern, run.stderr)[-1:] for pattern in (r"I:\s+(-?[0-9.]+) LUFS", r"Peak:\s+(-?[0-9.]+) dBFS")]
    return tuple(float(found[0]) if found else math.nan for found in last)


def loudness(path):
    """Integrated loudness in LUFS of an audio file, by ffmpeg."""
    return levels(path)[0]
