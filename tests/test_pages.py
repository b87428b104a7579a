"""What the pages for contributors name exists, and the API reference shows every public name."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import controlplane
from controlplane import expect, testing
from controlplane.definitions import windows
from tests.test_house import FILES, ROOT

PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/internals.md")
GENERATED = {".plane", ".venv", "build", "dist"}
"""Folders that a command makes."""
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"`([^`]+)`")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
_SUFFIXES = {".j2", ".md", ".py", ".toml", ".txt"}
_DOTTED = re.compile(r"[a-z_]+(?:\.\w+)+")
_TARGET = re.compile(r"^([a-z0-9.-]+):", re.MULTILINE)
_TARGETS = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def names_in(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """What a module or a class defines: name -> its own body, empty for anything but a class."""
    names: dict[str, list[ast.stmt]] = {}
    for node in body:
        match node:
            case ast.ClassDef():
                names[node.name] = node.body
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names[node.name] = []
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                names[name] = []
    return names


def is_defined(dotted: str) -> bool:
    """Whether a module, class, function or method below `controlplane` has this name."""
    folder, parts = ROOT / "controlplane", dotted.split(".")
    while parts and (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    module = folder / "__init__.py"
    if parts and (folder / f"{parts[0]}.py").is_file():
        module = folder / f"{parts.pop(0)}.py"
    body = ast.parse(module.read_text(encoding="utf-8")).body
    for part in parts:
        names = names_in(body)
        if part not in names:
            return False
        body = names[part]
    return True


def is_missing(quoted: str) -> bool:
    """Whether a text in backticks names a file, Python name or make target that is not there."""
    command, *words = quoted.split()
    if command == "make" and words:
        return words[0] not in _TARGETS
    if words:
        return any(is_missing(word) for word in words if word.startswith("tests/"))
    if _PATH.fullmatch(quoted) and ("/" in quoted or Path(quoted).suffix in _SUFFIXES):
        if quoted.partition("/")[0] in GENERATED:
            return False
        if "/" not in quoted:
            return not any(Path(name).name == quoted for name in FILES)
        return not any((folder / quoted).exists() for folder in (ROOT, ROOT / "controlplane"))
    room = ROOT / "controlplane" / quoted.partition(".")[0]
    is_room = room.is_dir() or room.with_suffix(".py").is_file()
    return is_room and bool(_DOTTED.fullmatch(quoted)) and not is_defined(quoted)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    quoted = _QUOTED.findall(_FENCED.sub("", (ROOT / page).read_text(encoding="utf-8")))
    assert len(quoted) > 40
    assert [text for text in quoted if is_missing(text)] == []


@pytest.mark.parametrize(
    ("quoted", "missing"),
    [
        ("sql/windows.py", False),
        ("sql/doors.py", True),
        ("connectors/redis/link.py", False),
        ("connectors/redis_link.py", True),
        ("pyproject.toml", False),
        ("setup.cfg.toml", True),
        ("state.store.StateStore.record", False),
        ("state.store.StateStore.write", True),
        ("materialize.tasks", False),
        ("materialize.steps", True),
        ("make lint test", False),
        ("make coffee", True),
        (".venv/bin/python -m pytest tests/plan/test_plan.py -k white_space", False),
        (".venv/bin/python -m pytest tests/test_plan.py", True),
        ("plane.start", False),
        ("a MERGE", False),
    ],
)
def test_a_stale_name_is_noticed(quoted: str, missing: bool) -> None:
    assert is_missing(quoted) == missing


def test_the_pages_show_every_public_name() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^<!-- auto(?:class|function): ([\w.]+) -->$", page, re.MULTILINE))
    checks = inspect.getmembers(expect, inspect.isfunction)
    public = {f"controlplane.{name}" for name in controlplane.__all__ if name != "expect"}
    public |= {f"controlplane.testing.{name}" for name in testing.__all__}
    own = {name for name, check in checks if check.__module__ == expect.__name__}
    public |= {f"controlplane.expect.{name}" for name in own}
    assert public <= shown
    definitions = (ROOT / "docs" / "definitions.md").read_text(encoding="utf-8")
    for name, _ in inspect.getmembers(windows, inspect.isclass):
        assert f"\n| `{name}(" in definitions
        assert f"controlplane.{name}" in public
    quality = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    assert own == set(re.findall(r"^\| `expect\.(\w+)\(.*\|$", quality, re.MULTILINE))
