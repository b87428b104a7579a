"""The endpoint as a process of its own: it prints its address and serves until it is stopped."""

from __future__ import annotations

import argparse
import sys

from tests.endpoints.snowflake import SnowflakeEndpoint


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.endpoints.snowflake", description=__doc__
    )
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 takes a free port")
    parser.add_argument(
        "--database", default=":memory:", help="DuckDB's file; in memory unless given"
    )
    given = parser.parse_args()
    with SnowflakeEndpoint(given.database, port=given.port) as endpoint:
        sys.stdout.write(f"{endpoint.url}\n")
        sys.stdout.flush()
        endpoint.wait()


if __name__ == "__main__":
    main()
