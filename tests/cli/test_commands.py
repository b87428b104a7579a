"""Every command: JSON of a stable shape, help with an example, and Ctrl-C."""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from controlplane.cli.app import COMMANDS as LISTED
from controlplane.cli.app import app
from controlplane.cli.lazy import LazyCommand
from tests.shop import Shop

ROOT = Path(__file__).resolve().parents[2]


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its full name."""
    command = command.load() if isinstance(command, LazyCommand) else command
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for part, one in (inner or {}).items():
        yield from leaves(one, f"{name} {part}".strip())


COMMANDS = dict(leaves(typer.main.get_command(app)))
LEAVES = sorted(COMMANDS)


def test_these_are_the_commands():
    assert LEAVES == [
        "airflow down",
        "airflow password",
        "airflow run",
        "airflow up",
        "bench serve",
        "dataset create",
        "dataset drop",
        "dataset export",
        "dataset list",
        "dataset show",
        "deploy",
        "describe",
        "doctor",
        "forget",
        "get",
        "history",
        "init",
        "list",
        "load",
        "logs",
        "online clean",
        "online take-over",
        "online verify",
        "online versions",
        "plan",
        "preview",
        "query",
        "rollback",
        "run",
        "schema",
        "serve key",
        "sql",
        "status",
        "stop",
        "verify",
    ]


@pytest.mark.parametrize("name", LISTED)
def test_the_list_of_commands_repeats_the_first_line_of_each(name):
    root: Any = typer.main.get_command(app)
    listed = root.commands[name]
    assert listed.get_short_help_str(1000) == listed.load().get_short_help_str(1000)


def imported_use_cases(*files: Path) -> set[str]:
    """The modules of `api` that files import, also for types alone."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = ((name, (ROOT / name.replace(".", "/")).with_suffix(".py")) for name in names)
    return {
        name for name, path in modules if name.startswith("controlplane.api.") and path.is_file()
    }


def test_python_offers_what_the_commands_do():
    api = ROOT / "controlplane" / "api"
    used = imported_use_cases(*(ROOT / "controlplane" / "cli").glob("*.py"))
    assert "controlplane.api.plan" in used
    assert used <= imported_use_cases(
        api / "facade.py", api / "exploring.py", api / "online" / "facade.py"
    )


@pytest.mark.parametrize("name", LEAVES)
def test_help_has_an_example_and_json_is_offered(name):
    command = COMMANDS[name]
    assert command.epilog.startswith(f"Example: plane {name}")
    assert command.help
    assert "--json" in [option for parameter in command.params for option in parameter.opts]
    assert all(parameter.help for parameter in command.params if parameter.name != "help")


def test_help_is_shown(shop):
    out = shop.plane("run", "--help").out
    assert "Example: plane run airport_delays --start 2013-06-01 --end 2013-07-01" in out
    assert "--recompute" in out


def shape(value: object) -> Any:
    """Names and kinds, without the values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


CHANGE = {"kind": "str", "view": "str", "fingerprint": "str", "features": ["str"]}
STRETCH = {"start": "str", "end": "str", "intervals": "int"}
FORECAST = {
    "view": "str",
    "fingerprint": "str",
    "missing": [STRETCH],
    "event": "str",
    "visible_at": "str",
    "costs": [],
    "computation": {"way": "str", "construct": "str", "place": "str", "statements": "int"},
}
PLAN = {
    "project": "str",
    "environment": "str",
    "base": "NoneType",
    "release": "str",
    "actions": [CHANGE],
    "forecasts": [FORECAST],
    "warnings": [],
    **dict.fromkeys(("conflict", "remedy"), "str"),
}
COMPUTED = {
    "interval": {"start": "str", "end": "str"},
    **dict.fromkeys(("row_count", "dropped_count", "version"), "int"),
    "warnings": [],
}
SYNCED = {"rows": "int", "written": "int", "kept_newer": "int", "version": "int", "warnings": []}
STATUS = {
    **dict.fromkeys(
        ("view", "fingerprint", "owner", "state", "frontier", "freshness", "last_interval_start"),
        "str",
    ),
    **dict.fromkeys(
        ("last_interval_end", "last_published_at", "sync_lag", "synced_at", "online_problem"), "str"
    ),
    **dict.fromkeys(("last_rows", "last_intervals", "last_dropped", "missing_intervals"), "int"),
    **dict.fromkeys(("shown", "online"), "bool"),
    "problems": [],
}
VALUE = {"value": "int", "status": "str", "effective_time": "str"}
DATASET = {
    **dict.fromkeys(("name", "service", "table", "created_by", "created_at"), "str"),
    **dict.fromkeys(("version", "row_count"), "int"),
}
CREATED = DATASET | {
    "without_values": {
        "null_times": "int",
        "views": {"spend": dict.fromkeys(("null_keys", "unknown_keys", "early_times"), "int")},
    }
}
CREATE = (
    "dataset",
    "create",
    "one",
    "--service",
    "shop",
    "--spine",
    "raw.payments",
    "--time",
    "paid_at",
)


def test_json_has_a_stable_shape(shop: Shop):
    assert shape(shop.plane("plan", "--json").json) == PLAN
    assert shape(shop.plane("deploy", "--json").json) == {"plan": PLAN, "deployment": "int"}
    assert shape(shop.plane("deploy", "--json").json)["deployment"] == "NoneType"
    run = shop.plane("run", "--json")
    assert shape(run.json) == [{"view": "str", "computed": [COMPUTED], "synced": SYNCED}]
    assert run.err == ""
    assert shape(shop.plane("status", "--json").json) == [STATUS]
    assert (
        shape(shop.plane("get", "shop", "-k", "user_id=1", "--json").json["spend__count_1d"])
        == VALUE
    )
    assert shape(shop.plane(*CREATE, "--json").json) == CREATED
    assert shape(shop.plane("dataset", "list", "--json").json) == [
        DATASET | {"without_values": "NoneType"}
    ]
    finding = {"subject": "str", "level": "str", "message": "str", "hint": "str"}
    assert shape(shop.plane("doctor", "--json").json) == [finding]
    assert shop.plane("stop", "--json").json == {"stopped": []}
    assert shop.plane("airflow", "down", "--json").json == {"stopped": False}
    written = shop.plane("init", "new", "--json").json
    assert written == {
        "written": [
            "new/plane.toml",
            "new/features/example.py",
            "new/features/test_example.py",
            "new/.gitignore",
        ]
    }


def interrupted_in_the_release() -> None:
    """Press Ctrl-C as soon as the pointer to the release is about to be written."""

    def watch(event: str, arguments: tuple) -> None:
        if event == "open" and "/.CURRENT." in str(arguments[0]):
            os.kill(os.getpid(), signal.SIGINT)

    sys.addaudithook(watch)


def test_ctrl_c_in_a_deploy(shop):
    done = shop.plane("deploy", code=1, hook=interrupted_in_the_release)
    assert (
        done.err
        == "interrupted: unfinished work was rolled back or is left to the next call; run the command"
        " again\n"
    )
    assert shop.plane("plan", "--detailed-exitcode", code=2)
    shop.ready()
    root = shop.folder / ".plane" / "airflow" / "local" / "dags"
    assert sorted(path.name for path in root.iterdir()) == ["CURRENT", "releases"]
    assert len(list((root / "releases").iterdir())) == 1
    assert shop.plane("doctor")


def broken_within() -> None:
    """Have the command meet what nobody has thought of."""

    def watch(event: str, _: tuple) -> None:
        if event == "sqlite3.connect":
            raise ZeroDivisionError("unheard of")

    sys.addaudithook(watch)


def test_a_bug_is_told_as_one_and_kept_for_a_report(shop, tmp_path):
    shop.extra["TMPDIR"] = str(tmp_path)
    done = shop.start("deploy", hook=broken_within).wait()
    assert done.code == 3
    assert done.err.splitlines()[0] == "bug: ZeroDivisionError: unheard of"
    [report] = tmp_path.glob("plane-bug-*.txt")
    assert str(report) in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in report.read_text()
