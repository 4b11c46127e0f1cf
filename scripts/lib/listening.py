"""Clients that listen to a station, and the verdict on each."""

import contextlib
import functools
import json
import multiprocessing
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import sink
import sound
from station import REPOSITORY, NotRun, need

LIMIT = 0.060
RAW = ["-f", "s16le", "-ar", "44100", "-ac", "2"]


def ffmpeg(url, fifo, home, options=("-prefer_x_start", "1")):
    need("ffmpeg", "ffmpeg")
    return ["ffmpeg", "-nostdin", "-y", "-v", "warning", *options, "-i", url, *RAW, "-flush_packets", "1", str(fifo)]


def mpv(url, fifo, home, options=("--demuxer-lavf-o=prefer_x_start=1",)):
    need("mpv", "mpv")
    return ["mpv", "--no-config", "--no-video", "--no-terminal", *options, "--ao=pcm",
            "--ao-pcm-waveheader=no", f"--ao-pcm-file={fifo}", "--audio-format=s16", "--audio-samplerate=44100",
            "--audio-channels=stereo", url]


def vlc(url, fifo, home, options=("--adaptive-livedelay=318000",)):
    """VLC refuses to run as root, and keeps the pace itself."""
    need("cvlc", "vlc-bin")
    command = ["cvlc", "--no-video", *options, "--aout=afile", f"--audiofile-file={fifo}",
               "--audiofile-format=s16", "--no-audiofile-wav", url]
    if os.getuid() != 0:
        return command
    nobody = pwd.getpwnam("nobody")
    for path in (home, fifo):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "env", f"HOME={home}", *command]


def gstreamer(url, fifo, home):
    """playbin3, which uses hlsdemux2."""
    need("gst-launch-1.0", "gstreamer1.0-tools")
    sink = ("audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=44100,channels=2,layout=interleaved ! "
            f"filesink location={fifo} buffer-mode=unbuffered sync=false")
    return ["gst-launch-1.0", "-q", "playbin3", f"uri={url}", "flags=audio", f"audio-sink={sink}"]


# Command, and seconds of sound that the card holds. VLC hands over eight frames (186 ms) at a time and sleeps between.
PLAYERS = {"ffmpeg": (ffmpeg, 0.04), "mpv": (mpv, 0.04), "vlc": (vlc, 0.45)}
# Players as they come, without an option that finds the place to start.
PLAIN = {"ffmpeg-plain": (functools.partial(ffmpeg, options=()), 0.04), "mpv-plain": (functools.partial(mpv, options=()), 0.04),
         "vlc-plain": (functools.partial(vlc, options=()), 0.45), "gstreamer": (gstreamer, 0.04)}

# What a client may lose where two items meet: VLC loses 0.65 s of the item that it starts in. (Where the clock of the segments
# leads by less than a second, as in the lists of lib/standin.py, it throws away up to a second of every item.)
CUT_SECONDS = {"vlc": 0.9, "vlc-plain": 0.9}


class Client:
    """One client: plays in a process of its own, is judged afterwards."""

    # How words of its console begin that are no fault.
    tolerated = ()

    def __init__(self, name, kind, gateway, stream, out, scratch, seconds, pauses=(), card_seconds=None):
        self.name, self.kind, self.seconds = name, kind, seconds
        self.prefix = out / name
        self.pcm = scratch / f"{name}.pcm"
        self.skipped = None
        self.result = None
        queue = multiprocessing.SimpleQueue()
        try:
            if kind == "chromium":
                work = (page, (gateway, seconds, self.prefix, self.pcm, pauses, queue))
            else:
                work = (player, (kind, stream, scratch / name, self.pcm, self.prefix, seconds, pauses, queue,
                                 card_seconds or known(kind)[1]))
            self.queue, self.process = queue, multiprocessing.Process(target=work[0], args=work[1])
            prepare(kind)
            self.process.start()
        except NotRun as why:
            self.skipped = str(why)

    def wait(self):
        if self.skipped:
            return
        # A client that has much to say ends once somebody listens.
        ends = time.monotonic() + self.seconds + 180
        while self.process.is_alive() and self.queue.empty() and time.monotonic() < ends:
            time.sleep(0.1)
        self.result = self.queue.get() if not self.queue.empty() else {"error": "the sink died"}
        self.process.kill()

    def judge(self, source):
        """Fills the row of the table: what was heard, and why it is not good enough."""
        self.heard, self.why = sound.Heard(), []
        if self.result.get("error") or not self.result.get("first"):
            self.why.append(self.result.get("error") or "not a sound in a minute")
            return
        peaks = sound.in_step(self.pcm.read_bytes(), source, self.result["first"])
        self.heard = sound.compare(peaks, source, self.result["first"])
        self.gap = max((length for _, length in self.result["gaps"]), default=0.0)
        if self.gap > LIMIT:
            at = max(self.result["gaps"], key=lambda gap: gap[1])[0]
            count = sum(1 for _, length in self.result["gaps"] if length > LIMIT)
            self.why.append(f"{count} × dry for more than 60 ms, longest {self.gap * 1000:.0f} ms at {at:.1f} s")
        if self.heard.seconds < 0.9 * self.seconds:
            self.why.append(f"ended after {self.heard.seconds:.0f} s")
        if self.heard.holes:
            self.why.append("silent where the source is not: " + ", ".join(f"{n * 10} ms at {at / 100:.1f} s" for at, n in self.heard.holes[:5]))
        if self.heard.jumps:
            self.why.append("jumped: " + ", ".join(f"{by:+.2f} s at {at} s" for at, by in self.heard.jumps[:5]))
        cuts = [cut for cut in self.heard.cuts if abs(cut[1]) > CUT_SECONDS.get(self.kind, 0.1)]
        if cuts:
            self.why.append("lost or repeated where items meet: " + ", ".join(f"{by:+.2f} s at {at} s" for at, by in cuts[:5]))
        if self.heard.foreign:
            self.why.append(f"{self.heard.foreign} s are not what the station sent")
        if not self.heard.joins:
            self.why.append("crossed no boundary between items")
        problems = [str(problem) for problem in self.result.get("problems", [])]
        self.why += [words for words in problems if not words.startswith(self.tolerated)][:3]

    gap = 0.0


def known(kind):
    return PLAYERS.get(kind) or PLAIN[kind]


def prepare(kind):
    """Raises `NotRun` if the client cannot be had."""
    if kind == "chromium":
        need("node", "nodejs")
        if not os.path.exists("/usr/bin/chromium"):
            raise NotRun("chromium is not installed: run scripts/install-clients")
        subprocess.run([str(REPOSITORY / "scripts" / "install-clients"), "npm"], check=True, stdout=subprocess.DEVNULL)
        return
    with tempfile.TemporaryDirectory() as home:
        known(kind)[0]("", home, home)


def player(kind, url, home, pcm, prefix, seconds, pauses, queue, card_seconds):
    home.mkdir()
    fifo = home / "pcm"
    os.mkfifo(fifo)
    command = known(kind)[0](url, fifo, home)
    result = sink.play(command, fifo, pcm, f"{prefix}.log", seconds, card_seconds, pauses)
    Path(f"{prefix}.json").write_text(json.dumps(result))
    queue.put({key: value for key, value in result.items() if key != "stamps"})


def page(gateway, seconds, prefix, pcm, pauses, queue):
    """The page stamps its own blocks; a gap is what lies between two of them beyond their length."""
    command = ["node", str(REPOSITORY / "scripts" / "lib" / "page.mjs"), gateway + "/", str(seconds), str(prefix)]
    if pauses:
        command += [str(pauses[0][0]), str(int(pauses[0][1] * 1000))]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 170)
    if run.returncode != 0:
        queue.put({"error": "the browser failed: " + run.stderr.strip()[-600:]})
        return
    shutil.move(f"{prefix}.pcm", pcm)
    told = json.loads(Path(f"{prefix}.json").read_text())
    problems = [f"the element said {kind} at {at / 1000:.1f} s" for at, kind in told["waits"]]
    radio = told["radio"] or {}
    problems += [f"the page counts {radio[what]} {what}" for what in ("stalls", "skipped") if radio.get(what)]
    problems += told["problems"]
    queue.put({"first": told["first"] and told["first"] / 1000, "gaps": audio_gaps(told), "problems": problems})


def audio_gaps(told):
    """Where the browser's own audio clock stood still, as (at, length) in seconds: what tap.mjs stamped, less what was played."""
    stamps = told["stamps"]
    gaps = []
    for (before, _), (at, frames) in zip(stamps, stamps[1:]):
        gap = (at - before) / 1000 - frames / 44100
        if gap > 0.001:
            gaps.append(((at - told["first"]) / 1000, gap))
    return gaps


def come_first():
    """Raises the priority, where that is allowed: the station and its clients are measured, not what else the machine does."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def listen(gateway, stream, names, seconds, out, pauses=(), after=lambda: None, keep=False):
    """Lets the named clients listen at once, then calls `after`. Returns them, judged. `keep`: leave what they played in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    source = sound.Source(stream)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        scratch.chmod(0o755)
        began = time.time()
        source.look()
        start = lambda name, longer: Client(name, name.split("-")[0], gateway, stream, out, scratch, seconds + longer, pauses)
        clients = []
        if "chromium" in names:
            # A browser that starts, stops or paints a screenshot takes both cores: it comes first and goes last.
            clients.append(start("chromium", 12))
            time.sleep(8)
        clients += [start(name, 0) for name in names if name != "chromium"]
        while any(not c.skipped and c.process.is_alive() and c.queue.empty() for c in clients):
            if time.time() - began > seconds + 185:
                break
            time.sleep(1)
            source.look() if int(time.time()) % 20 == 0 else None
        source.look()
        for client in clients:
            client.wait()
        after()
        source.decode(began - 90)
        if keep:
            (out / "source.json").write_text(json.dumps({"begins": source.begins, "joins": source.joins, "peaks": source.peaks}))
        for client in clients:
            if not client.skipped:
                client.judge(source)
                if keep and client.pcm.exists():
                    shutil.copy(client.pcm, out)
    return clients


def report(clients):
    """Prints the table and the count. Returns the exit code."""
    print(f"\n{'client':<10} {'seconds':>7} {'behind s':>8} {'gap ms':>6} {'silences':>8} {'jumps':>5} {'boundaries':>10} {'cut s':>6}  verdict")
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for client in clients:
        if client.skipped:
            counts["skipped"] += 1
            print(f"{client.name:<10} not run: {client.skipped}")
            continue
        heard, word = client.heard, "failed" if client.why else "passed"
        counts[word] += 1
        print(f"{client.name:<10} {heard.seconds:7.1f} {heard.behind:8.1f} {client.gap * 1000:6.0f} {len(heard.holes):8d} "
              f"{len(heard.jumps):5d} {heard.joins:10d} {sum(by for _, by in heard.cuts):6.2f}  {word}" + "".join(f"\n{'':<10} {why}" for why in client.why))
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 3 if counts["skipped"] else 0
