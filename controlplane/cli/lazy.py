"""Import the module of a command when the command is called.

`plane --help` and shell completion need one line of each command; importing all modules would take
longer than everything else that they do.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand


class LazyCommand(TyperCommand):
    """A command, or a group of commands, of the module `controlplane.cli.<name>`."""

    def load(self) -> Any:  # noqa: ANN401 - click's own types are part of Typer's private ones
        """Import the module and return its command or group."""
        module = importlib.import_module(f"controlplane.cli.{self.name}")
        if hasattr(module, "app"):
            return typer.main.get_group(module.app)
        # typer makes a command only from a program: this one has a single command.
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(self.name, epilog=module.EXAMPLE)(module.command)
        return typer.main.get_command(single)

    def make_context(  # the types of click, which typer vendors
        self,
        info_name: str | None,
        args: list[str],
        parent: Any = None,  # noqa: ANN401
        **extra: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Let the loaded command parse its arguments; the context then invokes that command."""
        return self.load().make_context(info_name, args, parent=parent, **extra)
