"""`python -m tests.endpoints.databricks --folder DIR`: a Databricks SQL warehouse on this
machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

from tests.endpoints.databricks.http_server import HTTP_PATH, Server
from tests.endpoints.databricks.spark import open_spark


def end_with(owner: int) -> None:
    """End this process and its Spark when process `owner` is no more."""
    while True:
        try:
            os.kill(owner, 0)
        except OSError:
            os.killpg(0, signal.SIGKILL)
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the tables lie")
    parser.add_argument("--port", type=int, default=0, help="a free one unless given")
    parser.add_argument("--partitions", type=int, default=1, help="tasks of a query (1)")
    parser.add_argument(
        "--owner", type=int, help="a process to end with; this one must lead its process group"
    )
    arguments = parser.parse_args()
    if arguments.owner:
        threading.Thread(target=end_with, args=(arguments.owner,), daemon=True).start()
    server = Server(open_spark(arguments.folder.resolve(), arguments.partitions), arguments.port)
    sys.stdout.write(f"ready: {server.address}{HTTP_PATH}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
