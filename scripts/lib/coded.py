"""Recordings of which no two frames sound alike, and an ear that tells frame by frame what a client decoded.

AAC has frames of 1024 samples. The same frames decode to the same samples, but for the first of an item, into which what was
decoded before reaches. So one lost, repeated or strange frame is seen, in hours of sound.
"""

import array
import base64
import hashlib
import json
import subprocess
from operator import mul

from pieces import made
from station import need

RATE, FRAME = 44100, 1024
FRAME_BYTES = 4 * FRAME
TRACK_SECONDS = (131, 74, 97, 163, 58, 112, 87, 149, 66, 103, 121, 79)
JINGLE_SECONDS = (7, 11, 9)
# Frames at the begin of an item that may sound of what was before it.
HEAD = 1
# What an encoder at 128 kb/s leaves of the likeness of two tones, at least, in pieces of 2048 samples.
ALIKE, PIECE, STEP = 0.9, 2048, RATE // 2
# The encoder and the first frame delay the sound by less than this, in samples.
LAG_MAX = 4 * FRAME


class Wrong(Exception):
    """What was encoded is not what was recorded."""


def signal(index, seconds):
    """What lavfi makes recording `index` from: two tones at a level that changes nine times a second and never repeats."""
    level = f"1.6*(0.3+0.7*mod(abs(sin(n*12.9898+{index}*78.233))*43758.5453,1))"
    low, high = (f"sine=f={hertz}:r={RATE}:d={seconds}" for hertz in (1500 + 37 * index, 4100 + 61 * index))
    return (f"{low}[low];{high}[high];[low][high]amix=inputs=2:normalize=0,asetnsamples={RATE // 9}:p=0,"
            f"volume='{level}':eval=frame,aformat=channel_layouts=stereo")


def lay(folder, tracks=len(TRACK_SECONDS)):
    """Fills music/ and jingles/ of a station's folder."""
    need("ffmpeg", "ffmpeg")
    lengths = [("music", seconds) for seconds in TRACK_SECONDS[:tracks]] + [("jingles", seconds) for seconds in JINGLE_SECONDS]
    for index, (place, seconds) in enumerate(lengths):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / f"{index:02d}.flac").symlink_to(made("coded", f"{index}-{seconds}", signal(index, seconds)))


def decode(source, kind=("-f", "mpegts")):
    """The sound of a file or of bytes, as s16le stereo."""
    stdin = source if isinstance(source, bytes) else None
    return subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *kind, "-i", "pipe:0" if stdin else source, "-f", "s16le", "-ar", str(RATE),
                           "-ac", "2", "pipe:1"], input=stdin, stdout=subprocess.PIPE, check=True).stdout


def cid(body):
    """The CIDv1 of a raw block."""
    return "b" + base64.b32encode(b"\x01\x55\x12\x20" + hashlib.sha256(body).digest()).decode().lower().rstrip("=")


class Book:
    """All items that a station has set up: which blocks they are, and how each of their frames sounds."""

    def __init__(self, folder):
        processed = folder / "processed"
        manifest = json.loads((processed / "manifest.json").read_text())
        self.frames, self.counts, self.blocks, self.sounds = {}, {}, {}, {}
        self.lag = None
        for entry in manifest["entries"]:
            item = next(item for item in manifest["items"] if item["id"] == entry["id"])
            text = (processed / "tracks" / "audio" / item["id"] / "stream" / f"{item['renditions'][0]['stream']}.m3u8").read_text()
            names = [line for line in text.split("\n") if line and not line.startswith("#")]
            parts = [(processed / "chunks" / name).with_suffix(".ts").read_bytes() for name in names]
            self._take(entry["path"], decode(b"".join(parts)), item["samples"], folder)
            self.blocks[tuple(cid(part) for part in parts)] = entry["path"]

    def _take(self, path, pcm, samples, folder):
        count, rest = divmod(len(pcm), FRAME_BYTES)
        if rest or count != samples // FRAME:
            raise Wrong(f"{path}: {len(pcm) // 4} samples are decoded, not {samples}")
        self._compare(path, pcm, decode(folder / path, ()))
        self.counts[path], self.sounds[path] = count, hash(pcm)
        for at in range(count):
            self.frames.setdefault(hash(pcm[at * FRAME_BYTES : (at + 1) * FRAME_BYTES]), []).append((path, at))

    def _compare(self, path, pcm, source):
        """Sample for sample: all of the recording is there, at the one lag that the encoder has."""
        heard, meant = (array.array("h", sound)[::2].tolist() for sound in (pcm, source))
        if len(heard) < len(meant):
            raise Wrong(f"{path}: {len(heard)} samples are less than the {len(meant)} that were recorded")
        like = lambda at, lag: likeness(meant[at : at + PIECE], heard[at + lag : at + lag + PIECE])
        if self.lag is None:
            self.lag = max(range(LAG_MAX), key=lambda lag: like(RATE, lag))
        for at in range(0, len(meant) - PIECE - 2 * FRAME, STEP):
            here = like(at, self.lag)
            if here < max(ALIKE, like(at, self.lag - 1), like(at, self.lag + 1)):
                raise Wrong(f"{path}: at {at / RATE:.1f} s it is not what was recorded: {here:.3f} alike")


def likeness(a, b):
    """The cosine of the angle between two pieces."""
    return sum(map(mul, a, b)) / max(1.0, (sum(map(mul, a, a)) * sum(map(mul, b, b))) ** 0.5)


class Ear:
    """Follows what a client decodes. `faults`: what is not as it should be, as (seconds heard, words); `items`: what was heard
    from its begin."""

    def __init__(self, book):
        self.book = book
        self.place, self.head = None, None
        self.frames, self.faults, self.items = 0, [], []
        self.rest = b""

    def hear(self, pcm):
        pcm = self.rest + pcm
        whole = len(pcm) // FRAME_BYTES * FRAME_BYTES
        self.rest = pcm[whole:]
        for at in range(0, whole, FRAME_BYTES):
            self._frame(self.book.frames.get(hash(pcm[at : at + FRAME_BYTES]), ()))
            self.frames += 1

    @property
    def seconds(self):
        return self.frames * FRAME / RATE

    def _frame(self, found):
        if self.head is not None:
            begun = next((place for place in found if place[1] == self.head), None)
            if begun:
                self.place, self.head = begun, None
                self.items.append(begun[0])
            elif found or self.head >= HEAD:
                self._lost(found, f"no item goes on after frame {self.head} of the one that begins")
            else:
                self.head += 1
        elif self.place is None:
            self.place = found[0] if found else None
        else:
            path, at = self.place
            if (path, at + 1) in found:
                self.place = (path, at + 1)
            else:
                self._lost(found, f"{path}: after frame {at} of {self.book.counts[path]}")
        if self.place and self.place[1] + 1 == self.book.counts[self.place[0]]:
            self.place, self.head = None, 0

    def _lost(self, found, where):
        self.place, self.head = (found[0] if found else None), None
        self.faults.append((round(self.seconds, 1), f"{where} comes " + (f"frame {found[0][1]} of {found[0][0]}" if found else "what nobody made")))
