"""Music that no other place of the programme sounds like, in short pieces, so that items meet often."""

import os
import subprocess
from pathlib import Path

from standin import tone
from station import need

TRACK_SECONDS = (14, 23, 17, 31, 19, 26)
# As long as music mostly is.
LONG_TRACK_SECONDS = (190, 215, 175)
JINGLE_SECONDS = (4, 6, 5)
TRACKS_A_JINGLE = 3


def cache():
    """The folder that install-clients fills."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("IPFS_RADIO_CACHE") or Path(home) / "ipfs-radio")


def lay(folder, seconds, track_seconds=TRACK_SECONDS):
    """Fills music/ and jingles/ of a station's folder with at least `seconds` of programme that do not repeat."""
    need("ffmpeg", "ffmpeg")
    index = laid = 0
    while laid < seconds:
        jingle = index % (TRACKS_A_JINGLE + 1) == 0
        lengths = JINGLE_SECONDS if jingle else track_seconds
        length = lengths[index % len(lengths)]
        name = f"{index:03d}.flac"
        target = folder / ("jingles" if jingle else "music") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(made("pieces", f"{index}-{length}", tone(index, length)))
        index, laid = index + 1, laid + length


def made(kind, name, source):
    """A recording of what ffmpeg's `source` makes, kept in the cache folder `kind`."""
    path = cache() / kind / f"{name}.flac"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several scripts may make the same one at the same time.
        new = path.with_suffix(f".{os.getpid()}.flac")
        subprocess.run(["ffmpeg", "-nostdin", "-y", "-v", "error", "-f", "lavfi", "-i", source, new], check=True)
        new.rename(path)
    return path
