"""Many HLS clients in one event loop, which tells how late it is itself.

Each keeps one connection, loads the list anew as RFC 8216bis §6.3.4 has it, begins HOLD-BACK behind the end and fetches as far ahead
as a player does.
"""

import asyncio
import re
import time

from coded import cid
from playlist import faults, parse, step_faults

# Seconds of sound that a player fetches ahead of what is heard, and seconds that an answer may take at all.
AHEAD, PATIENCE = 30, 30
# How often the loop's own lateness is looked at, in seconds, and what the grain of its timers makes of that.
TICK, GRAIN = 0.005, 0.002
# Versions of the list, and bodies of segments, that are remembered to compare what others get.
KEPT = 200
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Refused(Exception):
    """A new connection has ended before anything came."""


class Failed(Exception):
    """A request has not got what it should."""


class Lateness:
    """How late the loop was: what of a latency is of this process, or of a machine that did not let it run, and of no server."""

    def __init__(self):
        self.total, self.due, self.each = 0.0, float("inf"), []

    async def run(self):
        while True:
            self.due = time.perf_counter() + TICK + GRAIN
            await asyncio.sleep(TICK)
            late = max(0.0, time.perf_counter() - self.due)
            self.total += late
            self.each.append(late)

    def until(self, now):
        """Seconds so far, with those of a tick that is due."""
        return self.total + max(0.0, now - self.due)


class Connection(asyncio.Protocol):
    """HTTP/1.1, one request after the other. Answers are timed where their last byte is read."""

    def __init__(self, lateness):
        self.lateness = lateness
        self.transport = self.waiting = self.need = None
        self.received, self.answers, self.closed = bytearray(), 0, False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        if self.need is None:
            head = self.received.find(b"\r\n\r\n")
            if head < 0:
                return
            length = LENGTH.search(self.received, 0, head + 2)
            if not length:
                return self._settle(Failed("an answer without a length"))
            self.start, self.need = head + 4, head + 4 + int(length.group(1))
        if len(self.received) >= self.need:
            now = time.perf_counter()
            took = now - self.asked, self.lateness.until(now) - self.late
            status, body = int(self.received[9:12]), bytes(memoryview(self.received)[self.start : self.need])
            self.received, self.need = bytearray(self.received[self.need :]), None
            self.answers += 1
            self._settle((status, body, took))

    def connection_lost(self, error):
        self.closed = True
        self._settle(Failed(f"the connection ended within an answer: {error}") if self.received else Refused(str(error)))

    def _settle(self, result):
        if self.waiting and not self.waiting.done():
            self.waiting.set_exception(result) if isinstance(result, Exception) else self.waiting.set_result(result)

    async def get(self, path):
        """Status, body, and how long it took from the sending: seconds, and those of them in which the loop was late."""
        if self.closed:
            raise Refused
        self.waiting = asyncio.get_running_loop().create_future()
        self.asked = time.perf_counter()
        self.late = self.lateness.until(self.asked)
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.waiting
        except TimeoutError:
            raise Failed(f"no answer within {PATIENCE} s") from None

    def close(self):
        if self.transport:
            self.transport.abort()


class Crowd:
    """Clients of the list at `path` of a server. `clock`: that by which they hear. `exact`: whether the list must reach the
    look-ahead by the clock. `full`: whether there are more than the server lets in, which may then refuse who was not inside yet."""

    def __init__(self, port, path, clock, lateness, exact=True, full=False):
        self.port, self.path, self.clock, self.lateness = port, path, clock, lateness
        self.exact, self.full = exact, full
        self.lists, self.segments = [], []
        self.bytes = self.refused = self.reopened = self.inside = self.whole = 0
        self.wrong, self.behind = [], []
        self.versions, self.steps, self.bodies = {}, {}, {}
        self.target = 1

    @property
    def answers(self):
        return len(self.lists) + len(self.segments)

    def say(self, words):
        if len(self.wrong) < 1000:
            self.wrong.append(words)

    def version(self, body):
        """The list in `body`, which is read and judged once."""
        known = self.versions.get(body)
        if known is None:
            text = body.decode(errors="replace")
            for words in (wrong := faults(text)):
                self.say(words)
            if self.exact:
                self.behind += [words for words in faults(text, self.clock.now(), 1.5 * self.clock.speed) if words not in wrong]
            try:
                known = parse(text)
            except (AttributeError, ValueError) as why:
                raise Failed(f"no list: {why}") from None
            if not known.segments:
                raise Failed("a list without segments")
            remember(self.versions, body, known)
            self.target = known.target or self.target
        return known

    def step(self, before, after):
        """Judges a step from one version to another, once."""
        pair = before.text, after.text
        if pair not in self.steps:
            remember(self.steps, pair, True)
            for words in step_faults(before, after):
                self.say(words)

    def check(self, uri, body):
        """Every body of a segment is held against its name: the first by its hash, the others by the first."""
        first = self.bodies.get(uri)
        if first is None:
            if cid(body) != uri.removeprefix("/ipfs/").split("?")[0]:
                return self.say(f"{uri} does not hash to its name")
            self.whole += 1
            remember(self.bodies, uri, body)
        elif body != first:
            self.say(f"{uri} is not what it was")

    async def stay(self, count, seconds, over):
        """So many clients for so long, which arrive within `over` seconds."""
        clients = [Client(self) for _ in range(count)]
        tasks = [asyncio.create_task(client.listen(over * number / count)) for number, client in enumerate(clients)]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            client.leave()
        for task in done:
            task.result()


def remember(known, key, value):
    """Keeps the latest of them."""
    known[key] = value
    if len(known) > KEPT:
        del known[next(iter(known))]


class Client:
    def __init__(self, crowd):
        self.crowd = crowd
        self.connection = self.live = self.next = self.began = None
        self.heard = 0.0
        self.inside = False

    def leave(self):
        if self.connection:
            self.connection.close()

    async def listen(self, wait):
        await asyncio.sleep(wait)
        crowd = self.crowd
        while True:
            began, changed = time.perf_counter(), True
            try:
                changed = await self.load()
            except (Failed, OSError) as why:
                crowd.say(f"{type(why).__name__}: {why}")
                self.leave()
                self.connection = None
            except Refused:
                crowd.refused += 1
                if self.inside or not crowd.full:
                    crowd.say(f"a connection is refused while {crowd.inside} have been let in")
            again = crowd.target / crowd.clock.speed * (1 if changed else 0.5)
            await asyncio.sleep(max(0.0, began + again - time.perf_counter()))

    async def load(self):
        """Loads the list and what is wanted of it. Returns whether it was another."""
        crowd = self.crowd
        live = crowd.version(await self.get(crowd.path, crowd.lists))
        before, self.live = self.live, live
        if before is live:
            await self.fill()
            return False
        if before:
            crowd.step(before, live)
        else:
            self.began, self.next = time.perf_counter(), start(live)
        if self.next < live.first:
            self.live = None
            raise Failed(f"{self.next} left the list before it was fetched; it begins at {live.first}")
        await self.fill()
        return True

    async def fill(self):
        """Fetches as much as a player does: some sound ahead of what is heard."""
        crowd = self.crowd
        for segment in self.live.segments[self.next - self.live.first :]:
            if self.heard - (time.perf_counter() - self.began) * crowd.clock.speed > AHEAD:
                return
            crowd.check(segment.uri, await self.get(segment.uri, crowd.segments))
            self.next, self.heard = segment.number + 1, self.heard + segment.seconds

    async def get(self, path, times):
        """The body, over the connection that is there. One that was closed while nobody asked is opened anew."""
        for _ in range(2):
            new = self.connection is None
            if new:
                connection = Connection(self.crowd.lateness)
                await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", self.crowd.port)
                self.connection = connection
            try:
                status, body, took = await self.connection.get(path)
                break
            except Refused:
                self.leave()
                self.connection = None
                if new:
                    raise
                self.crowd.reopened += 1
        else:
            raise Refused
        if not self.inside:
            self.inside, self.crowd.inside = True, self.crowd.inside + 1
        if status != 200:
            raise Failed(f"{path}: {status}")
        self.crowd.bytes += len(body)
        times.append(took)
        return body


def start(live):
    """The number of the segment in which a listener begins: HOLD-BACK behind the end."""
    left = live.seconds - live.hold_back
    for segment in live.segments:
        if left < segment.seconds:
            return segment.number
        left -= segment.seconds
    return live.end - 1
