"""A crowd of listeners who do not fit in: each comes again and again, and what becomes of it is counted."""

import asyncio
import collections
import resource

from background import Background

# Who says nothing at all, one in so many; how often the others ask before they leave, and seconds between two of their questions.
SILENT, ASKS, BETWEEN = 5, 5, 2
# Seconds after which somebody comes again, and within which an answer must have begun to come.
AGAIN, ANSWER = 5, 60


class Crowd(Background):
    """So many listeners of the list at `path`, in a `with`. `counts`: what became of them, in words."""

    def __init__(self, url, path, listeners):
        super().__init__()
        self.host, self.port = url.removeprefix("http://").split(":")
        self.path, self.listeners = path, listeners
        self.counts = collections.Counter()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def run(self):
        asyncio.run(self._all())

    async def _all(self):
        tasks = [asyncio.create_task(self._one(number)) for number in range(self.listeners)]
        while not self.over.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        self.counts.update(repr(end) for end in ends if not isinstance(end, asyncio.CancelledError))

    async def _one(self, number):
        # They come one after the other, not all in the same moment of every round.
        await asyncio.sleep(AGAIN * number / self.listeners)
        while True:
            try:
                reader, writer = await asyncio.open_connection(self.host, int(self.port))
            except OSError:
                self.counts["not even connected"] += 1
                await asyncio.sleep(AGAIN)
                continue
            try:
                await (self._says_nothing(reader) if number % SILENT == 0 else self._asks(reader, writer))
            finally:
                writer.close()
            await asyncio.sleep(AGAIN)

    async def _says_nothing(self, reader):
        """Waits for the end. A silent one that is let in is there for half a minute."""
        try:
            said = (await reader.read(4096)).lower()
        except ConnectionError:
            said = b""
        refused = said.startswith(b"http/1.1 503 ")
        word = "closed" if not said else "503" if refused and b"\r\nretry-after: " in said else "503 without Retry-After" if refused else f"{said[:12]!r}"
        self.counts[f"{word}, silent"] += 1

    async def _asks(self, reader, writer):
        """Asks as a player does, and leaves."""
        for ask in range(ASKS):
            if ask:
                await asyncio.sleep(BETWEEN)
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode())
            try:
                status, headers, body = await asyncio.wait_for(answer(reader), ANSWER)
            except TimeoutError:
                self.counts["left waiting"] += 1
                return
            except (ConnectionError, asyncio.IncompleteReadError):
                # Who is let in stays: only the first question may find the door shut.
                self.counts["closed while it listened" if ask else "closed"] += 1
                return
            if status == 503:
                self.counts["503" if headers.get("retry-after", "").isdecimal() else "503 without Retry-After"] += 1
                return
            well = status == 200 and body.startswith(b"#EXTM3U")
            self.counts["answered" if well else f"status {status}"] += 1


async def answer(reader):
    """Status, headers and body of what comes next."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))
