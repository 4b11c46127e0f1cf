"""Scenarios: a disk that is full or slow. For scripts/faults."""

import contextlib
import errno
import os
import subprocess
import threading
import time

from damaged import block_file, entries
from haste import Clock
from ill import SYNC
from playlist import fetch
from station import NotRun, binary
from trial import LISTED

MIB = 1 << 20
# Seconds of a segment where setup is not told otherwise.
USUAL = 6
BALLAST, AMPLE = 64, 128
# Seconds for which each sync takes ten; and for which a disk that was too slow counts as slow (radio/tempo.rs) behind the last of them, and some.
SUSTAINED, SLOW = 70, 60 + 10 + 20


@contextlib.contextmanager
def small(folder, mib):
    """A file system of its own for this folder."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], capture_output=True).returncode != 0:
        raise NotRun("a file system of its own cannot be mounted: run as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def free(folder):
    """MiB that are free."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize / MIB


def fill(folder, name="greedy", leave=0):
    """Somebody else takes all room but so many MiB, and to the last byte if none."""
    with open(folder / name, "ab", buffering=0) as file:
        piece = MIB
        while piece:
            if leave and free(folder) < leave + 1:
                return
            try:
                piece = piece if file.write(bytes(piece)) else 0
            except OSError as why:
                if why.errno != errno.ENOSPC:
                    raise
                piece //= 2


def full(trial):
    """the disk is filled by somebody else: the reserve is given up and the air goes on; it is filled again, and it says what comes of it"""
    folder = trial.stack.enter_context(small(trial.scratch / "station", 400))
    node = trial.station(folder=folder, seconds=600)
    ballast = folder / "state" / "ballast"
    node.start()
    trial.observe(node)
    trial.wait("the reserve", lambda: ballast.exists() and ballast.stat().st_size == BALLAST * MIB)
    trial.is_well(node)
    fill(folder)
    trial.tells(node, "disk: full", "kept for 4 h instead of 24 h", "free up space")
    trial.say(not ballast.exists(), "the reserve is still there")
    trial.goes_on(node, 2 * LISTED + 5, 120)
    fill(folder, "greedier")
    # Nothing can be released any more: what airs from now on is held in memory.
    trial.tells(node, "disk: full", "memory: the disk takes no blocks", "free up space")
    trial.goes_on(node, LISTED + 5, 120)
    for greedy in folder.glob("greed*"):
        greedy.unlink()
    trial.is_well(node)
    trial.say(ballast.exists(), "the reserve was not laid again")
    run = subprocess.run([binary(), "--dir", str(folder), "receipts", "verify"], capture_output=True, text=True)
    trial.say(run.returncode == 0, f"the receipts do not hold: {run.stdout + run.stderr}")


@contextlib.contextmanager
def kept_full(folder):
    """Somebody else takes all room, and what becomes free as well."""
    over = threading.Event()

    def take():
        while not over.wait(0.02):
            fill(folder)

    taker = threading.Thread(target=take)
    taker.start()
    try:
        until_full(folder)
        yield
    finally:
        over.set()
        taker.join()
        (folder / "greedy").unlink()


def until_full(folder):
    """Waits until nothing is free."""
    while free(folder) > 0:
        time.sleep(0.02)


def named(node, trial):
    return {segment.uri[6:].split("?")[0] for segment in trial.listed(node).segments}


def full_stays(trial):
    """the disk is full for a quarter of an hour, over a kill: what airs is held in memory, for all, and goes to the disk at last"""
    trial.clock = Clock(10, trial.scratch)
    folder = trial.stack.enter_context(small(trial.scratch / "station", 400))
    streaming = f"[streaming]\nwindow_size = {LISTED}\nlook_ahead = {LISTED}\n[ipns]\nttl_seconds = 4\npublish_interval_seconds = 6\n"
    peer = trial.network()
    # Nothing of it airs twice: each block is a new one.
    node = trial.station(folder=folder, seconds=1800, setup="", streaming=streaming, peer=peer())
    follower = trial.station("mirror", peer=peer(), furnished=False)
    node.environment = follower.environment = trial.clock.environment
    node.start("--no-setup")
    trial.observe(node)
    follower.start("--follow", node.status["station"])
    trial.exact = False
    trial.observe(follower)
    trial.wait("the reserve", (folder / "state" / "ballast").exists)
    repo = folder / "state" / "ipfs"
    lost = lambda: {cid for cid in named(node, trial) if not block_file(repo, cid).exists()}
    with kept_full(folder):
        trial.tells(node, "disk: full", "memory: the disk takes no blocks", "free up space")
        trial.clock.sleep(450)
        trial.figures["listed_in_memory"] = len(lost())
        trial.say(len(lost()) > LISTED, "nearly all that is listed is on the disk")
        node.process.kill()
        node.process.wait()
        trial.figures["back_after_s"] = round(node.start("--no-setup"), 1)
        # What was in memory alone is made anew from the chunks, as soon as somebody asks.
        for cid in named(node, trial):
            fetch(f"{node.url}/ipfs/{cid}", 30)
        trial.goes_on(node, 5)
        trial.clock.sleep(450)
        trial.tells(node, "disk: full", "memory: the disk takes no blocks")
        trial.goes_on(follower, 5)
    trial.has_cleared(node, "memory")
    trial.has_cleared(node, "disk")
    trial.goes_on(node, 2)
    trial.wait("all that is listed on the disk", lambda: not lost())
    run = subprocess.run([binary(), "--dir", str(folder), "receipts", "verify"], capture_output=True, text=True)
    trial.say(run.returncode == 0, f"the receipts do not hold: {run.stdout + run.stderr}")


def full_keeps_less(trial):
    """the disk is full for long: what has aired goes as soon as it may, nothing that a list may still name"""
    # A look-ahead of eight real seconds, in which a busy machine may stand still.
    trial.clock = Clock(30, trial.scratch)
    folder = trial.stack.enter_context(small(trial.scratch / "station", 400))
    streaming = f"[streaming]\nwindow_size = {LISTED}\nlook_ahead = {2 * LISTED}\n[ipns]\nlifetime_seconds = 300\n"
    node = trial.station(folder=folder, seconds=480, setup="", streaming=streaming)
    node.environment = trial.clock.environment
    paths = entries(node)
    order = folder / "processed" / "playlist.m3u"
    half = lambda part: order.write_text("#EXTM3U\n" + "".join(f"#EXTINF:1,x\n{path}\n" for path in part))
    half(paths[: len(paths) // 2])
    node.start("--no-setup")
    trial.observe(node)
    trial.goes_on(node, LISTED, 60)
    first = named(node, trial)
    half(paths[len(paths) // 2 :])
    blocks = lambda: {path.stem for path in (folder / "state" / "ipfs" / "blockstore").rglob("*.data")}
    trial.wait("other blocks on the list", lambda: not first & named(node, trial))
    # Window, look-ahead, lifetime and an hour: how long they must be kept.
    trial.clock.sleep(3 * LISTED * USUAL + 300 + 3600 + 600)
    trial.say(first <= blocks(), "blocks have gone while there was room")
    fill(folder)
    trial.tells(node, "disk: full", "2 h instead of 24 h")
    trial.wait("the old blocks to go", lambda: not first & blocks())
    trial.say(named(node, trial) <= blocks(), "listed blocks have gone")
    trial.goes_on(node, 10)
    for greedy in folder.glob("greed*"):
        greedy.unlink()
    # At this speed any disk is a slow one.
    trial.has_cleared(node, "disk")


def full_start(trial):
    """the first start on a disk that is full, with an empty repo: refused in words; with a little room it is on air and says so"""
    folder = trial.stack.enter_context(small(trial.scratch / "station", 100))
    node = trial.station(folder=folder)
    for path in (folder / "state").rglob("*") if (folder / "state").exists() else ():
        path.unlink() if path.is_file() else None
    fill(folder)
    run = subprocess.run([binary(), "--dir", str(folder), "run"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    said = (run.stdout + run.stderr).strip()
    trial.say(run.returncode == 4 and "No space left" in said, f"ends with {run.returncode}: {said[-400:]}")
    trial.told.append(f"exit {run.returncode}: {said.splitlines()[-1][:300]}")
    for greedy in folder.glob("greed*"):
        greedy.unlink()
    fill(folder, leave=40)
    node.start()
    trial.observe(node)
    trial.tells(node, "disk: ", "free")
    trial.goes_on(node, LISTED, 90)


def slow(trial):
    """each sync takes half a second, then two, then ten, for a minute or more: nobody hears it, and it says so"""
    # What is listed comes later than it should, and is not due before the look-ahead is over.
    trial.exact = False
    node = trial.station(ill=True, seconds=900, setup="", streaming="[ipns]\nttl_seconds = 4\npublish_interval_seconds = 2\n")
    node.start()
    trial.observe(node)
    trial.goes_on(node, 1, 60)
    ill = trial.ill
    def ahead():
        last = trial.listed(node).segments[-1]
        return last.begins + last.seconds - time.time()
    ill.kinds = SYNC
    before, end = ill.count, trial.listed(node).end
    trial.goes_on(node, 3, 60)
    trial.figures["syncs_a_segment"] = round((ill.count - before) / (trial.listed(node).end - end), 1)
    ill.kinds = 0
    for delay, seconds in ((0.5, 90), (2, 60), (10, SUSTAINED)):
        lead = ahead()
        ill.count, ill.kinds, ill.sync_ns = 0, SYNC, round(delay * 1e9)
        time.sleep(seconds)
        trial.figures[f"ahead_at_{delay}_s"] = [round(lead), round(ahead())]
        trial.figures[f"syncs_at_{delay}_s"] = ill.count
        trial.say(ahead() > 100, f"{delay} s a sync: only {ahead():.0f} s are listed ahead after {seconds} s")
        # One a segment, or as many as there is time for; half of that where the machine is busy.
        trial.say(ill.count >= seconds / max(delay, USUAL) / 2, f"{delay} s a sync: only {ill.count} were made in {seconds} s")
        if delay >= 2:
            trial.tells(node, "slow disk: ", "see what else writes")
            ill.sync_ns = ill.kinds = 0
            trial.is_well(node, SLOW)
            trial.figures[f"ahead_after_{delay}_s"] = round(ahead())
            trial.say(ahead() > 200, f"{delay} s a sync: only {ahead():.0f} s are listed ahead after it")
    trial.goes_on(node, 5, 90)


SCENARIOS = {"full": full, "full-stays": full_stays, "full-keeps-less": full_keeps_less, "full-start": full_start, "slow": slow}
