"""A script with helper processes, which it ends by SIGTERM, as multiprocessing does for daemons at
exit.
"""

import multiprocessing
import subprocess
import time


def watch_forever() -> None:
    """Imitate a process that watches GPUs, or serves an evaluation, during a training."""
    while True:
        time.sleep(1)


if __name__ == "__main__":
    multiprocessing.Process(target=watch_forever, daemon=True).start()
    server = subprocess.Popen(["sleep", "1000"])
    server.terminate()
    print("the server ended with", server.wait())
