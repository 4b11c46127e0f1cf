"""A router in user space: namespaces joined by TUN devices, with delay, loss, a rate and a bounded queue on each link.

  router.py CONFIG            (JSON; see `Lab` in scripts/netlab)

    {"seed": 1, "links": [{"namespace": "x", "device": "nl0", "addresses": ["10.77.0.1"], "delay_ms": 40, "loss": 0.01,
                           "up_bits": 2000000, "queue_bytes": 128000}, …]}

`delay_ms` is there and back: half of it each way. `loss` is per packet and way. `up_bits` limits what comes out of the
namespace, `queue_bytes` what may wait for it; both may be missing. Several addresses of one namespace have one link each if
they come in several entries with the same device. Which packets are lost depends on the seed and on nothing else.

Standard input: `cut NAMESPACE`, `heal NAMESPACE`; it ends with it, and prints what each link has carried and lost.
"""

import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU = 1500
BURST_SECONDS = 0.02


class Link:
    def __init__(self, seed, config):
        self.namespace, self.addresses = config["namespace"], config["addresses"]
        self.half = config.get("delay_ms", 0) / 2000
        self.loss = config.get("loss", 0.0)
        self.up_bits, self.queue_bytes = config.get("up_bits"), config.get("queue_bytes", 128000)
        self.random = {way: random.Random(f"{seed} {self.addresses[0]} {way}") for way in ("up", "down")}
        self.free_at = 0.0
        self.fd = None
        self.cut = False
        self.counts = {"packets": 0, "bytes": 0, "lost": 0, "overflowed": 0, "cut": 0}

    def loses(self, way):
        lost = self.loss and self.random[way].random() < self.loss
        self.counts["lost"] += bool(lost)
        return lost

    def leaves_at(self, size, now):
        """When a packet has passed the uplink; None if the queue is full."""
        if not self.up_bits:
            return now
        begins = max(self.free_at, now - BURST_SECONDS)
        if (begins - now) * self.up_bits / 8 > self.queue_bytes:
            self.counts["overflowed"] += 1
            return None
        self.free_at = begins + size * 8 / self.up_bits
        return max(now, self.free_at)


def open_tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def join(config, links):
    """Makes one device for each namespace and moves it there."""
    fds = {}
    for entry, link in zip(config["links"], links):
        new = entry["device"] not in fds
        device, namespace = entry["device"], link.namespace
        if new:
            fds[device] = open_tun(device)
            ip("link", "set", device, "netns", namespace)
            ip("-n", namespace, "link", "set", device, "mtu", str(MTU), "up")
        for address in link.addresses:
            ip("-n", namespace, "address", "add", f"{address}/32", "dev", device)
        if new:
            ip("-n", namespace, "route", "add", "10.77.0.0/16", "dev", device, "src", link.addresses[0])
        link.fd = fds[device]
    return set(fds.values())


def obey(line, links):
    word, _, namespace = line.strip().partition(" ")
    for link in links:
        if link.namespace == namespace:
            link.cut = word == "cut"


def main():
    config = json.loads(sys.argv[1])
    links = [Link(config["seed"], entry) for entry in config["links"]]
    fds = join(config, links)
    by_address = {bytes(map(int, address.split("."))): link for link in links for address in link.addresses}
    print("ready", flush=True)
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    poll.register(0, select.POLLIN)
    waiting, number = [], 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, link, packet = heapq.heappop(waiting)
            if link.cut:
                link.counts["cut"] += 1
                continue
            try:
                os.write(link.fd, packet)
            except OSError:
                link.counts["overflowed"] += 1
        timeout = max(0.0, (waiting[0][0] - now) * 1000) if waiting else 1000
        for fd, _ in poll.poll(timeout):
            if fd == 0:
                line = sys.stdin.readline()
                if not line:
                    print(json.dumps([{"addresses": link.addresses[:1], **link.counts} for link in links]), flush=True)
                    return
                obey(line, links)
                continue
            for _ in range(64):
                try:
                    packet = os.read(fd, 65536)
                except BlockingIOError:
                    break
                if len(packet) < 20 or packet[0] >> 4 != 4:
                    continue
                source, target = by_address.get(packet[12:16]), by_address.get(packet[16:20])
                if not source or not target:
                    continue
                source.counts["packets"] += 1
                source.counts["bytes"] += len(packet)
                if source.cut or target.cut:
                    source.counts["cut"] += 1
                    continue
                now = time.monotonic()
                leaves = source.leaves_at(len(packet), now)
                if leaves is None or source.loses("up") or target.loses("down"):
                    continue
                number += 1
                heapq.heappush(waiting, (leaves + source.half + target.half, number, target, packet))


if __name__ == "__main__":
    main()
