"""A stand-in for the station: serves a live list of pieces cut by ffmpeg, and can be made to misbehave.

The listening test is tried on it: on a faultless stand-in it must pass, on a faulty one it must fail.
"""

import base64
import bisect
import hashlib
import http.server
import subprocess
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

RATE, TARGET, LOOK_AHEAD, WINDOW = 44100, 6, 300, 300
FRAMES_PER_SEGMENT = 258

PAGE = b"""<!doctype html><title>stand-in</title><audio controls src="/ipns/stand-in/live.m3u8"></audio>"""


def tone(index, seconds):
    """What ffmpeg's lavfi makes piece number `index` from: a tone whose level changes nine times a second and never repeats,
    so that no place sounds like another."""
    level = f"(0.1+0.9*mod(abs(sin(floor(t*9)*12.9898+{index}*78.233))*43758.5453,1))"
    return f"aevalsrc='0.4*sin(2*PI*t*{180 + 37 * index})*{level}':s={RATE}:c=stereo:d={seconds}"


class StandIn:
    """Pieces of different lengths and tones, looped."""

    def __init__(self, folder, lengths=(14, 23, 17, 31)):
        self.misbehave()
        self.bodies = {}
        self.items = [self._piece(Path(folder), i, seconds) for i, seconds in enumerate(lengths)]
        self.order = [(item, part) for item in self.items for part in range(len(item))]
        self.ends = []
        total = 0
        for item, part in self.order:
            total += item[part][1]
            self.ends.append(total)
        self.round = total
        self.start = time.time() - 3 * TARGET
        self.served = 0
        self.lock = threading.Lock()
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                stand_in._answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def misbehave(self, stall=0.0, missing=False):
        """From now on every third request for a segment waits `stall` seconds; every third segment is `missing`. Without
        arguments nothing goes wrong any more."""
        self.stall, self.missing = stall, missing

    def _piece(self, folder, index, seconds):
        """One item: a tone at an uneven level, as a list of (uri, samples)."""
        source = tone(index, seconds)
        folder = Path(tempfile.mkdtemp(dir=folder))
        # The encoder adds a frame of priming; equal parts of whole frames, like the station's.
        frames = -(-seconds * RATE // 1024) + 1
        per_part = -(-frames // -(-frames // FRAMES_PER_SEGMENT))
        # The muxer goes on from segment to segment: VLC loses sound where the continuity counters start anew.
        subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:a", "aac", "-b:a", "128k", "-f", "hls",
             "-hls_time", f"{per_part * 1024 / RATE - 1e-4:.6f}", "-hls_list_size", "0",
             "-hls_segment_filename", str(folder / "%03d.ts"), str(folder / "list.m3u8")],
            check=True)
        left, parts = frames, []
        for path in sorted(folder.glob("*.ts")):
            body = path.read_bytes()
            cid = "b" + base64.b32encode(b"\x01\x55\x12\x20" + hashlib.sha256(body).digest()).decode().lower().rstrip("=")
            uri = f"/ipfs/{cid}?filename=s.mpegts"
            self.bodies[uri] = body
            parts.append((uri, min(per_part, left) * 1024))
            left -= per_part
        return [part for part in parts if part[1] > 0]

    def _answer(self, request):
        path = request.path
        if path in self.bodies:
            body, kind = self._segment(path), "video/mp2t"
        elif path.startswith("/ipns/"):
            body, kind = self.list(time.time()).encode(), "application/vnd.apple.mpegurl"
        elif path == "/":
            body, kind = PAGE, "text/html"
        else:
            body, kind = None, "text/plain"
        try:
            request.send_response(404 if body is None else 200)
            request.send_header("Content-Type", kind)
            request.send_header("Content-Length", str(len(body or b"")))
            request.end_headers()
            request.wfile.write(body or b"")
        except OSError:
            pass

    def _segment(self, uri):
        with self.lock:
            self.served += 1
            turn = self.served
        if self.stall and turn % 3 == 0:
            time.sleep(self.stall)
        if self.missing and list(self.bodies).index(uri) % 3 == 1:
            return None
        return self.bodies[uri]

    def list(self, now):
        """The live list at wall time `now`, shaped like the station's (HOLD-BACK = look-ahead + two targets)."""
        hold_back = LOOK_AHEAD + 2 * TARGET
        first = max(0, self._segment_at(now - WINDOW) - 1)
        last = self._segment_at(now + LOOK_AHEAD)
        lines = ["#EXTM3U", "#EXT-X-VERSION:9", f"#EXT-X-TARGETDURATION:{TARGET}",
                 f"#EXT-X-SERVER-CONTROL:HOLD-BACK={hold_back:.3f}", f"#EXT-X-START:TIME-OFFSET=-{hold_back:.3f},PRECISE=NO",
                 "#EXT-X-INDEPENDENT-SEGMENTS", f"#EXT-X-MEDIA-SEQUENCE:{first}",
                 f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._joins_before(first)}"]
        for number in range(first, last + 1):
            item, part = self.order[number % len(self.order)]
            begins = datetime.fromtimestamp(self._end(number - 1), timezone.utc)
            stamp = begins.strftime("%Y-%m-%dT%H:%M:%S.") + f"{begins.microsecond // 1000:03d}Z"
            if part == 0:
                # Both ends as they are printed, so that no range goes on into the next one.
                length = (int(1000 * self._end(number + len(item) - 1)) - int(1000 * begins.timestamp())) / 1000
                lines += ["#EXT-X-DISCONTINUITY",
                          f'#EXT-X-DATERANGE:ID="i{number}",START-DATE="{stamp}",DURATION={length:.3f},X-TITLE="piece"']
            uri, samples = item[part]
            lines += [f"#EXT-X-PROGRAM-DATE-TIME:{stamp}", f"#EXTINF:{samples / RATE:.6f},piece", uri]
        return "\n".join(lines) + "\n"

    def _end(self, number):
        rounds, index = divmod(number, len(self.order))
        return self.start + (rounds * self.round + self.ends[index]) / RATE

    def _segment_at(self, when):
        rounds, rest = divmod(max(0, round((when - self.start) * RATE)), self.round)
        return rounds * len(self.order) + bisect.bisect_right(self.ends, rest)

    def _joins_before(self, number):
        rounds, index = divmod(number, len(self.order))
        return rounds * len(self.items) + sum(1 for _, part in self.order[:index] if part == 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        stand_in = StandIn(folder)
        print(stand_in.url, flush=True)
        threading.Event().wait()
