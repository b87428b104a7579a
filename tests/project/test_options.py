"""Options of connectors in plane.toml: what has the wrong type is refused in words, for every
connector."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import SettingsError
from controlplane.workspace.connectors import (
    connector,
    open_async_store,
    open_store,
    open_warehouse,
)
from controlplane.workspace.project import Project

POINTS = entry_points(group="controlplane.connectors")
KINDS = sorted(point.name for point in POINTS if point.name != "calculator")
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "duckdb": {"path": ":memory:"},
    "databricks": {"server_hostname": "h", "http_path": "p"},
    "redis": {"url": "redis://127.0.0.1:1/0"},
}
OPTIONS = [(kind, name) for kind in KINDS for name in inspect.signature(connector(kind)).parameters]


@pytest.mark.parametrize(("kind", "name"), OPTIONS)
def test_b2_an_option_of_another_type_is_refused_and_not_repeated(kind, name):
    """Case B2: `sentinels` as a text ended in a traceback, and so did most other options."""
    wrong: Any
    for wrong in ([[81726354]], {"81726354": {"a": 81726354}}):
        options = {**REQUIRED.get(kind, {}), name: wrong}
        with pytest.raises(SettingsError) as raised:
            open_store(options) if kind == "redis" else open_warehouse(kind, options)
        assert f"option `{name}" in raised.value.message
        assert "expected" in raised.value.message
        assert "81726354" not in str(raised.value)


def test_b2_the_text_of_a_variable_is_read_as_a_number():
    options = {**REQUIRED["redis"], "timeout_seconds": "0.5", "compare_and_set": "false"}
    store: Any = open_store(options)
    assert store._compare is False
    store.close()


async def _open_async(options: Mapping[str, Any]) -> None:
    open_async_store(options)


def test_b2_options_of_a_server_have_the_same_types():
    with pytest.raises(SettingsError, match="option `sentinels`: expected a list, got text"):
        asyncio.run(_open_async({**REQUIRED["redis"], "sentinels": "127.0.0.1:1"}))


def test_b2_the_error_names_the_file(tmp_path: Path):
    (tmp_path / "plane.toml").write_text(
        '[project]\nname = "x"\ndialect = "duckdb"\ndefinitions = ["features"]\n'
        "[environments.local]\nwarehouse = { kind = 'duckdb', path = 'w.duckdb' }\n"
        "online = { url = 'redis://m/0', sentinels = '127.0.0.1:1' }\n",
        encoding="utf-8",
    )
    with Project(tmp_path) as project, pytest.raises(SettingsError) as raised:
        assert project.store
    assert str(raised.value).startswith(
        "plane.toml: connector 'redis': option `sentinels`: expected a list, got text"
    )
