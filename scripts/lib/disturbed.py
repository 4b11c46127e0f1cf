"""Scenarios: a clock that jumps, a machine that sleeps, a folder into which somebody copies. For scripts/faults."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from background import Looking
from crowd import Crowd
from pieces import made
from playlist import fetch, parse
from standin import tone
from station import NotRun, binary
from trial import LISTED, SEGMENT, children

AHEAD = LISTED * SEGMENT
DAY = 86400
# Files that are copied into the folder: so many recordings, the rest copies of them under other names, and so many that are none.
COPIED, RECORDINGS, RUBBISH = 20_000, 5, 100
# Seconds of quiet after which setup begins, and after which it does although there is none (streamer/child.rs, watch.rs).
SETTLE, SETTLE_MAX = 2, 30
# Seconds after which the folder is looked at though nothing was told (watch.rs).
LOOKED_ANYWAY = 60
# Bytes of a file with nothing in it, and MiB that a setup which looks at it may take.
HUGE, SETUP_MIB = 4 << 30, 300
# Behind a jump it counts for a minute how little was left (radio/tempo.rs), and it takes a moment to be seen.
JUMPED = 60 + 10
# Files that a process may have open, listeners who come at once, and seconds for which they do.
FILES, LISTENERS, CROWDED = 256, 1000, 300


def jumps(live):
    """Where the dates of a list do not go on, in seconds."""
    pairs = zip(live.segments, live.segments[1:])
    return [round(after.begins - before.begins - before.seconds, 1) for before, after in pairs
            if abs(after.begins - before.begins - before.seconds) > 0.01]


def stepped(trial, node, seconds):
    """The wall clock steps; the list goes on as if nothing had been."""
    trial.ill.wall_ns += round(seconds * 1e9)
    trial.goes_on(node, 5)


def clock_steps(trial):
    """the wall clock steps by 1.5 s to a day, both ways: forward it is one jump, backward the dates stay ahead and the health says so"""
    trial.exact = False
    node = trial.station(ill=True)
    node.start()
    trial.observe(node)
    for seconds in (1.5, -1.5, 45, 90):
        stepped(trial, node, seconds)
    trial.wait("one jump", lambda: jumps(trial.listed(node)))
    trial.is_well(node, JUMPED)
    back = (-45, -90, -3600, -7200)
    for seconds in back:
        stepped(trial, node, seconds)
    trial.tells(node, "clock: ", "ahead of the wall clock", "NTP")
    stepped(trial, node, -sum(back))
    trial.is_well(node, JUMPED)
    stepped(trial, node, DAY)
    trial.is_well(node, JUMPED)
    # A restart finds the clock set back by a day: what is on air stays ahead.
    last = trial.listed(node).segments[-1].begins
    trial.ill.wall_ns -= round(DAY * 1e9)
    node.stop()
    node.start()
    trial.goes_on(node)
    trial.say(trial.listed(node).segments[-1].begins > last, "the dates went back over a restart")
    trial.tells(node, "clock: ", "ahead of the wall clock", "NTP")


def clock_ends(trial):
    """the wall clock says 1970, then 2106, then what it is: on air all the time"""
    trial.exact = False
    node = trial.station(ill=True)
    now = time.time()
    trial.ill.wall_ns = -round((now - 600) * 1e9)
    node.start()
    trial.observe(node)
    trial.goes_on(node, 5)
    trial.ill.wall_ns = 0
    trial.goes_on(node, LISTED + 5, 90)
    trial.is_well(node)
    trial.ill.wall_ns = round((136 * 365.25 * DAY - now) * 1e9)
    trial.goes_on(node, 5)
    trial.ill.wall_ns = 0
    trial.tells(node, "clock: ", "ahead of the wall clock", "NTP")
    trial.goes_on(node, 5)


def suspend(trial):
    """the machine sleeps for ten minutes: one jump, and the air is where the wall clock is"""
    trial.exact = False
    node = trial.station(ill=True)
    node.start()
    trial.observe(node)
    trial.goes_on(node)
    os.kill(node.process.pid, signal.SIGSTOP)
    time.sleep(1)
    # While it sleeps, the monotonic clock stands and the wall clock goes on.
    trial.ill.wall_ns += round(600 * 1e9)
    os.kill(node.process.pid, signal.SIGCONT)
    began = time.monotonic()
    jumped = trial.wait("one jump", lambda: jumps(trial.listed(node)))
    trial.say(len(jumped) == 1 and 500 < jumped[0] < 620, f"jumped by {jumped}")
    def dated():
        now = time.time() + 600
        return any(s.begins <= now < s.begins + s.seconds for s in trial.listed(node).segments)
    trial.wait("the air to be where the wall clock is", dated, AHEAD + 30)
    trial.figures["in_step_after_s"] = round(time.monotonic() - began, 1)
    trial.is_well(node)
    # The list went on without a break, and a player that was in it hears no hole; the dates alone have jumped.
    trial.may_run_out = True


def rss(node):
    for line in open(f"/proc/{node.process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return 0


def copied(music, sources):
    """Copies them all. Gives how often nothing was written for so long that the station may have taken it for the end."""
    last, pauses = time.monotonic(), 0
    for index in range(COPIED):
        folder = music / f"{index // 1000:02d}"
        folder.mkdir(exist_ok=True)
        body = b"no recording" if index % (COPIED // RUBBISH) == 1 else sources[index % RECORDINGS]
        (folder / f"{index:05d}.flac").write_bytes(body)
        pauses += time.monotonic() - last > SETTLE
        last = time.monotonic()
    return pauses


class Runs(Looking):
    """Which runs of setup a station has begun since then, in a `with`: its children, looked at faster than one can end."""

    def __init__(self, node):
        super().__init__(0.05)
        self.node, self.seen = node, set()

    def look(self):
        for pid in children(self.node):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                # Until it is another program, a child is the station itself.
                if b"setup" in words and b"--generated" not in words:
                    self.seen.add(pid)


def copy_20000(trial):
    """20 000 files are copied into the music folder while on air: all that are recordings are in the order, the others are named"""
    node = trial.station()
    node.start()
    trial.observe(node)
    trial.settles(node)
    before = rss(node)
    music = node.folder / "music"
    sources = [made("short", f"{index}-1", tone(90 + index, 1)).read_bytes() for index in range(RECORDINGS)]
    with Runs(node) as runs:
        began = time.monotonic()
        pauses = copied(music, sources)
        took = time.monotonic() - began
        order = node.folder / "processed" / "playlist.m3u"
        def taken():
            lines = [line for line in order.read_text().splitlines() if line.startswith("music/")]
            return len(lines) >= COPIED - RUBBISH
        trial.wait("all of them in the order", taken, 400)
        trial.figures |= {"copied_in_s": round(took, 1), "in_the_order_after_s": round(time.monotonic() - began, 1)}
        trial.tells(node, "setup: ", "some files were skipped", "`ipfs-radio setup`")
        trial.settles(node)
        trial.goes_on(node)
    # One behind the quiet; an endless copy is not waited for longer than half a minute, and one that pauses counts as over.
    most = 1 + int(took // SETTLE_MAX) + pauses
    trial.figures |= {"setups": len(runs.seen), "setups_allowed": most}
    trial.say(1 <= len(runs.seen) <= most, f"setup was begun {len(runs.seen)} times, and {most} are allowed")
    trial.figures["rss_mib"] = [before, rss(node)]
    trial.say(rss(node) < before + 150, f"RSS went from {before} to {rss(node)} MiB")
    for path in music.rglob("*.flac"):
        if path.read_bytes() == b"no recording":
            path.unlink()
    # A run of setup may just have begun, and one more sees what has changed since.
    trial.is_well(node, 60 + 2 * trial.figures["in_the_order_after_s"])


def overflow(trial):
    """more happens in the music folder than the kernel keeps for the station: all of it is seen, and a folder of which nothing was told is watched from then on"""
    queue = Path("/proc/sys/fs/inotify/max_queued_events")
    if not queue.exists():
        raise NotRun("the kernel has no inotify")
    node = trial.station()
    node.start()
    trial.observe(node)
    trial.settles(node)
    music = node.folder / "music"
    order = node.folder / "processed" / "playlist.m3u"
    os.kill(node.process.pid, signal.SIGSTOP)
    # Made, opened, closed and removed: four of each.
    for _ in range(int(queue.read_text()) // 4 + 1):
        (music / "passing").touch()
        (music / "passing").unlink()
    (music / "late").mkdir()
    (music / "late" / "1.flac").write_bytes(made("short", "5-1", tone(95, 1)).read_bytes())
    os.kill(node.process.pid, signal.SIGCONT)
    trial.wait("what came last in the order", lambda: "music/late/1.flac" in order.read_text())
    trial.settles(node)
    (music / "late" / "2.flac").write_bytes(made("short", "6-1", tone(96, 1)).read_bytes())
    trial.wait("what came later in the order, before it is looked anyway", lambda: "music/late/2.flac" in order.read_text(), LOOKED_ANYWAY / 2)
    trial.is_well(node)


def slow_copy(trial):
    """one file is copied for half a minute, with pauses: it airs as a whole, and nothing stays wrong"""
    node = trial.station()
    node.start()
    trial.observe(node)
    body = made("pieces", "200-31", tone(200, 31)).read_bytes()
    target = node.folder / "music" / "slow.flac"
    with open(target, "wb") as file:
        for part in range(10):
            file.write(body[part * len(body) // 10 : (part + 1) * len(body) // 10])
            file.flush()
            time.sleep(3)
    def whole():
        manifest = json.loads((node.folder / "processed" / "manifest.json").read_text())
        ids = [entry["id"] for entry in manifest["entries"] if entry["path"] == "music/slow.flac"]
        return [item["samples"] / item["rate"] for item in manifest["items"] if item["id"] in ids]
    seconds = trial.wait("all of it in the manifest", lambda: [s for s in whole() if s > 30.9], 150)
    trial.say(abs(seconds[0] - 31) < 0.2, f"it is {seconds[0]} s long")
    trial.is_well(node)


def command(trial, *arguments):
    """Runs a command of the station to its end. Gives its exit code, what it said, and the most memory that it had, in MiB."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([binary(), "--dir", str(trial.nodes[0].folder), *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return process.returncode, said.read().decode(errors="replace"), usage.ru_maxrss // 1024


def names(trial):
    """hostile names, links that lead nowhere or back, files that are none: nothing gets out of its line, each is aired or named"""
    node = trial.station()
    music = node.folder / "music"
    good = made("short", "0-1", tone(90, 1)).read_bytes()
    aired = ["a\nmusic%2fb.flac\n#EXTINF:1,x.flac", "#EXTM3U.flac", "%41%0a.flac", "-rf.flac", "a b\tc.flac", "\u202e\u00e9\U0001d11e.flac",
             "x" * 250 + ".flac", "..flac.flac", "back\\slash.flac", "\x7f\x01\x1b[2J.flac", "quote\",TITLE=\"x.flac", "'$(reboot)`.flac"]
    for name in aired:
        (music / name).write_bytes(good)
    (music / os.fsdecode(b"\xff\xfe\x80.flac")).write_bytes(good)
    (music / "empty.flac").write_bytes(b"")
    (music / "rubbish.mp3").write_bytes(bytes(range(256)) * 40)
    (music / "folder.flac").mkdir()
    os.mkfifo(music / "pipe.flac")
    (music / "gone.flac").symlink_to("/nowhere/at/all.flac")
    (music / "loop").symlink_to(music)
    (music / "self.flac").symlink_to(music / "self.flac")
    (music / "outside.flac").symlink_to("/etc/passwd")
    with open(music / "huge.mp3", "wb") as huge:
        huge.truncate(HUGE)
    node.start()
    trial.observe(node)
    trial.tells(node, "setup: ", "some files were skipped", seconds=180)
    code, said, trial.figures["setup_mib"] = command(trial, "setup")
    trial.say(code == 3, f"setup ends with {code}")
    trial.say(trial.figures["setup_mib"] < SETUP_MIB, f"setup took {trial.figures['setup_mib']} MiB")
    for name in ("empty.flac", "rubbish.mp3", "outside.flac", "huge.mp3"):
        trial.say(name in said, f"setup does not name {name}")
    trial.say("\x1b[2J" not in said, "setup prints control characters of a name")
    manifest = json.loads((node.folder / "processed" / "manifest.json").read_text())
    order = (node.folder / "processed" / "playlist.m3u").read_text().splitlines()
    trial.say(len([e for e in manifest["entries"] if "loop" in e["path"]]) == 0, "a link back was followed")
    paths = [line for line in order[1:] if not line.startswith("#EXTINF:")]
    hostile = [path for path in paths if path.startswith(("music/", "jingles/")) is False]
    trial.say(not hostile, f"lines of the order are no paths: {hostile[:3]}")
    trial.say(len(manifest["entries"]) >= len(aired) and {*paths} and len(paths) >= len(manifest["entries"]), "the order has fewer lines than entries")
    # One round of all of them: what is printed, listed and told of them is well-formed.
    for place in ("/now.json", "/status.json"):
        json.loads(fetch(node.url + place))
    trial.goes_on(node, 10, 60)
    trial.say(all("\x1b" not in line for line in parse(fetch(node.stream).decode()).text), "the list has control characters")
    # The generator works before setup looks again, one child at a time.
    trial.settles(node)
    for path in ("empty.flac", "rubbish.mp3", "huge.mp3", "outside.flac", "gone.flac", "self.flac", "pipe.flac", "loop"):
        (music / path).unlink()
    shutil.rmtree(music / "folder.flac")
    trial.is_well(node)
    replaced(trial, node)


def replaced(trial, node):
    """A recording is replaced by another one while it is on air: what is listed of it stays, and the other one is in the order."""
    def on_air():
        title = trial.status(node)["now"]["title"]
        return (node.folder / "music" / f"{title}.flac").exists() and title.isdecimal() and f"music/{title}.flac"
    path = trial.wait("a piece on air", on_air)
    def item():
        manifest = json.loads((node.folder / "processed" / "manifest.json").read_text())
        return next(entry["id"] for entry in manifest["entries"] if entry["path"] == path)
    before, new = item(), node.folder / "new.flac"
    shutil.copyfile(made("pieces", "201-16", tone(201, 16)), new)
    os.replace(new, node.folder / path)
    trial.wait("the other recording in the order", lambda: item() != before)
    trial.goes_on(node, LISTED + 3, 90)
    trial.is_well(node)


def few_files(trial):
    """a process that may have 256 files open and a thousand listeners who ask and stay for five minutes: most are turned away, the station plays on"""
    node = trial.station()
    program = trial.scratch / "with-few-files"
    program.write_text(f'#!/bin/sh\nulimit -n {FILES}\nexec {binary()} "$@"\n')
    program.chmod(0o755)
    node.start(program=program)
    trial.tells_log(node, "few files may be open")
    trial.observe(node)
    # Somebody who was there before.
    host, port = node.url.removeprefix("http://").split(":")
    path = node.stream.removeprefix(node.url)
    listener = http.client.HTTPConnection(host, int(port), timeout=30)
    files, lists, first = [], 0, trial.listed(node).end
    began = last_new = time.monotonic()
    waited, end = 0, first
    with Crowd(node.url, path, LISTENERS) as crowd:
        while time.monotonic() < began + CROWDED:
            listener.request("GET", path)
            answer = listener.getresponse()
            live = parse(answer.read().decode())
            lists += 1
            trial.say(answer.status == 200, f"who was there before is answered {answer.status}")
            if live.end > end:
                end, waited, last_new = live.end, max(waited, time.monotonic() - last_new), time.monotonic()
            files.append(len(os.listdir(f"/proc/{node.process.pid}/fd")))
            time.sleep(1)
    listener.close()
    counts = crowd.counts
    trial.figures |= {"crowd": dict(counts), "files": max(files), "lists": lists, "longest_wait_s": round(waited, 1)}
    trial.say(counts["answered"] > LISTENERS // 2, f"{counts['answered']} questions were answered")
    turned_away = sum(counts[word] for word in ("503", "closed", "503, silent", "closed, silent"))
    trial.say(turned_away > LISTENERS, f"{turned_away} listeners were turned away")
    strange = set(counts) - {"answered", "503", "closed", "503, silent", "closed, silent"}
    trial.say(not strange, f"others were met with {strange}")
    trial.say(max(files) < FILES, "all files are open")
    # A segment is listed when its turn comes; a busy machine may be late with some.
    trial.say(end - first > CROWDED // SEGMENT - LISTED and waited < AHEAD / 2, f"the list went on by {end - first} in {CROWDED} s, after {waited:.0f} s once")
    said = node.log.read_text(errors="replace")
    for words in ("os error 24", "Too many open files", "cannot accept a listener", "panicked"):
        trial.say(words not in said, f"it prints: {words}")
    trial.say(node.process.poll() is None, "it has ended")
    trial.goes_on(node, 10)
    trial.is_well(node)


SCENARIOS = {"clock": clock_steps, "clock-ends": clock_ends, "suspend": suspend, "copy-20000": copy_20000, "overflow": overflow, "slow-copy": slow_copy, "names": names, "few-files": few_files}
