"""A trivial server of files, beside which scripts/load measures a station: nginx, or else Python's own."""

import contextlib
import functools
import http.server
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from station import NotRun, free_port

NGINX = """daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; default_type video/mp2t; sendfile on; tcp_nodelay on; keepalive_timeout 75; keepalive_requests 100000000;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4;
  scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {files}; }}
}}
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 4096
    daemon_threads = True


@contextlib.contextmanager
def static(folder):
    """Serves `folder`/files. Gives its name, its port and its process."""
    folder, port = Path(folder), free_port()
    files = folder / "files"
    if nginx := shutil.which("nginx"):
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, files=files, port=port))
        command = [nginx, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]
    else:
        command = [sys.executable, __file__, str(port), str(files)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answers(process, port)
        yield "nginx" if nginx else "http.server", port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(process, port):
    """Waits until it does."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < 10:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise NotRun("the static server does not start")


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), functools.partial(Handler, directory=sys.argv[2])).serve_forever()
