"""A sound card of our own: takes a client's PCM at the pace of real time and stamps each block that arrives.

A stall is the time for which the card is dry. Files have no holes, and a client that decodes faster than real time hides
every stall; so the card holds no more than its small buffer, and the pipe before it no more than a page.
"""

import fcntl
import os
import select
import signal
import subprocess
import time

BYTES_PER_SECOND = 44100 * 2 * 2
PIPE_BYTES = 4096
F_SETPIPE_SZ = 1031


def own_delay():
    """Seconds for which this process was ready to run and did not: what must not be blamed on the client."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def play(command, fifo, pcm_path, log_path, seconds, buffer_seconds, pauses=(), first_wait=60, cwd=None, env=None):
    """Runs `command`, which writes s16le stereo at 44.1 kHz into `fifo`, and plays it for `seconds`.

    `pauses`: (at, length) pairs for which the client is stopped; only the test of this test does that.
    Returns the gaps as [(at, length)] and when the first block came; writes the PCM and the client's own words.
    """
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(reader, F_SETPIPE_SZ, PIPE_BYTES)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    with open(log_path, "wb") as log, open(pcm_path, "wb") as pcm:
        client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, env=env,
                                  start_new_session=True)
        try:
            return _consume(reader, poll, pcm, client, seconds, buffer_seconds, list(pauses), first_wait)
        finally:
            _end(client)
            os.close(reader)


def _consume(reader, poll, pcm, client, seconds, buffer_seconds, pauses, first_wait):
    room = int(buffer_seconds * BYTES_PER_SECOND)
    launched = time.monotonic()
    began = None  # of playing
    first = None  # wall time of the first block
    wait = None
    base = received = 0
    gaps, stamps, died = [], [], None
    resume = None
    delay = own_delay()
    while True:
        now = time.monotonic()
        if began is None and now - launched > first_wait:
            break
        if began is not None and now - start >= seconds:
            break
        if died is None and client.poll() is not None:
            died = now
        if died and now - died > 1:
            break
        if began is not None and pauses and now - start >= pauses[0][0]:
            _signal(client, signal.SIGSTOP)
            resume = now + pauses.pop(0)[1]
        if resume and now >= resume:
            _signal(client, signal.SIGCONT)
            resume = None
        level = received if began is None else received - base - (now - began) * BYTES_PER_SECOND
        free = room - level
        if free < 1024:
            time.sleep(min(0.01, 1024 / BYTES_PER_SECOND))
            continue
        if not poll.poll(5):
            continue
        block = os.read(reader, max(4096, int(free) // 4 * 4))
        now = time.monotonic()
        pcm.write(block)
        if first is None:
            first, wait = time.time(), now - launched
        if began is None:
            received += len(block)
            # Room for less than a quarter of a page is none.
            if room - received < 1024:
                began = start = now
                delay = own_delay()
            continue
        dry = began + (received - base) / BYTES_PER_SECOND
        stamps.append((round(now - start, 4), len(block)))
        if now > dry:
            mine = own_delay()
            gap = now - dry - (mine - delay)
            if gap > 0.001:
                gaps.append((round(dry - start, 3), round(gap, 4)))
            base, began = received, now
        delay = own_delay()
        received += len(block)
    now = time.monotonic()
    if began is not None and now > began + (received - base) / BYTES_PER_SECOND + 0.001:
        dry = began + (received - base) / BYTES_PER_SECOND
        gaps.append((round(dry - start, 3), round(now - dry, 4)))
    return {"first": first, "wait": wait, "played": 0 if began is None else now - start, "gaps": gaps, "stamps": stamps,
            "died": died is not None}


def _signal(client, number):
    try:
        os.killpg(client.pid, number)
    except ProcessLookupError:
        pass


def _end(client):
    _signal(client, signal.SIGCONT)
    _signal(client, signal.SIGTERM)
    try:
        client.wait(5)
    except subprocess.TimeoutExpired:
        _signal(client, signal.SIGKILL)
        client.wait(5)

