"""`plane describe`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.describe import describe
from controlplane.cli import listings, present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane describe airport_delays__count_24h"


def command(
    name: Annotated[
        str,
        typer.Argument(
            help="A feature view, feature (view__feature), service, entity, source or training set."
        ),
    ],
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Describe a view, feature, service, entity, source or training set.

    Shows its meaning, owner, freshness and readers, and the features and the SQL of a view.
    """
    with opened(directory, environment) as project:
        descriptions = describe(project, name)
    if json:
        present.as_json(descriptions)
    else:
        listings.descriptions(descriptions)
