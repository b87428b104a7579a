"""Processes of the tests' own: forked from a server that has imported everything once.

A process has one such server, and what it loads is said once, before its first child: here, for all
tests.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager

CHILDREN = multiprocessing.get_context("forkserver")
LOADED = (
    *(
        "__main__",
        "controlplane.api.facade",
        "controlplane.workspace.scaffold",
        "connectors.duckdb.warehouse",
        "connectors.redis.writer",
    ),
    *(
        "controlplane.state.store",
        "controlplane.codec.batch",
        "sqlalchemy.dialects.sqlite",
        "alembic.command",
    ),
    *(
        "pyarrow.compute",
        "sqlglot.dialects.duckdb",
        "typer._adapters",
        "rich.progress",
        "rich.table",
    ),
    *("tests.warm", "tests.shop"),
    # What children are told to do: unless it is there, each of them imports pytest.
    *("tests.connectors.test_duckdb", "tests.connectors.test_redis_kill", "tests.deploy.test_kill"),
    *("tests.engine.victim", "tests.materialize.test_sync"),
)
"""What commands and runs load is loaded once for all children."""
CHILDREN.set_forkserver_preload(list(LOADED))


@contextmanager
def interruptible() -> Iterator[None]:
    """Start processes in this block whose Ctrl-C works, also where this one ignores SIGINT.

    A shell starts its background jobs with SIGINT ignored, and an ignored signal stays ignored in
    all children. A signal with a handler gets its default action in a new program.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, inherited)
