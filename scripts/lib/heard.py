"""Decoding clients at a station that is killed again and again, at its mirror and at a Kubo gateway: what each of them hears of it."""

import contextlib
import functools
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import coded
import kubo
import listening
import sound
from dht import dht, findable
from playlist import fetch, parse
from station import Station, binary

# Between two kills, in seconds; how long the station stays away, at every fourth of them.
EVERY, AWAY = (5, 25), 30
WARM = 40
# Whoever has not heard anything after so many seconds hears nothing.
FIRST = 60
# Where the mirror is and the gateway does not reach: what the gateway has it has from the station.
APART = "127.0.0.2"
# What a browser's console says of a request that came to nothing.
UNANSWERED = "console: Failed to load resource"
# ffmpeg goes on with a list that does not go on, and does not wait for one that does not come.
PATIENT = ("-prefer_x_start", "1", "-max_reload", "10000", "-m3u8_hold_counters", "10000")
listening.PLAIN["ffmpeg-patient"] = (functools.partial(listening.ffmpeg, options=PATIENT), 0.04)
# (client, where, whether it must hear nothing). `again` is what any client is that asks again for a list that did not come;
# chromium plays the page. ffmpeg has no sound ahead: while the gateway waits for a list, and its station is away, it runs dry.
CLIENTS = (("again", "station", True), ("again", "mirror", True), ("again", "kubo", True),
           ("chromium", "station", True), ("chromium", "mirror", True),
           ("ffmpeg-patient", "mirror", True), ("mpv", "mirror", True), ("vlc", "mirror", True),
           ("ffmpeg-patient", "station", False), ("mpv", "station", False), ("vlc", "station", False), ("gstreamer", "station", False),
           ("ffmpeg-patient", "kubo", False))


class Again(threading.Thread):
    """Plays in real time from HOLD-BACK before the end, fetches a segment after the other, at most 30 s ahead, and asks again for
    whatever does not come. What it has played is decoded afterwards."""

    AHEAD = 30

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.over = url, threading.Event()
        self.bodies, self.dry, self.skipped, self.retried = [], [], 0, 0
        self.waited = None

    def run(self):
        began, number, plays = time.monotonic(), None, None
        while not self.over.wait(0.2):
            try:
                live = parse(fetch(self.url, 5).decode())
                if number is None:
                    end = live.segments[-1].begins + live.segments[-1].seconds
                    number = next(s.number for s in live.segments if s.begins + s.seconds > end - live.hold_back)
                self.skipped += max(0, live.first - number)
                number = max(number, live.first)
                for segment in live.segments[number - live.first :]:
                    if plays and plays - time.monotonic() > self.AHEAD:
                        break
                    body = fetch(urllib.parse.urljoin(self.url, segment.uri), 10)
                    now = time.monotonic()
                    self._ran(plays, now)
                    self.waited = self.waited or now - began
                    plays = max(now, plays or now) + segment.seconds
                    self.bodies.append(body)
                    number += 1
            except (OSError, ValueError, IndexError, StopIteration):
                self.retried += 1
        self._ran(plays, time.monotonic())

    def _ran(self, plays, now):
        if plays and now > plays:
            self.dry.append(round(now - plays, 3))

    def lost(self):
        """What it did not get, or not in time."""
        late = [] if self.waited and self.waited <= FIRST else [f"not a sound in {FIRST} s"]
        return late + [f"dry for {length} s" for length in self.dry[:3]] + ([f"{self.skipped} segments had left the list"] if self.skipped else [])

    def judge(self, book):
        ear = coded.Ear(book)
        if self.bodies:
            ear.hear(coded.decode(b"".join(self.bodies)))
        return ear.seconds, self.lost() + [f"at {at} s: {what}" for at, what in ear.faults[:3]], f"asked {self.retried} times in vain"


def fate(station, kills, chance, told):
    """Kills the station, and starts it again."""
    for number in range(kills):
        time.sleep(chance.uniform(*EVERY))
        station.process.kill()
        station.process.wait()
        time.sleep(chance.uniform(0, AWAY) if number % 4 == 3 else 0)
        told.append(station.start())


def frames(client, book):
    """What an ear hears frame by frame, of a client that gives out what it decoded as it is."""
    ear = coded.Ear(book)
    with open(client.pcm, "rb") as pcm:
        while piece := pcm.read(1 << 20):
            ear.hear(piece)
    return [f"at {at} s: {what}" for at, what in ear.faults[:3]]


def part(options, out, kills):
    """Returns whether all who must hear nothing of it heard nothing."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    wanted = options.clients.split(",") if options.clients else [name for name, *_ in CLIENTS]
    seconds = WARM + kills * (sum(EVERY) / 2) + kills / 4 * AWAY / 2 + 20
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scratch.chmod(0o755)
        server, gateway = kubo.gateway(stack, {"Swarm": {"AddrFilters": [f"/ip4/{APART}/ipcidr/32"]}}) if options.kubo else (None, None)
        address = server.address if server else stack.enter_context(dht())
        coded.lay(scratch / "station")
        station, mirror = Station(scratch / "station", peer=findable(address)), Station(scratch / "mirror", peer=findable(address, APART))
        subprocess.run([binary(), "--dir", str(station.folder), "setup"], check=True, stdout=subprocess.DEVNULL)
        book = coded.Book(station.folder)
        try:
            station.start()
            mirror.start("--follow", station.status["station"])
            places = {"station": station.url, "mirror": mirror.url, **({"kubo": gateway.gateway} if gateway else {})}
            return listen(station, mirror, gateway, places, book, wanted, seconds, kills, options, out, scratch)
        finally:
            for node in (mirror, station):
                if node.process:
                    node.stop()
                    shutil.copy(node.log, out / f"{node.folder.name}.log")


def launched(places, stream, wanted, seconds, out, scratch):
    """The clients that are wanted, as rows of the table."""
    rows = []
    for name, where, must in CLIENTS:
        if name not in wanted or where not in places:
            continue
        url = f"{places[where]}/ipns/{stream}"
        if name == "again":
            client = Again(url)
            client.start()
        else:
            client = listening.Client(f"{name}-{where}", name, places[where], url, out, scratch, seconds)
        rows.append((name, where, must, client))
    return rows


def listen(station, mirror, gateway, places, book, wanted, seconds, kills, options, out, scratch):
    source = sound.Source(mirror.stream)
    began, told, met = time.time(), [], False
    source.look()
    rows = launched(places, station.status["stream"], wanted, seconds, out, scratch)
    time.sleep(WARM)
    killing = threading.Thread(target=fate, args=(station, kills, random.Random(options.seed), told))
    killing.start()
    ends = began + seconds + 5
    while time.time() < ends or killing.is_alive():
        time.sleep(5)
        source.look()
        if gateway:
            met = met or mirror.status["peer"] in [peer["Peer"] for peer in gateway.ask("swarm/peers")["Peers"] or ()]
    killing.join()
    for name, _, _, client in rows:
        if name == "again":
            client.over.set()
            client.join()
        else:
            client.wait()
    source.look()
    source.decode(began - 90)
    print(f"{len(told)} kills in {seconds:.0f} s; back after {sorted(told)[len(told) // 2]:.2f} s in the median, {max(told):.2f} s at most; "
          f"load average {os.getloadavg()[0]:.1f}", flush=True)
    if met:
        print("failed: the gateway met the mirror")
    return table(rows, book, source, out) and not met


def table(rows, book, source, out):
    passed, lines = True, []
    print(f"{'client':<16} {'at':<8} {'seconds':>7} {'verdict':<10}")
    for name, where, must, client in rows:
        note = ""
        if name == "again":
            seconds, why, note = client.judge(book)
        elif client.skipped:
            print(f"{name:<16} {where:<8} {'':>7} not run: {client.skipped}")
            continue
        else:
            # That nobody answers while the station is away is what this is about.
            client.tolerated = (UNANSWERED,)
            client.judge(source)
            seconds, why = client.heard.seconds, client.why
            if name.startswith("ffmpeg") and client.pcm.exists():
                why = why + frames(client, book)
            if client.result.get("died"):
                note = f"gives up after {client.result.get('played', 0):.0f} s"
        word = "passed" if not why else "FAILED" if must else "heard it"
        passed = passed and not (must and why)
        lines.append({"client": name, "at": where, "must": must, "seconds": round(seconds, 1), "why": why, "note": note})
        print(f"{name:<16} {where:<8} {seconds:7.1f} {word:<10} {note}" + "".join(f"\n{'':<34} {words}" for words in why[:6]), flush=True)
    (out / "table.json").write_text(json.dumps(lines, indent=1))
    print(f"{'passed' if passed else 'failed'}: heard", flush=True)
    return passed
