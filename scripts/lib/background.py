"""Work beside a test: a thread that goes on until it is told that it is over."""

import threading


class Background(threading.Thread):
    """From `start()` to `end()`, or in a `with`. `run` is to end soon after `over` is set."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.over.set()
        self.join()


class Looking(Background):
    """Calls `look()` every `pause` seconds."""

    def __init__(self, pause):
        super().__init__()
        self.pause = pause

    def run(self):
        while not self.over.wait(self.pause):
            self.look()
