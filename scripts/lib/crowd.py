"""A crowd of listeners who do not fit in: each comes again and again, and what becomes of it is counted."""

import asyncio
import collections
import contextlib
import resource
import threading

# Who says nothing at all, one in so many; how often the others ask before they leave, and seconds between two of their questions.
SILENT, ASKS, BETWEEN = 5, 5, 2
# Seconds after which somebody comes again, and within which an answer must have begun to come.
AGAIN, ANSWER = 5, 60


class Crowd(threading.Thread):
    """So many listeners of the list at `path`, in a `with`. `counts`: what became of them, in words."""

    def __init__(self, url, path, listeners):
        super().__init__(daemon=True)
        self.host, self.port = url.removeprefix("http://").split(":")
        self.path, self.listeners = path, listeners
        self.counts, self.over = collections.Counter(), threading.Event()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        asyncio.run(self._all())

    async def _all(self):
        tasks = [asyncio.create_task(self._one(number)) for number in range(self.listeners)]
        while not self.over.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
                wait = await (self._says_nothing(reader) if number % SILENT == 0 else self._asks(reader, writer))
            except (ConnectionError, asyncio.IncompleteReadError):
                self.counts["closed"] += 1
                wait = AGAIN
            finally:
                writer.close()
            await asyncio.sleep(wait)

    async def _says_nothing(self, reader):
        """Waits for the end. A silent one that is let in is there for half a minute."""
        answer = await reader.read(4096)
        self.counts["503, silent" if answer.startswith(b"HTTP/1.1 503 ") else "closed, silent" if not answer else f"{answer[:12]!r}, silent"] += 1
        return AGAIN

    async def _asks(self, reader, writer):
        """Asks as a player does, and leaves. Gives how long to wait."""
        for ask in range(ASKS):
            if ask:
                await asyncio.sleep(BETWEEN)
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER):
                    status, headers, body = await answer(reader)
                    if status == 503:
                        self.counts["503" if headers.get("retry-after", "").isdecimal() else "503 without Retry-After"] += 1
                        return AGAIN
                    well = status == 200 and body.startswith(b"#EXTM3U")
                    self.counts["answered" if well else f"status {status}"] += 1
                    continue
            self.counts["left waiting"] += 1
            return AGAIN
        return AGAIN


async def answer(reader):
    """Status, headers and body of what comes next."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))
