"""Kubo nodes on loopback that know only the peers they are told of."""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from pieces import cache
from station import NotRun, Station, free_port

VERSION = "0.42.0"


def program():
    """Kubo's command, as install-clients builds it."""
    path = cache() / f"kubo-{VERSION}" / "ipfs"
    if not path.exists():
        raise NotRun(f"no Kubo at {path}: run `scripts/install-clients kubo`")
    return str(path)


class Kubo:
    """One node, from start to stop. Use it in a `with`.

    `routing`: "dhtserver" or "dhtclient". `bootstrap`: addresses of other peers. `extra`: further configuration.
    """

    def __init__(self, folder, routing, bootstrap=(), extra=None):
        self.folder = Path(folder)
        swarm, api, gateway = free_port(), free_port(), free_port()
        self.api, self.gateway = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{gateway}"
        self.gateway_port = gateway
        # Loopback is no public network: this lifts the filters of the public DHT, which would ignore every peer here.
        self.environment = {**os.environ, "IPFS_PATH": str(self.folder), "TEST_DHT_STUB": "1", "IPFS_TELEMETRY": "off"}
        subprocess.run([program(), "init", "--profile=test"], env=self.environment, check=True, stdout=subprocess.DEVNULL)
        path = self.folder / "config"
        config = json.loads(path.read_text())
        _merge(config, {
            "Addresses": {"Swarm": [f"/ip4/127.0.0.1/tcp/{swarm}"], "API": f"/ip4/127.0.0.1/tcp/{api}",
                          "Gateway": f"/ip4/127.0.0.1/tcp/{gateway}"},
            "Routing": {"Type": routing}, "Bootstrap": list(bootstrap),
            # What a gateway has fetched it does not offer: every block comes from the station itself.
            "Provide": {"Enabled": False},
            **(extra or {})})
        path.write_text(json.dumps(config))
        self.address = f"/ip4/127.0.0.1/tcp/{swarm}/p2p/{config['Identity']['PeerID']}"
        self.process = None

    def __enter__(self):
        with open(self.folder / "run.log", "wb") as log:
            self.process = subprocess.Popen([program(), "daemon"], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("id")
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    words = (self.folder / "run.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"Kubo did not start:\n{words}") from None
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def ask(self, command, timeout=30):
        """The answer of the node's RPC to `command`, such as "swarm/peers"."""
        request = urllib.request.Request(f"{self.api}/api/v0/{command}", method="POST")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.loads(answer.read() or b"null")


def gateway(stack, extra=None):
    """A server of the DHT and a gateway that knows nobody else, as long as the stack lasts. Returns both."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = stack.enter_context(Kubo(folder / "K1", "dhtserver"))
    return server, stack.enter_context(Kubo(folder / "K2", "dhtclient", [server.address], extra))


def _merge(into, other):
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def station(folder, bootstrap, streaming=""):
    """A station that announces its loopback address and knows one peer."""
    port = free_port()
    address = f'"/ip4/127.0.0.1/tcp/{port}"'
    peer = f'listen = [{address}]\nannounce = [{address}]\nbootstrap = ["{bootstrap}"]\ndelegated_routers = []'
    return Station(folder, streaming=streaming, peer=peer)
