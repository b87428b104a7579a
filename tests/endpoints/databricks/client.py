"""The endpoint as tests see it: a process of its own, the options to connect with, its history and
its faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib import request
from urllib.parse import urlsplit

from controlplane.base.ports import Statement, Warehouse

REPOSITORY = Path(__file__).resolve().parents[3]
JARS = Path(sys.prefix) / "delta-jars"
# What a client must know is said here again: importing the server would import Spark.
TOKENS = "dapi-of-the-tests"
CLIENT_ID, CLIENT_SECRET = "principal-of-the-tests", "secret-of-the-tests"


def missing() -> str:
    """What the endpoint needs and this machine lacks; empty where all is there."""
    if shutil.which("java") is None:
        return "there is no java here"
    if find_spec("pyspark") is None or not any(JARS.glob("delta-spark*.jar")):
        return "Spark is not installed here: run `make spark`"
    return ""


class DatabricksEndpoint:
    """A running endpoint, by its address: `http://127.0.0.1:<port><http path>`.

    Each such object has a token of its own, and what it shows and makes fail are the statements
    that come with it.
    """

    def __init__(self, address: str, process: subprocess.Popen[str] | None = None) -> None:
        self.address = address
        self.token = f"{TOKENS}-{uuid.uuid4().hex}"
        self._process = process

    @classmethod
    def start(
        cls, folder: Path, owner: int | None = None, *, partitions: int = 1
    ) -> DatabricksEndpoint:
        """Start one whose tables lie in `folder`.

        It ends with `stop`, or with process `owner`, this one unless given. A query's rows are
        computed in `partitions` tasks.

        Raises:
            RuntimeError: it did not come up.
        """
        command = [sys.executable, "-m", "tests.endpoints.databricks", "--folder", str(folder)]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--owner", str(owner or os.getpid()), "--partitions", str(partitions)],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready: "):
                return cls(line.removeprefix("ready: ").strip(), process)
        process.wait()
        raise RuntimeError(
            f"the Databricks endpoint did not start:\n{(folder / 'log').read_text()[-3000:]}"
        )

    def __enter__(self) -> DatabricksEndpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, with its Spark, if it was started here."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self.wait()
            with suppress(ProcessLookupError):
                while True:  # its Spark takes a moment longer
                    os.killpg(self._process.pid, 0)
                    time.sleep(0.01)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, which its owner's end brings about; its exit code."""
        assert self._process is not None
        code = self._process.wait(timeout)
        if self._process.stdout:
            self._process.stdout.close()
        return code

    def options(self, **others: Any) -> dict[str, Any]:
        """What `connectors.databricks.connect` is called with."""
        place = urlsplit(self.address)
        signing_in = (
            {} if {"client_id", "auth_type"} & others.keys() else {"access_token": self.token}
        )
        return {
            "server_hostname": place.hostname,
            "http_path": place.path,
            "url": self.address,
            **signing_in,
            **others,
        }

    @property
    def history(self) -> list[dict[str, Any]]:
        """Every statement that has ended: its `sql`, `tags`, `settings`, `state`, `error`, `rows`,
        `modified`."""
        history: list[dict[str, Any]] = self._control("GET", "history")
        return history

    @property
    def running(self) -> list[str]:
        """The statements that have not ended."""
        running: list[str] = self._control("GET", "running")
        return running

    @property
    def recorded(self) -> list[str]:
        """The statements that only Unity Catalog understands (see `engine.RECORDED`)."""
        recorded: list[str] = self._control("GET", "recorded")
        return recorded

    @property
    def calls(self) -> list[str]:
        """Every request, but for files: its method and path."""
        calls: list[str] = self._control("GET", "calls")
        return calls

    def fault(self, kind: str, **details: Any) -> None:
        """Make something go wrong; see `faults.Fault`."""
        self._control("POST", "faults", {"kind": kind, **details})

    def forget_faults(self) -> None:
        """Nothing is to go wrong any more."""
        self._control("DELETE", "faults")

    def _control(self, method: str, what: str, body: object = None) -> Any:
        place = urlsplit(self.address)
        asked = request.Request(
            f"{place.scheme}://{place.netloc}/_control/{what}",
            method=method,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}"},
        )
        with request.build_opener(request.ProxyHandler({})).open(asked, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def own_schema(warehouse: Warehouse) -> Iterator[str]:
    """The name of a new schema, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    warehouse.execute([Statement("make a schema", f"CREATE SCHEMA {name}")])
    try:
        yield name
    finally:
        warehouse.execute([Statement("drop the schema", f"DROP SCHEMA {name} CASCADE")])
