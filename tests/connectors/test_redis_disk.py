"""A Redis server whose disk is full, against a real one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from connectors.redis.store import connect
from controlplane.base.ports import OnlineStore
from controlplane.embedded import valkey
from controlplane.embedded.daemon import choose_port, port_is_free
from controlplane.errors import TransientError
from tests import sandbox
from tests.children import CHILDREN
from tests.codec.rows import Record, as_batch, value
from tests.shop import until


def test_b9_a_server_whose_disk_is_full_says_so(tmp_path):
    port = choose_port()
    child = CHILDREN.Process(target=serve_on_a_small_disk, args=(tmp_path, port, 4_000_000))
    child.start()
    until(lambda: not port_is_free(port))
    store = connect(url=f"redis://127.0.0.1:{port}", patience_seconds=0.2)
    try:
        with pytest.raises(TransientError, match="No space left on device") as raised:
            fill(store)
        assert raised.value.hint == "free some space on the server's disk"
    finally:
        store.close()
        child.kill()
        child.join()


def fill(store: OnlineStore) -> None:
    """Write more than a small disk holds."""
    for number in range(1000):
        store.write(
            [as_batch([Record(b"k%d" % n, value(number, number, "x" * 20_000)) for n in range(20)])]
        )
        time.sleep(0.05)


def serve_on_a_small_disk(folder: Path, port: int, free_space: int) -> None:
    """Become a server that keeps its values in a file on a disk with little space."""
    sandbox.mount_small_disk(folder, free_space)
    program = valkey.server_program()
    options = (
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
        "--save",
        "",
    )
    os.execv(program, [program, *options])
