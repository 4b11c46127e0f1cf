"""A gateway that is late: stands before another one, passes segments through, and serves lists as they were a while ago."""

import bisect
import http.client
import http.server
import random
import threading
import time
import urllib.parse

from playlist import fetch

KEEP_SECONDS = 900
PASSED = ("Content-Type", "Access-Control-Allow-Origin", "Location")


class Memory(threading.Thread):
    """Every version of a station's lists, since it was started."""

    def __init__(self, gateway, paths):
        super().__init__(daemon=True)
        self.gateway, self.over = gateway, threading.Event()
        self.versions = {path: [(time.time(), fetch(gateway + path))] for path in paths}
        self.lock = threading.Lock()
        self.start()

    def run(self):
        while not self.over.wait(0.5):
            for path, versions in self.versions.items():
                try:
                    body = fetch(self.gateway + path)
                except OSError:
                    continue
                with self.lock:
                    if body != versions[-1][1]:
                        versions.append((time.time(), body))
                    while versions[0][0] < time.time() - KEEP_SECONDS:
                        versions.pop(0)

    def at(self, path, when):
        """The list as it was at Unix time `when`; the oldest known one before that."""
        with self.lock:
            versions = self.versions[path]
            return versions[max(0, bisect.bisect_right(versions, when, key=lambda version: version[0]) - 1)][1]

    def stop(self):
        self.over.set()
        self.join(15)


def mode(name):
    """What a word such as "ages-240" means: a function of the seconds since the players were there, which gives the age of
    what is served, or None for 504.

    fresh       nothing is late
    ages-N      the list stands still until it is N s old and stays N s old: a gateway that turns slow while people listen
    keeps-N     each version is kept for N s: a cache
    old-N       always N s old: people tune in to a slow gateway
    flaps-N     each answer is by chance fresh or N s old: several gateways behind one name
    gone-N      504 for N s, from the 40th second on, and again every 3 minutes
    """
    word, _, length = name.partition("-")
    n = float(length or 0)
    chance = random.Random(name)
    modes = {
        "fresh": lambda t: 0.0,
        "ages": lambda t: min(max(t, 0.0), n),
        "keeps": lambda t: max(t, 0.0) % n,
        "old": lambda t: n,
        "flaps": lambda t: n if t >= 0 and chance.random() < 0.5 else 0.0,
        "gone": lambda t: None if t >= 0 and 40 <= t % 180 < 40 + n else 0.0,
    }
    if word not in modes or (word != "fresh") != (n > 0):
        raise ValueError(f"no such mode: {name}")
    return modes[word]


class Late:
    """The late gateway, on a port of its own. Nothing is late before `begin`."""

    def __init__(self, memory, name):
        self.memory, self.age, self.began = memory, mode(name), None
        late = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                late._answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def begin(self):
        """The players are there: from now on the gateway is late. A gateway that was `old` before goes on being so."""
        self.began = time.time()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, request):
        path = urllib.parse.urlsplit(request.path).path
        try:
            if path in self.memory.versions:
                self._list(request, path)
            else:
                self._pass(request)
        except OSError:
            request.close_connection = True

    def _list(self, request, path):
        now = time.time()
        age = self.age(now - (self.began or now + 1))
        if age is None:
            return _send(request, 504, {"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"}, b"gateway timeout\n")
        headers = {"Content-Type": "application/vnd.apple.mpegurl", "Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
        _send(request, 200, headers, self.memory.at(path, now - age))

    def _pass(self, request):
        host = urllib.parse.urlsplit(self.memory.gateway).netloc
        upstream = http.client.HTTPConnection(host, timeout=30)
        try:
            upstream.request("GET", request.path)
            answer = upstream.getresponse()
            headers = {name: answer.headers[name] for name in PASSED if answer.headers[name]}
            _send(request, answer.status, headers, answer.read())
        finally:
            upstream.close()


def _send(request, status, headers, body):
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
