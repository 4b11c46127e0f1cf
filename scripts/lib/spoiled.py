"""Whether scripts/soak would notice: everything that it looks with, on something that is as it should be and on the same, spoiled."""

import copy
import os
import subprocess
import sys
import time
import urllib.parse
from types import SimpleNamespace

import coded
import enduring
import haste
import sink
import watching
from standin import StandIn
from station import REPOSITORY, NotRun

SPEED, NAP = 60, 6.0
FRAME = coded.FRAME_BYTES


def test(scratch, master, book):
    """Returns the exit code."""
    failed = 0
    for what, well in (*clocks(scratch), *cards(scratch), *ears(master, book), *watchers(scratch), *verdicts()):
        failed += not well
        print(f"{'ok' if well else 'WRONG'}: {what}", flush=True)
    return 1 if failed else 0


def clocks(scratch):
    """A process that sleeps in every way there is, under a hastened clock."""
    run = subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--example", "naps"], cwd=REPOSITORY)
    if run.returncode != 0:
        raise NotRun("the naps do not build")
    clock = haste.Clock(SPEED, scratch)
    before, began = clock.now(), time.monotonic()
    naps = subprocess.run([REPOSITORY / "target" / "release" / "examples" / "naps", str(NAP)], env=clock.environment,
                          stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    real, hastened = time.monotonic() - began, clock.now() - before
    for name, *lengths in map(str.split, naps):
        yield f"a nap of {NAP:.0f} s ({name}) takes {' and '.join(f'{float(length):.2f}' for length in lengths)} s", all(
            NAP <= float(length) <= hastened for length in lengths)
    yield f"{len(naps)} of them take {real:.2f} s, which count as {hastened:.1f} s", len(naps) == 5 and len(naps) * NAP <= hastened < SPEED * real + 1 and real < NAP
    before = clock.now()
    told = float(subprocess.run([sys.executable, "-c", "import time; print(time.time())"], env=clock.environment,
                                stdout=subprocess.PIPE, check=True).stdout)
    yield "another process reads the same time", before <= told <= clock.now()


def cards(scratch):
    """The card plays what it gets, whatever it holds."""
    fifo, raw = scratch / "card.fifo", scratch / "card.raw"
    os.mkfifo(fifo)
    raw.write_bytes(bytes(8 * sink.BYTES_PER_SECOND))
    for card in (0.04, 0.45, 1.0, 2.0):
        result = sink.play(["cp", str(raw), str(fifo)], fifo, scratch / "card.pcm", scratch / "card.log", 3, card)
        yield f"a card of {card} s plays for {result['played']:.1f} s", result["played"] >= 3


def ears(master, book):
    """What one decoder makes of three items in a row."""
    items = sorted(book.blocks.items(), key=lambda item: len(item[0]))[:3]
    chunks = {coded.cid(path.read_bytes()): path.read_bytes() for path in (master / "processed" / "chunks").glob("*.ts")}
    pcm = coded.decode(b"".join(chunks[cid] for blocks, _ in items for cid in blocks))
    middle = len(pcm) // 2 // FRAME * FRAME
    spoil = {
        "untouched": pcm,
        "begun in the middle of a frame's place": pcm[10 * FRAME :],
        "a frame lost": pcm[:middle] + pcm[middle + FRAME :],
        "a frame repeated": pcm[:middle] + pcm[middle - FRAME :],
        "a sample lost": pcm[:middle] + pcm[middle + 4 :],
        "a sample changed": pcm[: middle + 5] + bytes([pcm[middle + 5] ^ 1]) + pcm[middle + 6 :],
        "silence instead of a second": pcm[:middle] + bytes(44 * FRAME) + pcm[middle + 44 * FRAME :],
        "an item cut short": coded.decode(b"".join(chunks[cid] for blocks, _ in items for cid in blocks[:-1] or blocks)),
    }
    for name, sound in spoil.items():
        ear = coded.Ear(book)
        for at in range(0, len(sound), 10_000):
            ear.hear(sound[at : at + 10_000])
        good = name in list(spoil)[:2]
        heard = [path for _, path in items][1:]
        yield f"{name}: {len(ear.faults)} faults in {ear.seconds:.0f} s {[words for _, words in ear.faults[:1]]}", (
            not ear.faults and ear.items == heard if good else bool(ear.faults))


def watchers(scratch):
    """A list that goes on as it should, and one that does not."""
    stand_in = StandIn(scratch)
    stand_in.close()
    for name, wanted in (("as it should be", ""), ("a hole", "a hole"), ("a block that is another", "does not hash"), ("late", "after now"),
                         ("another segment under the same number", " and is ")):
        clock = SimpleNamespace(at=stand_in.start + 20, speed=1, now=lambda: clock.at, sleep=lambda _: None)
        served = lambda url, _=None: (stand_in.bodies[url] if url in stand_in.bodies else stand_in.list(clock.at - late).encode())
        late, bodies, order = 0, dict(stand_in.bodies), list(stand_in.order)
        watching.fetch = lambda url, timeout=None: served(urllib.parse.urlsplit(url)._replace(scheme="", netloc="").geturl())
        watcher = watching.Watcher("stand-in", SimpleNamespace(stream="http://stand-in/ipns/stand-in"), clock, None, 0)
        for turn in range(60):
            if turn == 30 and name == "a hole":
                clock.at += 1000
            if turn == 30 and name == "late":
                late = 60
            if turn == 30 and name == "a block that is another":
                stand_in.bodies = {uri: body[::-1] for uri, body in bodies.items()}
            if turn == 30 and name == "another segment under the same number":
                stand_in.order = order[:1] * len(order)
            clock.at += 3
            watcher.look()
        watcher.close()
        stand_in.bodies, stand_in.order = bodies, order
        yield f"a list, {name}: {len(watcher.faults)} faults {[words for _, words in watcher.faults[:1]]}, {watcher.lead:.0f} s ahead at least", (
            any(wanted in words for _, words in watcher.faults) if wanted else not watcher.faults and watcher.lead > 290)
    yield "a list that stood still for 400 s comes too late", late_list(stand_in)


def late_list(stand_in):
    clock = SimpleNamespace(at=stand_in.start + 20, speed=1, now=lambda: clock.at, sleep=lambda _: None)
    bodies = {urllib.parse.urljoin("http://s", uri): body for uri, body in stand_in.bodies.items()}
    watching.fetch = lambda url, timeout=None: bodies.get(url) or stand_in.list(clock.at).encode()
    watcher = watching.Watcher("stand-in", SimpleNamespace(stream="http://s/ipns/stand-in"), clock, None, 1000)
    watcher.look()
    clock.at += 400
    watcher.look()
    return watcher.lead < -2 * enduring.TARGET


def verdicts():
    """A run as it should be, and each criterion spoiled."""
    bucket = "ipfs_radio_ledger_append_seconds_bucket"
    before, after = (enduring.parse("# TYPE x histogram\n" + "".join(f'{bucket}{{le="{bound}"}} {count}\n' for bound, count in counts))
                     for counts in ((("0.01", 50), ("0.1", 50), ("+Inf", 50)), (("0.01", 148), ("0.1", 150), ("+Inf", 150))))
    yield "of 100 syncs two take long, of 150 two", (enduring.p99(before, after), enduring.p99({}, after)) == (0.1, 0.1) and enduring.p99(
        after, after) is None
    good = run()
    yield f"a run as it should be passes: {enduring.verdict(good)[0]}", not enduring.verdict(good)[0]
    ages = [enduring.adopted(t, starts, 100) for t, starts in ((300, []), (300, [200]), (300, [250]), (300, [210, 250]), (300, [250, 290]))]
    yield f"what a start adopts is there for longer: {ages}", ages == [0, 0, 50, 90, 50]
    killed = copy.deepcopy(good)
    restarted(killed)
    yield f"so it is behind a kill: {enduring.verdict(killed)[0]}", not enduring.verdict(killed)[0]
    for line in killed["samples"]:
        line["station"]["life"] = 0
    yield "and without one it is a fault", list(enduring.verdict(killed)[0]) == ["disk"]
    for criterion, name, spoil in SPOILT:
        bad = copy.deepcopy(good)
        spoil(bad)
        wrong = enduring.verdict(bad)[0]
        yield f"{name}: {wrong}"[:200], list(wrong) == [criterion]


def run(hours=8):
    """What a run of so many hours gives, with a little noise."""
    samples = []
    for index in range(1, int(hours * 3600 / 180)):
        t = index * 180.0
        noise = (index * 7919) % 13
        # Memory and disk fill for an hour and a half.
        full = min(1.0, t / 5100)
        node = {"life": 0, "rss_kib": 60_000 + 4_000 * full + 40 * noise, "fds": 40 + noise % 3, "threads": 12 + noise % 4,
                "disk_kib": 90_000 * full + 100 * noise, "blocks": 4_000 * full + noise}
        samples.append({"t": t, "seq": 1_000 + 30 * index, "sync_p99_ms": 10.0, "spot_check_ok": True, "station": node, "mirror": dict(node)})
    numbers = range(1_000, 1_000 + 30 * len(samples))
    receipts = [{"kind": "ledger_open"}]
    for number in numbers:
        receipts += [{"kind": "item_started"}] if number % 10 == 0 else []
        receipts.append({"kind": "segment", "media_seq": number, "cid": f"cid{number}", "pdt": 6.0 * number})
    for seq, receipt in enumerate(receipts):
        receipt["seq"] = seq
    return {"samples": samples, "faults": [], "lead": {"station": 290.0, "mirror": 250.0}, "aired": ["a", "b", "c", "a", "b"],
            "orders": [["a", "b", "c"]], "heard": {"faults": [], "gaps": [], "seconds": 28_700.0, "wanted": 28_600.0}, "verified": 0,
            "receipts": receipts, "listed": {number: (f"cid{number}", 6.0 * number) for number in numbers}, "joins": len(numbers) // 10,
            "stopped": {"station": 0, "mirror": 0}, "kept": 5_600.0}


def restarted(run):
    """The station starts anew when three quarters of the time are over, and half of its blocks are such as a start adopts."""
    kept, start = run["kept"], run["samples"][-1]["t"] * 3 / 4
    for line in run["samples"]:
        if start <= line["t"] < start + kept:
            line["station"]["life"] = 1
            line["station"]["blocks"] *= 1 + (line["t"] - start) / kept / 2
        elif line["t"] >= start:
            line["station"]["life"] = 1


def rise(who, name, per_hour, since=0):
    """A quantity that also rises by so much in an hour."""
    def spoil(bad):
        for line in bad["samples"]:
            line[who][name] += per_hour * max(0, line["t"] - since) / 3600
    return spoil


def within(*path, to):
    """Something in a run that is another."""
    def spoil(bad):
        place = bad
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to(place[path[-1]])
    return spoil


def without(*path):
    return within(*path[:-1], to=lambda things: [thing for at, thing in enumerate(things) if at != path[-1]] if isinstance(things, list)
                  else {key: thing for key, thing in things.items() if key != path[-1]})


def renumbered(bad):
    """A receipt is gone as if it had never been."""
    bad["receipts"].pop(500)
    for seq, receipt in enumerate(bad["receipts"]):
        receipt["seq"] = seq


SPOILT = [
    ("memory", "1.3 MiB leak in an hour", rise("station", "rss_kib", 1.3 * 1024)),
    ("memory", "the mirror leaks 2 MiB in an hour", rise("mirror", "rss_kib", 2048)),
    ("memory", "RSS steps up by a quarter after four hours", within("samples", to=lambda lines: [
        {**line, "station": {**line["station"], "rss_kib": line["station"]["rss_kib"] * (1.25 if line["t"] > 14_400 else 1)}} for line in lines])),
    ("files", "two descriptors leak in an hour", rise("station", "fds", 2)),
    ("files", "three threads leak in an hour", rise("mirror", "threads", 3)),
    ("disk", "blocks of a tenth stay", rise("station", "disk_kib", 9_000)),
    ("disk", "small blocks stay", rise("mirror", "blocks", 400)),
    ("gap", "a fault in a list", within("faults", to=lambda faults: [(7.0, "station: a hole")])),
    ("gap", "a mirror that is late", within("lead", "mirror", to=lambda _: -13.0)),
    ("gap", "a player that was dry", within("heard", "gaps", to=lambda _: [(100.0, 0.3)])),
    ("gap", "a player that heard a jump", within("heard", "faults", to=lambda _: [(100.0, "the player: a jump")])),
    ("gap", "a player that ended early", within("heard", "seconds", to=lambda seconds: seconds - 200)),
    ("gap", "a station that stood still", within("samples", to=lambda lines: [{**line, "seq": min(line["seq"], 3_000)} for line in lines])),
    ("gap", "nothing was decoded", within("aired", to=lambda _: [])),
    ("order", "an item was left out", within("aired", to=lambda _: ["a", "b", "c", "b"])),
    ("receipts", "a receipt is missing", without("receipts", 500)),
    ("receipts", "a receipt was never written", renumbered),
    ("receipts", "another block was listed", within("listed", 2_000, to=lambda listed: ("other", listed[1]))),
    ("receipts", "another date was listed", within("listed", 2_000, to=lambda listed: (listed[0], listed[1] + 0.01))),
    ("receipts", "a segment was never listed", without("listed", 2_000)),
    ("receipts", "a receipt of a kind that nobody knows", within("receipts", 0, "kind", to=lambda _: "repair")),
    ("receipts", "a signature that does not hold", within("verified", to=lambda _: 1)),
    ("spot check", "a block that cannot be read back", within("samples", 90, "spot_check_ok", to=lambda _: False)),
    ("stop", "a mirror that had to be killed", within("stopped", "mirror", to=lambda _: None)),
]
