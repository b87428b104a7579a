"""Commands whose modules are imported when they are called.

`plane --help` and the completion of a command's name need one line of each command; importing all
of them would take longer than everything else that they do.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand


class LazyCommand(TyperCommand):
    """Stands for the command, or the group of commands, in the module of `controlplane.cli` with
    its name."""

    def load(self) -> Any:  # noqa: ANN401 - click's own types are part of Typer's private ones
        """Import the module and return its command or group."""
        module = importlib.import_module(f"controlplane.cli.{self.name}")
        if hasattr(module, "app"):
            return typer.main.get_group(module.app)
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
        """Let the loaded command parse its arguments.

        It is the one that the context then invokes.
        """
        return self.load().make_context(info_name, args, parent=parent, **extra)
