"""`plane get`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.read import get_text
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened, parse_pairs

EXAMPLE = "Example: plane get late_arrival --key origin=JFK --key carrier=B6"


def command(
    service: Annotated[str, typer.Argument(help="Feature service.")],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", "-k", help="Key column as name=value; repeat for each key column."),
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option("--request", "-r", help="Request field as name=value; repeat for each field."),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Read the online features of one entity."""
    # Keys and fields stay text here: only the deployed service knows their types.
    keys = parse_pairs("key", key or (), EXAMPLE)
    request_fields = parse_pairs("request", request or (), EXAMPLE)
    with opened(directory, environment) as project:
        vector = get_text(project, service, keys, request_fields)
    if json:
        present.as_json(vector.to_dict())
    else:
        present.vector(service, keys, vector)
