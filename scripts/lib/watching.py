"""Watches the list of a node as a client with time to think does: every version, every segment, in order and in time."""

import random
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import coded
from playlist import fetch, faults, parse, step_faults

# What a spot check looks at aired so long ago at most, in seconds: it is kept for an hour at least.
PAST = 3000
# Bodies of items that may wait to be decoded.
WAITING = 8


class Watcher:
    """`faults`: what is wrong, as (station seconds, words). `lead`: how many seconds before its air a segment was there, at
    least. `away`: looks in a row that nobody answered."""

    def __init__(self, name, node, clock, book, slack):
        self.name, self.node, self.clock, self.book, self.slack = name, node, clock, book, slack
        self.before = None
        self.segments, self.faults, self.joins = {}, [], 0
        self.lead = float("inf")
        self.lists = self.away = self.bytes = 0
        self.began = clock.now()
        self.item, self.decoding, self.aired = None, [], []
        self.chance = random.Random(1)
        self.decoders = ThreadPoolExecutor(1)

    def say(self, words):
        self.faults.append((round(self.clock.now() - self.began, 1), f"{self.name}: {words}"))

    def look(self):
        """Reads the list and fetches what is new. False if nobody answers."""
        try:
            text = fetch(self.node.stream, 5).decode()
        except OSError:
            self.away += 1
            return False
        self.away = 0
        now = self.clock.now()
        if self.before and text == self.before.text:
            return True
        self.lists += 1
        wrong = faults(text, now, self.slack)
        live = parse(text)
        if self.before:
            wrong += step_faults(self.before, live)
        for words in wrong[:5]:
            self.say(words)
        first = not self.segments
        end = max(self.segments, default=live.first - 1)
        for segment in live.segments:
            known = self.segments.get(segment.number)
            if segment.number > end:
                self._take(segment, None if first else now)
            elif known and (known.uri, known.begins, known.join) != (segment.uri, segment.begins, segment.join):
                self.say(f"{segment.number} was {known.uri} at {known.begins} and is {segment.uri} at {segment.begins}")
        self.before = live
        return True

    def _take(self, segment, now):
        """One segment that was not listed before; `now` if it is known when it came."""
        last = self.segments.get(segment.number - 1)
        if self.segments and not last:
            return self.say(f"{segment.number - 1} was never listed")
        if last and abs(segment.begins - last.begins - last.seconds) > 0.0021:
            self.say(f"{segment.number} begins {segment.begins - last.begins - last.seconds:+.3f} s behind the one before it")
        if now is not None:
            self.lead = min(self.lead, segment.begins - now)
        self.segments[segment.number] = segment
        self.joins += segment.join
        body = self._body(segment)
        self.bytes += len(body or b"")
        if segment.join:
            self._decode()
            self.item = []
        if self.item is not None:
            self.item.append((segment, body))

    def _body(self, segment):
        """Its bytes; `None`, and told, if they are not there or not what the name says."""
        try:
            body = fetch(urllib.parse.urljoin(self.node.stream, segment.uri), 10)
        except OSError as why:
            # A kill may come between the list and the segment: the next node has it.
            return self._again(segment, why)
        return body if self._is(body, segment) else None

    def _again(self, segment, why):
        for _ in range(100):
            self.clock.sleep(self.clock.speed / 10)
            try:
                body = fetch(urllib.parse.urljoin(self.node.stream, segment.uri), 10)
                return body if self._is(body, segment) else None
            except OSError as error:
                why = error
        self.say(f"{segment.uri} cannot be fetched: {why}")
        return None

    def _is(self, body, segment):
        well = coded.cid(body) == segment.uri.removeprefix("/ipfs/").split("?")[0]
        if not well:
            self.say(f"{segment.uri} does not hash to its name")
        return well

    def _decode(self):
        """Hands on the item that is complete."""
        if not self.item or not self.book:
            return
        parts, self.item = self.item, None
        if any(body is None for _, body in parts):
            return
        if len(self.decoding) >= WAITING:
            self.decoding.pop(0).result()
        self.decoding.append(self.decoders.submit(self._check, parts))

    def _check(self, parts):
        """The item as it aired: which one it is, how long, and each of its samples."""
        blocks = tuple(coded.cid(body) for _, body in parts)
        path = self.book.blocks.get(blocks)
        if path is None:
            return self.say(f"{parts[0][0].number} to {parts[-1][0].number} are no item, whole and in order")
        listed = round(sum(segment.seconds for segment, _ in parts) * coded.RATE)
        if abs(listed - self.book.counts[path] * coded.FRAME) > len(parts):
            self.say(f"{path} is listed with {listed} samples, not {self.book.counts[path] * coded.FRAME}")
        if hash(coded.decode(b"".join(body for _, body in parts))) != self.book.sounds[path]:
            self.say(f"{path} at {parts[0][0].number} does not sound as it was encoded")
        self.aired.append(path)
        return None

    def spot_check(self):
        """Whether a segment that was listed at some time of the last 50 minutes can be read back by its name."""
        now = self.clock.now()
        old = [segment for segment in self.segments.values() if now - PAST < segment.begins < now]
        if not old:
            return True
        segment = self.chance.choice(old)
        try:
            return self._is(fetch(urllib.parse.urljoin(self.node.stream, segment.uri), 10), segment)
        except OSError as why:
            self.say(f"{segment.uri}, aired {now - segment.begins:.0f} s ago, cannot be read back: {why}")
            return False

    def close(self):
        self.decoders.shutdown()
        for waiting in self.decoding:
            waiting.result()
