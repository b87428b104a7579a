"""`plane verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from controlplane.api.verify import verify, verify_against
from controlplane.cli import present, verdicts
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane verify airport_delays --cases 1000 --seed 7"
_CASES = 200


def command(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views (default: all).")] = None,
    cases: Annotated[
        int | None,
        typer.Option(
            help="Number of random pairs of entity and instant to check in each feature view.",
            show_default=str(_CASES),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Random seed, to repeat the same checks.", show_default="a new one each run"
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Compare all table rows with those of another environment instead."),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Compare computed values with a brute-force evaluation.

    The evaluation reads the raw rows of random entities and computes their features at random
    instants: tables, training sets and online values must have the same values. Also checks that
    an interval has the same rows when it is computed alone and together with other intervals. With
    --against, compares all rows of the tables with those of another environment instead. Changes
    nothing. Exits with 1 if anything differs.
    """
    if against is not None:
        # The defaults of both options are None, so that an explicit value is noticed here.
        if (cases, seed) != (None, None):
            raise typer.BadParameter("--against compares all rows: omit --cases and --seed")
        _against(against, views or (), environment, directory, json)
        return
    cases = _CASES if cases is None else cases
    with (
        opened(directory, environment) as project,
        present.progress(quiet=json, counted="cases") as on_progress,
    ):
        report = verify(project, views or (), cases=cases, seed=seed, on_progress=on_progress)
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
        opened(directory, environment) as project,
        present.progress(quiet=json, counted="rows") as on_progress,
    ):
        comparison = verify_against(project, other, views, on_progress=on_progress)
    if json:
        present.as_json(comparison)
    else:
        verdicts.compared(comparison)
    if not comparison.equal:
        raise typer.Exit(1)
