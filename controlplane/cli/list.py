"""`plane list`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from controlplane.api.catalogue import catalogue
from controlplane.api.dataset import TrainingSet, existing
from controlplane.cli import listings, present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane list features"


def command(
    what: Annotated[
        Literal["all", "views", "features", "services", "entities", "sources", "datasets"],
        typer.Argument(help="What to list."),
    ] = "all",
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """List views, features, services, entities, sources or training sets.

    Lists what the definition files declare, and whether it is deployed.
    """
    with opened(directory, environment) as project:
        if what == "datasets":
            _datasets(existing(project), json=json)
            return
        listed = catalogue(project)
    if json:
        present.as_json(listed if what == "all" else getattr(listed, what))
    elif what == "all":
        listings.everything(listed)
    else:
        getattr(listings, what)(getattr(listed, what))


def _datasets(training_sets: Sequence[TrainingSet], *, json: bool) -> None:
    if json:
        present.as_json([training_set.to_dict() for training_set in training_sets])
    else:
        present.datasets(training_sets)
