"""A server of the DHT on loopback, and what a station needs to be found through it."""

import contextlib
import json
import os
import subprocess

from station import REPOSITORY, NotRun, free_port


def program():
    """The server: `$IPFS_RADIO_DHT`, or it is built."""
    if path := os.environ.get("IPFS_RADIO_DHT"):
        return path
    run = subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--example", "dht"], cwd=REPOSITORY)
    if run.returncode != 0:
        raise NotRun("the DHT server does not build")
    return REPOSITORY / "target" / "release" / "examples" / "dht"


@contextlib.contextmanager
def dht(environment=None):
    """Gives the address of a server that runs as long as the `with`."""
    server = subprocess.Popen([program()], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait(10)


def findable(address, host="127.0.0.1"):
    """The `[peer]` table of a station that the server at `address` can tell of."""
    own = f"/ip4/{host}/tcp/{free_port()}"
    return (f"listen = [{json.dumps(own)}]\nannounce = [{json.dumps(own)}]\nbootstrap = [{json.dumps(address)}]\n"
            "delegated_routers = []")
