"""What a command costs."""

import os
import subprocess
import time


class Usage:
    """What a command took: seconds of wall and CPU, and its highest resident size in MiB."""

    def __init__(self, command):
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
        self.wall, self.cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
        self.mib = used.ru_maxrss / 1024
