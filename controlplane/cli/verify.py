"""`plane verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import present, verdicts
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

EXAMPLE = "Example: plane verify airport_delays --cases 1000 --seed 7"
_CASES = 200


def command(
    views: Annotated[
        list[str] | None, typer.Argument(help="Feature views; all unless given.")
    ] = None,
    cases: Annotated[
        int | None,
        typer.Option(
            help="Entities and instants to ask each view about.", show_default=str(_CASES)
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which ones; any unless given.", show_default="random")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Compare the tables with this other environment's instead, row by row."),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Compare what is computed with brute force over the raw rows.

    Tables, training sets and online values at random entities and instants, and the rows of some
    intervals evaluated alone and with others; or with --against all rows of the tables with those
    of another environment. Exits with 1 if anything differs. It reads only.
    """
    if against is not None:
        if (cases, seed) != (None, None):
            raise typer.BadParameter("--against compares all rows: leave out --cases and --seed")
        _against(against, views or (), environment, directory, json)
        return
    cases = _CASES if cases is None else cases
    with (
        control_plane(directory, environment) as plane,
        present.progress(quiet=json, counted="cases") as on_progress,
    ):
        report = plane.verify(views or (), cases=cases, seed=seed, on_progress=on_progress)
    if json:
        present.as_json(report)
    else:
        verdicts.verified(report)
    if not report.agrees:
        raise typer.Exit(1)


def _against(
    other: str, views: Sequence[str], environment: str | None, directory: Path, json: bool
) -> None:
    with (
        control_plane(directory, environment) as plane,
        present.progress(quiet=json, counted="rows") as on_progress,
    ):
        comparison = plane.verify_against(other, views, on_progress=on_progress)
    if json:
        present.as_json(comparison)
    else:
        verdicts.compared(comparison)
    if not comparison.equal:
        raise typer.Exit(1)
