"""`plane schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.api.schema import schema
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened
from controlplane.errors import PlaneError
from controlplane.serving.contracts import formats

EXAMPLE = "Example: plane schema late_arrival --format python -o late_arrival.py"
_FORMATS = "Format: json-schema, arrow, proto or python (a typed client)."


def command(
    service: Annotated[str, typer.Argument(help="Feature service.")],
    language: Annotated[str, typer.Option("--format", "-f", help=_FORMATS)] = "json-schema",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write to this file instead of standard output (arrow: an IPC file without rows).",
        ),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Print the request and response schema of a feature service.

    The service must be deployed. Use the schema to write clients in any language. The schema's
    version changes only when keys, request fields or features change.
    """
    with opened(directory, environment) as project:
        contract = schema(project, service)
    # Before the file is opened: an unknown format must not leave an empty file behind.
    text, content = formats.text(contract, language), formats.content(contract, language)
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
