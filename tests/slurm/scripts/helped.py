"""A script with helpers of its own, which it ends by SIGTERM, as multiprocessing does for daemons at the end."""

import multiprocessing
import subprocess
import time


def watch_forever() -> None:
    """What watches GPUs, or serves an evaluation, beside a training."""
    while True:
        time.sleep(1)


if __name__ == "__main__":
    multiprocessing.Process(target=watch_forever, daemon=True).start()
    server = subprocess.Popen(["sleep", "1000"])
    server.terminate()
    print("the server ended with", server.wait())
