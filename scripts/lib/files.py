"""Reads the JSON files of a folder over and over while their writer is killed: each is whole or not there."""

import contextlib
import json
import os

from background import Looking


class Files(Looking):
    """`versions`: of each file, how many were seen. What lay there before is held open, so that no other file gets its number: one
    that changes and keeps it was written where it lies, and might have been read half."""

    def __init__(self, name, folder, seen, pause=0.005):
        super().__init__(pause)
        self.name, self.folder, self.seen = name, folder, seen
        self.held, self.versions, self.looks = {}, {}, 0

    def end(self):
        super().end()
        self.close()

    def close(self):
        for file, _ in self.held.values():
            file.close()

    def look(self):
        self.looks += 1
        for path in self.folder.glob("[!.]*.json"):
            # It may be gone again.
            with contextlib.suppress(FileNotFoundError):
                self._take(path.name, open(path, "rb"))

    def _take(self, name, file):
        body, (before, known) = file.read(), self.held.get(name, (None, None))
        self.held[name] = (file, body)
        if body != known:
            self.versions[name] = self.versions.get(name, 0) + 1
            try:
                json.loads(body)
            except ValueError as why:
                self.seen.say(f"{self.name}: {name} is not whole: {why}")
            if before and os.path.samestat(os.fstat(before.fileno()), os.fstat(file.fileno())):
                self.seen.say(f"{self.name}: {name} is written where it lies")
        if before:
            before.close()
