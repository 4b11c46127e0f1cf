"""Reads everything that a node shows, over and over, and holds all that was ever seen against each other.

Over HTTP only, as a listener or a gateway sees it; a node that is dead for a while is read again as soon as it answers.
"""

import contextlib
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import coded
from background import Looking
from playlist import fetch, faults, parse, step_faults

# Behind the return of a station its list may be shorter than the look-ahead for so long, in real seconds.
FILLING = 5
# A segment that was listed is there, at the latest after so many seconds: its station may just have been killed.
PATIENCE = 30


class Seen:
    """All that was seen of a station, at whatever node. `said`: what is wrong."""

    def __init__(self, segments=(), said=()):
        self.segments = {int(number): tuple(values) for number, values in dict(segments).items()}
        self.said = list(said)
        self.lock = threading.Lock()

    def say(self, words):
        with self.lock:
            if len(self.said) < 200:
                self.said.append(words)

    def take(self, who, live):
        """Holds each segment against what it was before."""
        with self.lock:
            for segment in live.segments:
                values = (segment.uri, segment.seconds, segment.begins, segment.join)
                known = self.segments.setdefault(segment.number, values)
                if known != values:
                    self.said.append(f"{who}: {segment.number} was {known} and is {values}")


class Observer(Looking):
    """One place where the list is to be had. `left`: the sound that the last list still had when the next one came, in seconds,
    at least. `exact`: whether the list must reach the look-ahead by its dates, at every time; otherwise the dates may be off,
    and what is left follows from the sound that was listed. `own`: whether each segment is fetched from here; `slow`: whether
    time goes slower here than at the station, so that all of a list may be over when the next one comes."""

    def __init__(self, name, url, clock, seen, pause, exact=False, own=True, slow=False):
        super().__init__(pause)
        self.name, self.url, self.clock, self.seen = name, url, clock, seen
        self.exact, self.own, self.slow = exact, own, slow
        self.before, self.sequence = None, None
        # When what was listed has been heard, by the clock.
        self.heard_out = None
        self.reads = self.versions = self.refusals = self.records = self.fetched = 0
        self.left = float("inf")
        # Whether the next list may begin anew, above all that was listed, discontinuities too: of one that is lost nobody knows where it ended.
        self.anew = False
        self.returned = time.monotonic()
        self.fetchers, self.whole = ThreadPoolExecutor(2), set()

    def end(self):
        super().end()
        self.fetchers.shutdown()

    def look(self):
        try:
            text = fetch(self.url, 30).decode()
        except (OSError, ValueError) as why:
            self.refusals += 1
            self.returned = time.monotonic()
            return str(why)
        self.reads += 1
        if self.exact:
            # A station that has just started has a list before it has signed a record of it.
            with contextlib.suppress(OSError):
                self._record(fetch(self.url + "?format=ipns-record", 30))
        if not self.before or text != self.before.text:
            self._list(text)
        return None

    def _list(self, text):
        now = self.clock.now()
        self.versions += 1
        filled = self.exact and time.monotonic() - self.returned > FILLING
        wrong = faults(text, now if filled else None, 1.5 * self.clock.speed)
        live = parse(text)
        if self.before and self.anew and live.first > self.before.end:
            self.anew, self.heard_out = False, None
            if live.discontinuities < self.before.discontinuities:
                wrong.append(f"the discontinuity sequence goes back from {self.before.discontinuities} to {live.discontinuities}")
        elif self.before and self.slow and live.first > self.before.end:
            self.heard_out = None
        elif self.before:
            wrong += step_faults(self.before, live, holds_back=self.exact)
            last = self.before.segments[-1]
            self.left = min(self.left, (last.begins + last.seconds if self.exact else self.heard_out) - now)
        for words in wrong[:5]:
            self.seen.say(f"{self.name}: {words}")
        if live.segments:
            begins = self.heard_out is None
            fresh = sum(segment.seconds for segment in live.segments if begins or segment.number >= self.before.end)
            self.heard_out = now + min(fresh, live.hold_back - 2 * live.target) if begins else self.heard_out + fresh
            self.before = live
            self.seen.take(self.name, live)
            for segment in live.segments if self.own else ():
                if segment.uri not in self.whole:
                    self.whole.add(segment.uri)
                    self.fetchers.submit(self._fetch, segment)

    def _record(self, record):
        """The name's own record: its sequence never goes back, and one sequence never means two things."""
        sequence, value = read_record(record)
        self.records += 1
        if self.sequence and (sequence < self.sequence[0] or (sequence == self.sequence[0] and value != self.sequence[1])):
            self.seen.say(f"{self.name}: the record went from {self.sequence} to {(sequence, value)}")
        self.sequence = (sequence, value)

    def _fetch(self, segment):
        deadline, why = time.monotonic() + PATIENCE, None
        while time.monotonic() < deadline and not self.over.is_set():
            try:
                body = fetch(urllib.parse.urljoin(self.url, segment.uri), 30)
            except OSError as error:
                why = error
                time.sleep(0.1)
                continue
            self.fetched += 1
            if coded.cid(body) != segment.uri.removeprefix("/ipfs/").split("?")[0]:
                self.seen.say(f"{self.name}: {segment.uri} does not hash to its name")
            return
        if not self.over.is_set():
            self.seen.say(f"{self.name}: {segment.uri} cannot be fetched: {why}")


def read_record(body):
    """Sequence and value of an IPNS record: fields 5 and 1 of its protobuf."""
    at, fields = 0, {}
    while at < len(body):
        key, at = varint(body, at)
        if key & 7 == 0:
            fields[key >> 3], at = varint(body, at)
        elif key & 7 == 2:
            length, at = varint(body, at)
            fields[key >> 3], at = body[at : at + length], at + length
        else:
            raise ValueError(f"a field of kind {key & 7}")
    return fields.get(5, 0), fields.get(1, b"").decode(errors="replace")


def varint(body, at):
    value = shift = 0
    while True:
        byte = body[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
