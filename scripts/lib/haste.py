"""A clock that goes faster, for this script and for the programs that it starts: they are the shipped ones, with hasten.c."""

import time

from preload import preload


class Clock:
    """`speed` seconds pass in one, from now on. At 1 it is the machine's clock, and nothing is preloaded. `wall`: the Unix
    seconds that it shows now, if not those of the machine: where a hastened run goes on."""

    def __init__(self, speed, scratch, wall=None):
        self.speed = speed
        self.monotonic, self.wall = time.monotonic_ns(), time.time_ns() if wall is None else round(wall * 1e9)
        self.environment = {}
        if speed > 1:
            library = preload("hasten.c", scratch)
            self.environment = {"LD_PRELOAD": str(library), "HASTEN": f"{speed}:{self.monotonic}:{self.wall}"}

    def now(self):
        """Unix seconds by the hastened wall clock."""
        return (self.wall + (time.monotonic_ns() - self.monotonic) * self.speed) / 1e9

    def sleep(self, seconds):
        """Sleeps hastened seconds; not at all if they are over."""
        time.sleep(max(0.0, seconds / self.speed))
