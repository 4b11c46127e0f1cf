"""Players that others wrote, side by side: who plays what where, what each let be heard, one table and one JSON file."""

import bisect
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import listening
import sound
from playlist import fetch, parse
from station import REPOSITORY, NotRun

WEB = ("hls.js", "patient-hls.js", "shaka", "plain-shaka", "video.js", "page")

# What the sound card holds. Long enough that what a busy host does to a process for a moment is not blamed on a gateway, whose
# stalls last for seconds; scripts/listen-test is the stricter one.
CARD_SECONDS = 0.5


@dataclass
class Wish:
    """Who plays what. `place`: what stands between the player and the station. `must`: whether a stall is a failure; the
    others are shown."""

    player: str
    place: str
    url: str
    must: bool = True

    @property
    def name(self):
        return f"{self.player}@{self.place}".replace("/", "_").replace(" ", "_")


class Tab(listening.Client):
    """A client in the browser that all web players share."""

    def __init__(self, wish, seconds, scratch, out):
        self.name, self.kind, self.seconds = wish.name, wish.player, seconds
        self.prefix, self.pcm = out / wish.name, scratch / f"{wish.name}.pcm"
        self.written = scratch / wish.name
        self.skipped = self.result = None

    def wait(self):
        """Reads what the browser left."""
        if self.skipped:
            return
        try:
            text = Path(f"{self.written}.json").read_text()
        except OSError:
            self.result = {"error": "the browser left nothing"}
            return
        Path(f"{self.prefix}.json").write_text(text)
        told = json.loads(text)
        fatal = [words for words in told["problems"] if words.startswith(("page:", "console: start:", f"console: {self.kind}:"))]
        radio = told["radio"] or {}
        fatal += [f"the page counts {radio[what]} {what}" for what in ("stalls", "skipped") if radio.get(what)]
        self.host = max((length for _, length in listening.audio_gaps(told)), default=0.0)
        error = None if told["first"] else "; ".join(told["problems"][:3]) or None
        self.result = {"first": told["first"] and told["first"] / 1000, "error": error, "problems": fatal,
                       "gaps": [(at / 1000, length / 1000) for at, length in told["stalls"]]}

    host = 0.0


class Tabs:
    """Runs the web players. `playing()` waits until each has sounded or had its time."""

    def __init__(self, wishes, seconds, scratch, out):
        self.clients = [Tab(wish, seconds, scratch, out) for wish in wishes]
        self.process = None
        if not wishes:
            return
        try:
            listening.prepare("chromium")
            subprocess.run([str(REPOSITORY / "scripts" / "install-clients"), "web"], check=True, stdout=subprocess.DEVNULL)
        except NotRun as why:
            for client in self.clients:
                client.skipped = str(why)
            return
        asked = [{"kind": wish.player, "url": wish.url, "prefix": str(client.written)} for wish, client in zip(wishes, self.clients)]
        (scratch / "wishes.json").write_text(json.dumps({"seconds": seconds, "clients": asked}))
        self.words = open(out / "browser.log", "wb")
        self.process = subprocess.Popen(["node", str(REPOSITORY / "scripts" / "lib" / "web.mjs"), str(scratch / "wishes.json")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.words)

    def playing(self):
        if self.process:
            self.process.stdout.readline()

    def end(self, patience):
        """Waits for the browser; kills it when it does not end."""
        if not self.process:
            return
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.words.close()


def end_well():
    """Lets a script that is told to stop end what it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def grown(stream, seconds):
    """Waits until the list reaches `seconds` behind the air. Shaka takes the length of the list for the window that it may play
    in: on a list that has just begun it has no room to be late."""
    while parse(fetch(stream).decode()).segments[0].begins > time.time() - seconds:
        time.sleep(1)


class Watch(threading.Thread):
    """Asks for a list once a second and notes how old what came is: seconds since the station wrote that version."""

    def __init__(self, place, url):
        super().__init__(daemon=True)
        self.place, self.url = place, url
        self.ages, self.errors, self.over = [], [], threading.Event()

    def run(self):
        due = time.monotonic()
        while not self.over.is_set():
            try:
                live = parse(fetch(self.url, 30).decode())
                look_ahead = live.hold_back - 2 * live.target
                self.ages.append(time.time() - (live.segments[-1].begins - look_ahead))
            except (OSError, ValueError, IndexError) as why:
                self.errors.append(str(why))
            due = max(due + 1, time.monotonic())
            self.over.wait(due - time.monotonic())

    def stop(self):
        self.over.set()
        self.join(31)
        mean = sum(self.ages) / len(self.ages) if self.ages else float("nan")
        return {"place": self.place, "url": self.url, "answers": len(self.ages), "errors": self.errors,
                "mean": round(mean, 1), "max": round(max(self.ages, default=float("nan")), 1)}


class Machine:
    """How busy the machine is: load averages and the share of all cores that worked, from one `look` to the next."""

    def __init__(self):
        self.loads, self.last, self.shares = [], self._ticks(), []

    def _ticks(self):
        values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(values), values[3] + values[4]

    def look(self):
        self.loads.append(os.getloadavg()[0])
        total, idle = self._ticks()
        if total > self.last[0]:
            self.shares.append(1 - (idle - self.last[1]) / (total - self.last[0]))
        self.last = (total, idle)

    def told(self):
        return {"cores": os.cpu_count(), "load_mean": round(sum(self.loads) / len(self.loads), 2), "load_max": round(max(self.loads), 2),
                "busy_mean": round(sum(self.shares) / len(self.shares), 2), "busy_max": round(max(self.shares), 2)}


def play(wishes, stream, seconds, out, started=lambda: None):
    """Lets every wish play at once for `seconds`; the browser starts first and ends last. `stream`: the list at the
    station's own gateway, to compare with. `started` is called when all have been launched. Returns (rows, machine)."""
    out.mkdir(parents=True, exist_ok=True)
    source, machine = sound.Source(stream), Machine()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        scratch.chmod(0o755)
        began = time.time()
        source.look()
        tabs = Tabs([wish for wish in wishes if wish.player in WEB], seconds + 12, scratch, out)
        native = []
        try:
            tabs.playing()
            native += [listening.Client(wish.name, wish.player, None, wish.url, out, scratch, seconds, card_seconds=_card(wish.player))
                       for wish in wishes if wish.player not in WEB]
            started()
            _wait(native, tabs, seconds, source, machine)
        finally:
            tabs.end(30)
            for client in native:
                if not client.skipped:
                    client.process.terminate()
        source.look()
        for client in native + tabs.clients:
            client.wait()
        source.decode(began - 400)
        clients = iter(native), iter(tabs.clients)
        paired = [(wish, next(clients[wish.player in WEB])) for wish in wishes]
        return _rows(paired, source), machine.told()


def _card(player):
    return max(CARD_SECONDS, listening.known(player)[1])


def _wait(native, tabs, seconds, source, machine):
    over = time.monotonic() + seconds + 185
    looked = 0.0
    while time.monotonic() < over:
        busy = any(not c.skipped and c.process.is_alive() and c.queue.empty() for c in native)
        if not busy and (not tabs.process or tabs.process.poll() is not None):
            break
        if time.monotonic() - looked > 20:
            looked = time.monotonic()
            source.look()
            machine.look()
        time.sleep(1)
    machine.look()


_judging = None


def _judge(index):
    (_, client), source = _judging[0][index], _judging[1]
    client.judge(source)
    end = None
    if client.result.get("first") and client.pcm.exists():
        pcm = client.pcm.read_bytes()
        end = sound.behind_at_the_end(sound.curve(pcm), source, _wall(client, len(pcm)))
    return client.heard, client.why, end


def _wall(client, pcm_bytes):
    """When each 10 ms of what a client played arrived, by the stamps of its blocks."""
    told = json.loads(Path(f"{client.prefix}.json").read_text())
    in_browser = isinstance(client, Tab)
    times = [at / 1000 if in_browser else told["first"] + at for at, _ in told["stamps"]]
    sizes = [4 * size if in_browser else size for _, size in told["stamps"]]
    ends = list(itertools.accumulate(sizes, initial=pcm_bytes - sum(sizes)))[1:]
    return lambda step: times[min(bisect.bisect_left(ends, step * sound.STEP_BYTES), len(times) - 1)]


def _rows(paired, source):
    """One row for each wish. The clients are judged in processes of their own, which inherit what was heard."""
    global _judging
    _judging = (paired, source)
    there = [i for i, (_, client) in enumerate(paired) if not client.skipped]
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        judged = dict(zip(there, pool.map(_judge, there, 1)))
    return [_row(wish, client, judged.get(index)) for index, (wish, client) in enumerate(paired)]


def _row(wish, client, judged):
    row = {"player": wish.player, "place": wish.place, "url": wish.url, "must": wish.must}
    if client.skipped:
        return {**row, "verdict": "not run", "why": [client.skipped]}
    heard, why, end = judged
    gaps = [gap for gap in client.result.get("gaps", []) if gap[1] > listening.LIMIT]
    verdict = ("failed" if why else "passed") if wish.must else "shown"
    return {**row, "verdict": verdict, "why": why, "seconds": round(heard.seconds, 1), "wait": client.result.get("wait"),
            "behind": round(heard.behind, 1), "behind_at_the_end": end and round(end, 1), "stalls": gaps,
            "silences": [(at / 100, n / 100) for at, n in heard.holes], "jumps": heard.jumps, "cuts": heard.cuts,
            "foreign_seconds": heard.foreign, "boundaries": heard.joins,
            "browser_clock_gap": round(getattr(client, "host", 0.0), 3)}


def show(rows):
    """Prints the table of players."""
    wide = max([len(row["place"]) for row in rows] + [5])
    print(f"\n{'player':<15} {'place':<{wide}} {'seconds':>7} {'behind s':>13} {'stalls':>6} {'in all s':>8} {'longest':>7} {'silences':>8} "
          f"{'in all s':>8} {'jumps':>5} {'joins':>5}  verdict")
    for row in rows:
        head = f"{row['player']:<15} {row['place']:<{wide}}"
        if row["verdict"] == "not run":
            print(f"{head} not run: {row['why'][0]}")
            continue
        stalls, holes = [length for _, length in row["stalls"]], [length for _, length in row["silences"]]
        behind = f"{row['behind']:.1f} → {'?' if row['behind_at_the_end'] is None else row['behind_at_the_end']}"
        print(f"{head} {row['seconds']:7.1f} {behind:>13} {len(stalls):6d} {sum(stalls):8.2f} {max(stalls, default=0):7.2f} {len(holes):8d} "
              f"{sum(holes):8.2f} {len(row['jumps']):5d} {row['boundaries']:5d}  {row['verdict']}"
              + "".join(f"\n{'':<15} {why}" for why in row["why"]), flush=True)


def show_ages(ages):
    """Prints how old the lists were."""
    for age in ages:
        print(f"list through {age['place']}: {age['answers']} answers, {len(age['errors'])} errors, age mean {age['mean']} s, max {age['max']} s"
              + "".join(f"\n  {why}" for why in age["errors"][:3]), flush=True)


def close(rows, path, **more):
    """Writes everything to `path` and prints the count. Returns the exit code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": rows, **more}, indent=1))
    count = {word: sum(row["verdict"] == word for row in rows) for word in ("passed", "failed", "not run", "shown")}
    print(f"{count['shown']} shown, not counted; everything in {path}")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['not run']} skipped")
    return 1 if count["failed"] else 3 if count["not run"] else 0
