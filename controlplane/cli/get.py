"""`plane get`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane, named

EXAMPLE = "Example: plane get late_arrival --key origin=JFK --key carrier=B6"


def command(
    service: Annotated[str, typer.Argument(help="Feature service.")],
    key: Annotated[
        list[str] | None, typer.Option("--key", "-k", help="A key as name=value; once for each.")
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option("--request", "-r", help="A request field as name=value; once for each."),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Read the online features of one entity, as a model would."""
    keys = named("key", key or (), EXAMPLE)
    given = named("request", request or (), EXAMPLE)
    with control_plane(directory, environment) as plane:
        vector = plane.get_text(service, keys, given)
    if json:
        present.as_json(vector.to_dict())
    else:
        present.vector(service, keys, vector)
