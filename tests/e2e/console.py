"""Reads and runs the `console` blocks of a page, so that what a page shows is what a reader gets.

A block holds commands, each after `$ ` and its further lines after `> `, and below each the lines
that it prints. `...` stands for any text within a line, and on a line of its own for any number of
lines; a command without lines may print anything. Where the lines begin with `error: ` the command
must fail, and they are what it says on standard error; else it must succeed, and they are its
standard output. A block is left out only by a comment right above it: `<!-- not run: reason -->`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.projects import environment

_NOT_RUN = re.compile(r"<!-- not run: (\S.*) -->")
_SHELLS = {"bash", "sh", "shell", "zsh", "shell-session", "text"}
_WHERE = ".where"


@dataclass
class Command:
    """One command, the lines that the page shows of its output, and the line of the page where it
    stands."""

    text: str
    line: int
    shown: list[str] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """Whether the page says that it fails."""
        return bool(self.shown) and self.shown[0].startswith("error: ")


@dataclass
class Block:
    """One block; `not_run` is the reason why it is left out, if it is."""

    not_run: str
    commands: list[Command] = field(default_factory=list)


def blocks(page: str) -> Iterator[Block]:
    """The console blocks of a page.

    Raises:
        ValueError: a block begins with no command, or is written in another language than
            `console`.
    """
    block: Block | None = None
    fence = ""
    above = ""
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("```"):
            language, fence = line.removeprefix("```").strip(), "" if fence else line
            if fence and language in _SHELLS:
                raise ValueError(
                    f"line {number}: commands belong into a block of the language `console`"
                )
            if fence and language == "console":
                reason = _NOT_RUN.fullmatch(above)
                block = Block(reason[1] if reason else "")
            elif not fence and block is not None:
                yield block
                block = None
        elif block is not None and line.startswith("$ "):
            block.commands.append(Command(line.removeprefix("$ "), number))
        elif block is not None and block.commands:
            command = block.commands[-1]
            if line.startswith("> ") and not command.shown:
                command.text += f"\n{line.removeprefix('> ')}"
            else:
                command.shown.append(line)
        elif block is not None:
            raise ValueError(f"line {number}: a console block begins with a command after `$ `")
        above = line.strip() or above


def matches(shown: Sequence[str], output: str) -> bool:
    """Whether the output is what a page shows; spaces at the end of lines don't count."""
    if not shown:
        return True
    pattern = ""
    for line in shown:
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("...")) + r"\n"
    printed = "".join(f"{line.rstrip()}\n" for line in output.rstrip().splitlines())
    return re.fullmatch(pattern, printed) is not None


class Shell:
    """Runs commands one after the other, each where the one before has gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = self._here = folder

    def run(self, command: Command) -> None:
        """Run one command; it must end and print as the page says."""
        where = self.folder / _WHERE
        script = f"{command.text}\ncode=$?; pwd > '{where}'; exit $code"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._here,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if where.exists():
            self._here = Path(where.read_text().strip())
            where.unlink()
        said = f"line {command.line}: $ {command.text}\n{done.stdout}{done.stderr}"
        assert (done.returncode != 0) == command.fails, f"exit code {done.returncode}: {said}"
        assert matches(command.shown, done.stderr if command.fails else done.stdout), (
            f"the page shows other lines than it prints: {said}"
        )
