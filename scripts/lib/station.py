"""A station in a folder of its own, on ports of its own, that knows no peer."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from playlist import fetch

REPOSITORY = Path(__file__).resolve().parents[2]


class NotRun(Exception):
    """Something the test needs is not there: neither a pass nor a failure."""


def binary():
    """The program to test: `$IPFS_RADIO`, or the release build."""
    path = Path(os.environ.get("IPFS_RADIO") or REPOSITORY / "target" / "release" / "ipfs-radio")
    if not path.exists():
        raise NotRun(f"no program at {path}: run `cargo build --release`")
    return str(path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Station:
    """`ipfs-radio run`, from start to stop. Use it in a `with`."""

    def __init__(self, folder, setup="", streaming="", peer='listen = ["/ip4/127.0.0.1/tcp/0"]\nbootstrap = []\ndelegated_routers = []', environment=None,
                 program=None):
        """`program`: what is run in the place of the binary, with its arguments."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        (self.folder / "setup.toml").write_text(setup)
        listen = self.url.removeprefix("http://")
        (self.folder / "streaming.toml").write_text(f'{streaming}\n[http]\nlisten = "{listen}"\n[peer]\n{peer}\n')
        self.log = self.folder / "run.log"
        self.environment = environment or {}
        self.program = program
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, *arguments, program=None):
        """Starts it and waits for the first list. Returns the seconds that took. `program`: what is run in its place."""
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([program or self.program or binary(), "run", "--dir", str(self.folder), *arguments],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.environment})
        while True:
            try:
                self.status = json.loads(fetch(self.url + "/status.json", 5))
                self.stream = f"{self.url}/ipns/{self.status['stream']}"
                if fetch(self.stream, 5).startswith(b"#EXTM3U"):
                    return time.monotonic() - began
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - began > 120:
                raise RuntimeError(f"no list after {time.monotonic() - began:.0f} s:\n{self.words()}")
            time.sleep(0.01)

    def stop(self):
        """Stops it as an operator does. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
                return None
        return self.process.returncode

    def words(self):
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


def need(command, package):
    """Fails with `NotRun` if a command is missing."""
    if not shutil.which(command):
        raise NotRun(f"{command} is not installed ({package}): run scripts/install-clients")
