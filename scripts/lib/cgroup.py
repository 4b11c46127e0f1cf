"""A limit on the memory of a process and its children, by a control group of its own (v1 or v2), for which one has to be root."""

import contextlib
import os
import shlex
import time
from pathlib import Path

from station import NotRun

ROOT = Path("/sys/fs/cgroup")
MIB = 1 << 20


class Limited:
    """A group that may have `mib` MiB, page cache included. Use it in a `with`."""

    def __init__(self, mib):
        self.mib, self.v2 = mib, (ROOT / "cgroup.controllers").exists()
        self.folder = (ROOT if self.v2 else ROOT / "memory") / f"ipfs-radio-{os.getpid()}"

    def __enter__(self):
        try:
            if self.v2:
                (ROOT / "cgroup.subtree_control").write_text("+memory")
            self.folder.mkdir()
            (self.folder / ("memory.max" if self.v2 else "memory.limit_in_bytes")).write_text(str(self.mib * MIB))
        except OSError as why:
            raise NotRun(f"no control group with a limit on memory can be made: {why}") from None
        return self

    def __exit__(self, *_):
        # A group goes when the last of its processes has been buried.
        for _ in range(50):
            with contextlib.suppress(OSError):
                return self.folder.rmdir()
            time.sleep(0.1)

    def program(self, path, command):
        """Writes a program to `path` that is `command` (its own arguments behind), in this group. Returns the path."""
        path.write_text(f'#!/bin/sh\necho $$ > {self.folder}/cgroup.procs && exec {shlex.quote(str(command))} "$@"\n')
        path.chmod(0o755)
        return path

    def killed(self):
        """How many of its processes the kernel has ended because there was no memory left."""
        text = (self.folder / ("memory.events" if self.v2 else "memory.oom_control")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])
