"""`plane schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane
from controlplane.errors import PlaneError

EXAMPLE = "Example: plane schema late_arrival --format python -o late_arrival.py"
_FORMATS = "json-schema, arrow, proto or python (a typed client)."


def command(
    service: Annotated[str, typer.Argument(help="Feature service.")],
    language: Annotated[str, typer.Option("--format", "-f", help=_FORMATS)] = "json-schema",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write it to this file; of arrow, an IPC file without rows."
        ),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Tell what a deployed feature service takes and gives, for programs in any language.

    Its version changes when keys, request fields or features do, and with nothing else.
    """
    with control_plane(directory, environment) as plane:
        contract = plane.schema(service)
    # lazy: as the SDK
    from controlplane.serving import contracts

    text, content = contracts.text(contract, language), contracts.content(contract, language)
    if output is not None:
        try:
            output.write_bytes(content)
        except OSError as error:
            raise PlaneError(
                f"{output} can't be written: {error.strerror}", hint="choose another file"
            ) from None
    if json:
        written = None if output is None else str(output)
        present.as_json({"contract": contract, "format": language, "file": written, "text": text})
    elif output is not None:
        present.line(f"wrote {output}: {language} of {service}, version {contract.version}")
    else:
        present.line(text.rstrip())
