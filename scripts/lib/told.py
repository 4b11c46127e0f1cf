"""Whether a program of which a call on a file failed has told of it."""

import os
import re

from ill import FAULTS

# What health and the log tell of beside what is so under a clock that hastens: it makes any disk slow.
TOPICS = ("air", "blocks", "clock", "disk", "generator", "ledger", "memory", "names", "order", "peer",
          "programme", "projections", "receipts", "repo", "root", "setup", "store")
# Which failures need no word, as kinds of call, what `part:path` looks like, and why: those of what is only there to save work or
# waits to be tidied up. That the next run, or this one, makes the same of it is looked at apart from this.
LOOKED_UP = ("open", "read")
# What setup looks up before it makes it, or writes it, once more; a station that cannot read the same has to tell.
MADE = r"^setup:processed/.*|:state/generated/.*"
QUIET = (
    (LOOKED_UP, rf"({MADE})/meta\.json$", "an item whose description cannot be read is made anew, byte for byte"),
    (LOOKED_UP, rf"({MADE})/fingerprint$", "an item that cannot be compared is no duplicate, and stays in the order"),
    (LOOKED_UP, r"(^setup:processed|:state/generated)/retired\.json$", "what has no date that can be read is kept for longer"),
    (LOOKED_UP, r"(^setup:processed|:state/generated)/(manifest\.json|playlist(\.generated)?\.m3u)$",
     "what cannot be compared with what is to be written is written"),
    (LOOKED_UP, r":state/stat-cache\.json$", "files of which nothing is known are read again"),
    (LOOKED_UP, r"^(fresh|again):(processed|state/generated)$", "a folder that is watched and cannot be listed counts as changed: what is in it is read"),
    (("open", "sync"), r"/blockstore/[^/]{2}$", "the repo does not say so, and the writer makes the shard durable itself behind it (store/files.rs)"),
    (("unlink",), r"/\.tmp-[^/]*$|/blockstore/[^/]*/[^/]*\.tmp$", "what is half written and cannot be removed is swept by the next run"),
)


def plain(line):
    """A line without what is another at each run: times, numbers and names of blocks."""
    return re.sub(r"[0-9a-z]{40,}|[0-9][0-9.:TZ-]*", "#", line).strip()


def name_of(path):
    """The name that a file gets in the end; with its folder's, if that is too short to be looked for."""
    whole = re.sub(r"\.tmp-\d+-\d+-", "", path)
    name = whole.rsplit("/", 1)[-1]
    return name if len(name) >= 8 else "/".join(whole.rsplit("/", 2)[-2:])


def is_warning(line):
    topic = re.search(r'topic="([^"]*)"|^health: ([a-z ]+):', line)
    if topic:
        return (topic[1] or topic[2]) in TOPICS
    return bool(re.search(r" WARN | ERROR |^(warning|error|ipfs-radio): ", line))


class Usual:
    """What is said where no call fails."""

    def __init__(self):
        self.lines = set()

    def add(self, lines):
        self.lines |= {plain(line) for line in lines}

    def told(self, lines, path, how):
        """By what the failure is told, and the line: the name of the file, the words of the errno, or a warning that is not usual."""
        new = [line for line in lines if plain(line) not in self.lines]
        words = os.strerror(FAULTS[how][0]) if FAULTS[how][0] > 0 else None
        tests = {"file": lambda line: name_of(path) in line if path else False, "errno": lambda line: words and words in line, "warning": is_warning}
        return next(((by, line[:300]) for by, holds in tests.items() for line in new if holds(line)), ("", ""))


def needs_no_word(part, kind, path, how):
    """Why nobody must be told of a failed call, if so."""
    if how == "kill":
        return "who is dead is silent"
    if how == "short":
        return "what is left of a write is written next"
    return next((why for kinds, pattern, why in QUIET if kind in kinds and re.search(pattern, f"{part}:{path}")), None)
