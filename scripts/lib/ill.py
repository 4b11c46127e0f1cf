"""A machine that fails on demand, for the programs that this script starts: they are the shipped ones, with ill.c."""

import errno
import mmap
import struct
from pathlib import Path

from preload import preload

WORDS = ("wall_ns", "sync_ns", "kinds", "count", "fails", "until", "with_", "failed", "what")
PATH_BYTES = 512
OPEN, CREATE, READ, WRITE, SYNC, RENAME, MAKE, CUT, REMOVE, MODE = (1 << bit for bit in range(10))
KINDS = {OPEN: "open", CREATE: "create", OPEN | CREATE: "create", READ: "read", WRITE: "write", SYNC: "sync", RENAME: "rename", MAKE: "mkdir",
         CUT: "truncate", REMOVE: "unlink", MODE: "chmod"}
# What fails how, on a disk that is full, broken or out of descriptors, with a write that takes only half, and with a process
# that is killed before a call that changes something.
FAULTS = {"ENOSPC": (errno.ENOSPC, CREATE | WRITE | SYNC | RENAME | MAKE | CUT),
          "EIO": (errno.EIO, OPEN | CREATE | READ | WRITE | SYNC | RENAME | CUT | REMOVE | MODE),
          "EMFILE": (errno.EMFILE, OPEN | CREATE), "short": (-1, WRITE), "kill": (-2, CREATE | WRITE | SYNC | RENAME | MAKE | CUT | REMOVE)}


class Ill:
    """What fails for all that live in `folder`. Its attributes are the words of ill.c, and may be read and set at any time."""

    def __init__(self, folder, scratch):
        library, file = preload("ill.c", scratch), Path(scratch) / f"ill-{Path(folder).name}"
        file.write_bytes(bytes(8 * len(WORDS) + PATH_BYTES))
        with open(file, "r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 8 * len(WORDS) + PATH_BYTES)
        self.environment = {"LD_PRELOAD": str(library), "ILL": str(file), "ILL_UNDER": str(Path(folder).absolute())}

    def beside(self, clock):
        """The environment of a program that lives under a hastened clock as well."""
        libraries = [self.environment["LD_PRELOAD"], clock.environment.get("LD_PRELOAD")]
        return {**clock.environment, **self.environment, "LD_PRELOAD": " ".join(filter(None, libraries))}

    def fail(self, how, at, times=1):
        """From now on the call number `at` of those that can fail like this fails, and the next ones up to so many."""
        self.with_, kinds = FAULTS[how]
        self.kinds, self.count, self.failed, self.what = 0, 0, 0, 0
        self._map[8 * len(WORDS) :] = bytes(PATH_BYTES)
        self.fails, self.until = at, at + times
        self.kinds = kinds

    def where(self):
        """The path of the last file of which a call failed."""
        return self._map[8 * len(WORDS) :].split(b"\0")[0].decode(errors="replace")

    def well(self):
        self.fails = self.kinds = self.sync_ns = 0

    def __getattr__(self, name):
        if name in WORDS:
            return struct.unpack_from("q", self._map, 8 * WORDS.index(name))[0]
        raise AttributeError(name)

    def __setattr__(self, name, value):
        if name in WORDS:
            struct.pack_into("q", self._map, 8 * WORDS.index(name), value)
        else:
            super().__setattr__(name, value)
