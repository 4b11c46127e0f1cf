"""Whether the observer of scripts/kills and scripts/faults would notice: on lists that are as they should be, and on the same, spoiled."""

import base64
import hashlib
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

from files import Files
from heard import FIRST, Again
from observing import Observer, Seen, read_record

TARGET, LISTED, BEGINS = 6, 20, 1_800_000_000


def cid(number):
    return "b" + base64.b32encode(b"\x01\x55\x12\x20" + hashlib.sha256(str(number).encode()).digest()).decode().lower().rstrip("=")


def text(first, joins=0, of=cid, seconds=TARGET, step=0.0, jump=0.0, hold_back=72):
    """A list of segments from the number `first` on; `joins` have left it. Every seventh segment begins an item. The dates
    `step` behind the fourth one, and `jump` at the number 14."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:9", f"#EXT-X-TARGETDURATION:{TARGET}", f"#EXT-X-SERVER-CONTROL:HOLD-BACK={hold_back}.0",
             f"#EXT-X-START:TIME-OFFSET=-{hold_back}.0", f"#EXT-X-MEDIA-SEQUENCE:{first}", f"#EXT-X-DISCONTINUITY-SEQUENCE:{joins}"]
    for number in range(first, first + LISTED):
        at = BEGINS + number * TARGET + (step if number > first + 3 else 0) + (jump if number >= 14 else 0)
        date = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        lines += ["#EXT-X-DISCONTINUITY"] * (number % 7 == 0)
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:{date}Z", f"#EXTINF:{seconds:.6f},x", f"/ipfs/{of(number)}?filename=s.mpegts"]
    return "\n".join(lines) + "\n"


def record(sequence, value):
    """The fields of an IPNS record that are looked at."""
    body, rest = bytearray(b"\x0a" + bytes([len(value)]) + value.encode() + b"\x28"), sequence
    while rest > 127:
        body.append(rest & 127 | 128)
        rest >>= 7
    return bytes(body + bytes([rest]))


def watched(*lists, later=0, **how):
    """What is said of these lists, one after the other; the last one comes `later` seconds after it should."""
    clock = SimpleNamespace(speed=1, now=lambda: BEGINS + lists_seen[0] * TARGET + 60 + (later if lists_seen[0] == len(lists) else 0))
    lists_seen = [0]
    observer = Observer("it", "", clock, Seen(), 1, own=False, **how)
    for one in lists:
        lists_seen[0] += 1
        observer._list(one)
    observer.fetchers.shutdown()
    return observer.seen.said + (["late"] if observer.left <= 0 else [])


def beside(one, another):
    """What is said of two lists at two places."""
    clock, seen = SimpleNamespace(speed=1, now=lambda: 0), Seen()
    for name, list_there in (("station", one), ("mirror", another)):
        observer = Observer(name, "", clock, seen, 1, own=False)
        observer._list(list_there)
        observer.fetchers.shutdown()
    return seen.said


def recorded(*records):
    observer = Observer("it", "", SimpleNamespace(now=lambda: 0, speed=1), Seen(), 1)
    for one in records:
        observer._record(one)
    observer.fetchers.shutdown()
    return observer.seen.said


def written(*steps):
    """What is said of a folder in which files are (name, text), one after the other: replaced, written where it lies if it ends
    in `!`, gone if the text is None."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = Files("it", folder, Seen())
        for name, body in steps:
            path = folder / name.removesuffix("!")
            if body is None:
                path.unlink()
            elif name.endswith("!"):
                path.write_text(body)
            else:
                (folder / ".new").write_text(body)
                (folder / ".new").rename(path)
            files.look()
        files.close()
    return [words for words in files.seen.said if "s.json" in words]


def played(waited, *ends):
    """What is said of a client that hears something after so long, and then each piece when what it had ends at `ends`, at the time 0."""
    client = Again("")
    client.waited = waited
    for end in ends:
        client._ran(end, 0)
    return client.lost()


def test():
    """Returns the exit code."""
    other = lambda number: cid(number + (number == 5) * 1000)
    cases = [
        ("lists that go on", False, watched(text(1), text(2), text(3))),
        ("a join that leaves the list", False, watched(text(7, 4), text(8, 5))),
        ("a list that goes back", True, watched(text(2), text(1))),
        ("a number that means another block", True, watched(text(1), text(2, of=other))),
        ("a mirror that shows another block", True, beside(text(1), text(2, of=other))),
        ("a mirror that is behind", False, beside(text(5), text(2))),
        ("another length", True, watched(text(1), text(2, seconds=5.5))),
        ("a date that jumps where no item begins", True, watched(text(1), text(2, step=0.5))),
        ("dates that jump forward where an item begins", False, watched(text(1, jump=3600), text(2, jump=3600))),
        ("dates that go back where an item begins", False, watched(text(1, jump=-3600), text(2, jump=-3600))),
        ("dates that go back where none does", True, watched(text(1), text(2, step=-3600))),
        ("dates that go back by a little", True, watched(text(1, jump=-5))),
        ("a list that holds back by less than before", True, watched(text(1, hold_back=75), text(2), exact=True)),
        ("the same where the clock was set back", False, watched(text(1, hold_back=75), text(2))),
        ("a list that is late by its dates", True, watched(text(1), text(2), later=200, exact=True)),
        ("a hole", True, watched(text(1), text(30, 4))),
        ("a hole where time goes slower", False, watched(text(1), text(30, 4), slow=True)),
        ("a list that goes back where time goes slower", True, watched(text(2), text(1), slow=True)),
        ("a join that is not counted", True, watched(text(7, 4), text(8, 4))),
        ("a list that comes when the one before it is over", True, watched(text(1), text(2), later=200)),
        ("a list that is cut", True, watched(text(1), text(2)[:-100])),
        ("records that go on", False, recorded(record(10, "/ipfs/a"), record(10, "/ipfs/a"), record(300, "/ipfs/b"))),
        ("a record that goes back", True, recorded(record(300, "/ipfs/b"), record(10, "/ipfs/a"))),
        ("two records with one sequence", True, recorded(record(10, "/ipfs/a"), record(10, "/ipfs/b"))),
        ("a file that is replaced", False, written(("s.json", '{"a": 1}'), ("s.json", '{"a": 2}'), ("s.json", '{"a": 3}'))),
        ("a file that goes and comes", False, written(("s.json", "{}"), ("s.json", None), ("s.json", "[]"))),
        ("half a file beside", False, written(("s.json", "{}"), (".tmp-1-0-s.json", '{"a"'))),
        ("half a file", True, written(("s.json", '{"a": 1}'), ("s.json", '{"a"'))),
        ("a file that is empty", True, written(("s.json", ""))),
        ("a file that is written where it lies", True, written(("s.json", '{"a": 1}'), ("s.json!", '{"a": 2}'))),
        ("a client that has a piece before it needs it", False, played(2, None, 3, 9)),
        ("a client that has it too late", True, played(2, None, 3, -0.01)),
        ("a client that hears nothing", True, played(None)),
        ("a client that hears something after a minute", True, played(FIRST + 1, None, 3)),
    ]
    failed = read_record(record(1_800_000_000_000, "/ipfs/a")) != (1_800_000_000_000, "/ipfs/a")
    for what, wrong, said in cases:
        well = bool(said) == wrong
        failed += not well
        print(f"{'ok' if well else 'WRONG'}: {what}: {said[0] if said else 'nothing is said'}", flush=True)
    return 1 if failed else 0
