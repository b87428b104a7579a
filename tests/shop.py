"""A tiny project for the tests of several rooms, and its command line in processes of its own.

A command is run by a child of a server that has imported everything once (`multiprocessing`'s fork
server): a real process with a real exit code that can be killed, without a second of imports for
each. The installed `plane` itself is run where its start matters.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import duckdb
import redis

from controlplane.base.naming import namespace
from controlplane.cli import app
from tests.children import CHILDREN

NOW = "2024-01-05T00:00:00Z"
SETTINGS = """[project]
name = "{name}"

[environments.local]
now = "2024-01-05T00:00:00Z"
warehouse = {{ kind = "duckdb", path = ".plane/warehouse.duckdb" }}
{online}state = "{state}"
"""
SQLITE = "sqlite:///.plane/state.db"
DEFINITIONS = '''"""What the shop knows of its users."""

from controlplane import Aggregate, Attribute, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "team@example.com"

user = Entity("user", keys={"user_id": "int64"}, owner=OWNER)
payments = BatchSource("payments", table="raw.payments", timestamp="paid_at")


@batch_feature_view(
    entities=[user],
    sources=[payments],
    schedule="1d",
    start="2024-01-01",
    features=[
        Aggregate("count", windows=["1d"]),
        Aggregate("sum", "amount", windows=["2d"]),
        Attribute("country", "string"),
    ],
    owner=OWNER,
)
def spend(payments):
    """What a user spends."""
    return f"SELECT user_id, paid_at, amount, country FROM {payments}"


shop = FeatureService("shop", features=[spend], owner=OWNER)
'''
PAYMENTS = """CREATE SCHEMA IF NOT EXISTS raw;
CREATE OR REPLACE TABLE raw.payments AS SELECT * FROM (VALUES
    (1, TIMESTAMP '2024-01-01 08:00', 10, 'DE'),
    (2, TIMESTAMP '2024-01-02 09:00', 20, 'FR'),
    (1, TIMESTAMP '2024-01-04 10:00', 30, 'NO'),
    (3, TIMESTAMP '2024-01-04 11:00', 40, 'DE')
) AS payment(user_id, paid_at, amount, country)"""
TYPED = """ALTER TABLE raw.payments ALTER user_id TYPE BIGINT;
ALTER TABLE raw.payments ALTER amount TYPE BIGINT"""

Hook = Callable[[], None]
"""Runs in the child before the command does.

It is found by name, so it stands at the top of a module.
"""


@dataclass(frozen=True)
class Done:
    """An ended command."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


@dataclass
class Running:
    """A command that runs."""

    process: BaseProcess
    out: Path
    err: Path

    def wait(self) -> Done:
        """What became of it."""
        self.process.join(60)
        assert self.process.exitcode is not None, "the command hangs"
        return Done(self.process.exitcode, self.out.read_text(), self.err.read_text())

    def interrupt(self, number: int = signal.SIGINT) -> Done:
        """Send it a signal, and see what becomes of it."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        return self.wait()


def until(true: Callable[[], object]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


class Shop:
    """The project: its folder, its commands, its warehouse and its keys."""

    def __init__(
        self,
        folder: Path,
        online: str | None,
        *,
        name: str,
        state: str = SQLITE,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.online, self.name = folder, online, name
        self.extra = dict(extra or {})
        self.number = 0
        self.children: list[BaseProcess] = []
        (folder / "features").mkdir(parents=True)
        store = (
            f'online = {{ kind = "redis", url = "{online}", patience_seconds = 1 }}\n'
            if online
            else ""
        )
        self.settings(SETTINGS.format(name=name, online=store, state=state))
        self.define(DEFINITIONS)
        (folder / ".plane").mkdir(mode=0o700)
        self.sql(PAYMENTS, TYPED)

    def settings(self, text: str) -> None:
        """Write plane.toml."""
        (self.folder / "plane.toml").write_text(text)

    def resettle(self, *pairs: tuple[str, str]) -> None:
        """Replace texts in plane.toml."""
        self.settings(replaced((self.folder / "plane.toml").read_text(), *pairs))

    def define(self, text: str, *pairs: tuple[str, str], file: str = "shop.py") -> None:
        """Write a definition file, with texts replaced."""
        (self.folder / "features" / file).write_text(replaced(text, *pairs))

    def redefine(self, *pairs: tuple[str, str]) -> None:
        """Write the definitions as they were at first, with texts replaced."""
        self.define(DEFINITIONS, *pairs)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in the warehouse as a user would, while nobody has it open.

        The last one's rows.
        """
        return sql(self.folder, *statements)

    def start(self, *arguments: str, hook: Hook | None = None, cwd: Path | None = None) -> Running:
        """Start a command."""
        self.number += 1
        out, err = (
            self.folder.parent / f"{self.folder.name}.{self.number}.{name}"
            for name in ("out", "err")
        )
        out.touch()
        err.touch()
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PLANE_"))}
        environment = {**ours, "NO_COLOR": "1", **self.extra}
        child = CHILDREN.Process(
            target=_command, args=(arguments, cwd or self.folder, environment, out, err, hook)
        )
        child.start()
        self.children.append(child)
        return Running(child, out, err)

    def plane(
        self, *arguments: str, code: int = 0, hook: Hook | None = None, cwd: Path | None = None
    ) -> Done:
        """Run a command, which must end with this exit code."""
        done = self.start(*arguments, hook=hook, cwd=cwd).wait()
        assert done.code == code, f"plane {' '.join(arguments)}: {done.code}\n{done.out}{done.err}"
        assert "Traceback" not in done.out + done.err
        return done

    def fails(self, *arguments: str, hook: Hook | None = None, cwd: Path | None = None) -> str:
        """What a command says that must fail as expected: on standard error, and nothing else but
        it."""
        done = self.plane(*arguments, code=1, hook=hook, cwd=cwd)
        assert done.out == ""
        return done.err

    def ready(self) -> Shop:
        """Deploy and compute everything."""
        self.plane("deploy", "--yes")
        self.plane("run")
        return self

    def client(self) -> redis.Redis:
        """A client of the online store."""
        assert self.online is not None
        return redis.Redis.from_url(self.online)

    def stored(self) -> dict[bytes, bytes | None]:
        """Every value that the online store holds of the project."""
        with self.client() as client:
            keys = sorted(client.scan_iter(match=f"{namespace(self.name, 'local')}:*"))
            return {key: client.get(key) for key in keys if client.type(key) == b"string"}

    def get(self, user: int, service: str = "shop") -> dict[str, Any]:
        """The user's features as a model reads them, by their short names."""
        found = self.plane("get", service, "--key", f"user_id={user}", "--json").json
        return {name.partition("__")[2]: entry["value"] for name, entry in found.items()}


def sql(folder: Path, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements in the warehouse of the project in `folder`; the last one's rows."""
    with duckdb.connect(str(folder / ".plane" / "warehouse.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)
        return connection.fetchall()


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each first of a pair, which must be there, replaced by its second."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def _command(
    arguments: tuple[str, ...],
    folder: Path,
    environment: dict[str, str],
    out: Path,
    err: Path,
    hook: Hook | None,
) -> None:
    for path, stream in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, stream)
        os.close(opened)
    # A background job of a shell, and so each child of it, begins with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["plane", *arguments]
    if hook is not None:
        hook()
    app.main()
