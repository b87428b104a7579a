"""The commands that the page on trust names exist, with their options, targets and tests."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer

from controlplane.cli.app import app
from tests.e2e.projects import REPOSITORY

PAGE = (REPOSITORY / "docs" / "trust.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"`((?:plane|make|pytest) [^`]+)`", PAGE)))
PROMISES = re.findall(r"^\| .* \| .* \| (`.*`) \|$", PAGE, re.MULTILINE)


def problem(command: str) -> str:
    """What is wrong with a command; empty if it exists."""
    program, *words = command.split()
    if program == "make":
        targets = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        return "" if re.search(rf"^{words[0]}:", targets, re.MULTILINE) else "no such target"
    if program == "pytest":
        return "" if (REPOSITORY / words[0]).is_file() else "no such file"
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        if words[0] not in found.commands:
            return "no such command"
        found = found.commands[words.pop(0)]
    known = {name for parameter in found.params for name in parameter.opts}
    unknown = {word for word in words if word.startswith("--")} - known
    return f"no such option: {unknown}" if unknown else ""


def test_every_promise_has_a_command() -> None:
    assert len(PROMISES) == 14
    assert all(set(re.findall(r"`([^`]+)`", cell)) <= set(COMMANDS) for cell in PROMISES)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command: str) -> None:
    assert problem(command) == ""


@pytest.mark.parametrize(
    "command",
    [
        "plane veryfy",
        "plane verify --seeds 7",
        "plane online heal",
        "make trust",
        "pytest tests/test_no.py",
    ],
)
def test_one_that_does_not_is_noticed(command: str) -> None:
    assert problem(command)
