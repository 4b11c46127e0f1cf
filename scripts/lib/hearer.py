"""Listens to a list in real time without decoding it, and tells what it sees, one line of JSON an event.

  hearer.py URL [--play]

Every second it asks for the list: `{"at", "end", "first", "ends_at"}` at each new version (the media sequence behind the
last segment, that of the first, the date on which the list ends), `{"at", "error"}` when it does not come. With --play it
also plays: from HOLD-BACK before the end, a segment after the other in real time, up to 30 s fetched ahead: `{"at",
"plays"}` with the first sound, `{"at", "stalled"}` when it ran dry, `{"at", "stall"}` with its seconds when it goes on,
`{"at", "skipped"}` when the next segment has left the list. It runs until it is killed.
"""

import json
import sys
import threading
import time
import urllib.parse

from playlist import fetch, parse

LOOK_SECONDS = 1.0
AHEAD_SECONDS = 30
LIST_TIMEOUT, SEGMENT_TIMEOUT = 60, 20
lock = threading.Lock()


def tell(**event):
    with lock:
        print(json.dumps({"at": round(time.time(), 3), **event}), flush=True)


class Hearer:
    def __init__(self, url):
        self.url, self.live = url, None

    def look(self):
        """Asks for the list, for ever. A version older than one seen before is told and not taken."""
        while True:
            began = time.monotonic()
            try:
                live = parse(fetch(self.url, LIST_TIMEOUT).decode())
                last = live.segments[-1]
                if self.live is None or live.end > self.live.end:
                    self.live = live
                    tell(end=live.end, first=live.first, ends_at=last.begins + last.seconds)
                elif live.end < self.live.end:
                    tell(older=live.end)
            except (OSError, ValueError, IndexError) as why:
                tell(error=str(why)[:200])
            time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))

    def play(self):
        while self.live is None:
            time.sleep(0.1)
        live = self.live
        end = live.segments[-1].begins + live.segments[-1].seconds
        number = next(s.number for s in live.segments if s.begins + s.seconds > end - live.hold_back)
        dry_at = dry = None  # when the sound that is here ends, by the monotonic clock
        while True:
            segment = next((s for s in self.live.segments if s.number == number), None)
            if segment is None and number < self.live.first:
                tell(skipped=self.live.first - number)
                number = self.live.first
                continue
            if segment is None or not self.take(segment):
                dry = self.note_dry(dry_at, dry)
                time.sleep(0.2)
                continue
            now = time.monotonic()
            if dry_at is None:
                tell(plays=number)
            elif now > dry_at:
                self.note_dry(dry_at, dry)
                tell(stall=round(now - dry_at, 3))
            dry = None
            dry_at = max(now, dry_at or now) + segment.seconds
            number += 1
            time.sleep(max(0.0, dry_at - now - AHEAD_SECONDS))

    def take(self, segment):
        try:
            return bool(fetch(urllib.parse.urljoin(self.url, segment.uri), SEGMENT_TIMEOUT))
        except OSError as why:
            tell(error=f"segment {segment.number}: {why}"[:200])
            return False

    def note_dry(self, dry_at, dry):
        """Tells once when the sound has run out."""
        if dry_at is not None and dry is None and time.monotonic() > dry_at:
            tell(stalled=True)
            return True
        return dry


if __name__ == "__main__":
    hearer = Hearer(sys.argv[1])
    if "--play" in sys.argv:
        threading.Thread(target=hearer.look, daemon=True).start()
        hearer.play()
    else:
        hearer.look()
