"""One station to which something happens, with an observer that sees all of it."""

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import pieces
from dht import dht, findable
from haste import Clock
from ill import Ill
from observing import Observer, Seen
from playlist import fetch, parse
from station import Station, binary

# Seconds of a segment, and segments behind the air and ahead of it.
SEGMENT, LISTED = 2, 20
SETUP = f"[audio]\nsegment_duration = {SEGMENT}\n"
STREAMING = f"[streaming]\nwindow_size = {LISTED}\nlook_ahead = {LISTED}\n[ipns]\nttl_seconds = 4\npublish_interval_seconds = 2\n"
# Bounds of waiting, in seconds: for a health that tells of what happened, and for one that tells of nothing any more (L3).
TOLD, WELL = 60, 60


def children(node):
    """The processes that a station has started and that are still there."""
    with contextlib.suppress(OSError):
        return [int(pid) for task in Path(f"/proc/{node.process.pid}/task").iterdir() for pid in (task / "children").read_text().split()]
    return []


class Trial:
    """`wrong`: what is not as it should be. `told`: the healths and refusals that were waited for. `figures`: for the table."""

    def __init__(self, scratch, log):
        self.scratch, self.log = scratch, log
        self.wrong, self.told, self.figures = [], [], {}
        self.stack = contextlib.ExitStack()
        self.clock, self.observers, self.nodes = Clock(1, scratch), [], []
        self.may_run_out = False
        # A step of the clock moves what is due, and the observer keeps its own.
        self.exact = True

    # What a scenario makes.

    def furnish(self, folder, seconds=120, setup=SETUP):
        """A folder with so many seconds of programme, set up."""
        folder.mkdir(parents=True, exist_ok=True)
        pieces.lay(folder, seconds)
        (folder / "setup.toml").write_text(setup)
        subprocess.run([binary(), "--dir", str(folder), "setup"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def station(self, name="station", ill=False, peer=None, furnished=True, folder=None, seconds=120, streaming=STREAMING, setup=SETUP):
        """A station that is not started yet. `ill`: what it lives on can be made to fail, by `self.ill`."""
        folder = folder or self.scratch / name
        if furnished:
            self.furnish(folder, seconds, setup)
        folder.mkdir(parents=True, exist_ok=True)
        environment = {}
        if ill:
            self.ill = Ill(folder, self.scratch)
            environment = self.ill.environment
        node = Station(folder, setup, streaming, **({"peer": peer} if peer else {}), environment=environment)
        self.nodes.append(node)
        return node

    def network(self):
        """The `[peer]` table of whoever is to be found through a server of the DHT, anew for each."""
        address = self.stack.enter_context(dht(self.clock.environment))
        return lambda: findable(address)

    def observe(self, node, name=None, seen=None):
        """From now on all that this node shows is held against each other."""
        observer = Observer(name or node.folder.name, node.stream, self.clock, seen or Seen(), 0.02, exact=self.exact)
        observer.start()
        self.observers.append(observer)
        return observer

    # What a scenario waits for.

    def say(self, well, words):
        if not well:
            self.wrong.append(words)
        return well

    def wait(self, what, wanted, seconds=TOLD):
        """Waits until `wanted()` gives something. Gives it."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError, ValueError):
                if found := wanted():
                    return found
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"waited {seconds} s in vain for {what}")
            time.sleep(0.1)

    def status(self, node):
        return json.loads(fetch(node.url + "/status.json", 30))

    def health(self, node):
        return self.status(node)["health"]

    def listed(self, node):
        return parse(fetch(node.stream, 30).decode())

    def tells(self, node, *words, seconds=TOLD):
        """Waits for a health with all these words, and notes it."""
        last = [""]
        def wanted():
            last[0] = self.health(node)
            return all(word in last[0] for word in words) and last[0]
        try:
            found = self.wait(f"health with {words}", wanted, seconds)
        except RuntimeError as why:
            raise RuntimeError(f"{why}; it is: {last[0]}") from None
        self.told.append(found if len(found) < 400 else found[:400] + " …")
        return found

    def has_told(self, node, so_far, *words, seconds=TOLD):
        """Waits for a line of the log behind its first `so_far` bytes with all these words: health has said so, be it for a moment."""
        def wanted():
            lines = node.log.read_bytes()[so_far:].decode(errors="replace").splitlines()
            return next((line for line in lines if all(word in line for word in words)), None)
        self.told.append(self.wait(f"health to have said {words}", wanted, seconds)[:400])

    def tells_log(self, node, words):
        """What it printed has these words."""
        self.say(words in node.log.read_text(errors="replace"), f"it does not print: {words}")

    def has_cleared(self, node, topic, seconds=WELL):
        """Waits until nothing is said under a topic. What was wrong has just been mended."""
        return self._heals(node, f"{topic} to be well", lambda said: topic not in [line.split(": ")[0] for line in said.split("; ")], seconds)

    def is_well(self, node, seconds=WELL):
        """Waits until nothing is wrong any more. What was wrong has just been mended."""
        return self._heals(node, "health to be ok", lambda said: said == "ok", seconds)

    def _heals(self, node, what, well, seconds):
        """Gives how long it took, by the clock of the station; it is to be no more than `seconds`."""
        last = [""]
        def wanted():
            last[0] = self.health(node)
            return well(last[0])
        began = self.clock.now()
        try:
            # Longer than it may take, so that what is too late can be told from what never comes.
            self.wait(what, wanted, 3 * seconds)
        except RuntimeError as why:
            raise RuntimeError(f"{why}; it is: {last[0]}") from None
        took = self.clock.now() - began
        self.say(took <= seconds, f"waited {took:.0f} s for {what}, and {seconds:.0f} s are allowed")
        self.figures["healed_after_s"] = max(round(took, 1), self.figures.get("healed_after_s", 0))
        return took

    def settles(self, node):
        """Waits until no child of it works: setup of the start, and the pieces of the generator behind it, are done."""
        # The next child follows the last one at once.
        def idle():
            if children(node):
                return False
            time.sleep(0.5)
            return not children(node)
        self.wait("its children to end", idle, 300)

    def goes_on(self, node, segments=3, seconds=30):
        """Waits until the list has so many more segments than now."""
        end = self.listed(node).end
        self.wait(f"{segments} more segments", lambda: self.listed(node).end >= end + segments, seconds)

    def refuses(self, code, words, *arguments, folder=None):
        """A command that must end with this code and say all of this."""
        folder = folder or self.nodes[0].folder
        run = subprocess.run([binary(), "--dir", str(folder), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        said = (run.stdout + run.stderr).strip()
        if run.returncode != code or not all(word in said for word in words):
            self.wrong.append(f"`{' '.join(arguments)}` ends with {run.returncode}, not {code}, or does not say {words}: {said[-600:]}")
        else:
            self.told.append(f"exit {code}: {said.splitlines()[-1][:300]}")

    # The end.

    def close(self):
        """All stop; what was seen is judged."""
        for observer in self.observers:
            observer.end()
            self.wrong += observer.seen.said
            self.say(self.may_run_out or observer.left > 0,
                     f"{observer.name}: a list came {-observer.left:.1f} s after the one before it had been heard to the end")
            self.say(observer.versions > 1, f"{observer.name}: the list never went on")
            if observer.left < float("inf"):
                self.figures.setdefault("left_s", {})[observer.name] = round(observer.left, 1)
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                code = node.stop()
                self.say(code == 0, f"{node.folder.name} ended with {code} when it was stopped")
        self._keep()

    def abandon(self):
        """Something went wrong: nothing is left to run."""
        for observer in self.observers:
            observer.over.set()
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        self._keep()

    def _keep(self):
        with open(self.log, "wb") as log:
            for node in self.nodes:
                if node.log.exists():
                    log.write(f"== {node.folder.name}\n".encode() + node.log.read_bytes())
        self.stack.close()
        for node in self.nodes:
            shutil.rmtree(Path(node.folder), ignore_errors=True)
