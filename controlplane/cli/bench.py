"""`plane bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from controlplane.cli import present
from controlplane.cli.common import Json
from controlplane.errors import PlaneError
from controlplane.server import load

app = typer.Typer(
    help="Measure how fast a feature server answers.", no_args_is_help=True, rich_markup_mode=None
)


# With a single command and no callback, typer would make the command the whole program, so that
# `plane bench serve` would not exist.
@app.callback()
def _group() -> None:
    pass


@app.command(
    epilog=(
        "Example: plane bench serve http://127.0.0.1:8000 --service late_arrival --entities"
        " entities.json"
    )
)
def serve(
    url: Annotated[str, typer.Argument(help="URL of a running feature server.")],
    service: Annotated[str, typer.Option("--service", "-s", help="Feature service.")],
    entities: Annotated[
        str,
        typer.Option(
            help=(
                "Entities to request: a JSON list of objects with keys and request fields, or the"
                " path of a file with such a list."
            )
        ),
    ],
    batch: Annotated[int, typer.Option(min=1, help="Entities per request.")] = 1,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="Concurrent connections, each with one request at a time."
        ),
    ] = 16,
    duration: Annotated[float, typer.Option(min=0.1, help="Duration in seconds.")] = 10.0,
    key: Annotated[str | None, typer.Option(envvar="PLANE_API_KEY", help="API key.")] = None,
    json: Json = False,
) -> None:
    """Send requests to a feature server as fast as it answers, and show throughput and latencies.

    Exits with 1 if a response has a status other than 200.
    """
    measured = load.measure(
        url,
        service,
        _entities(entities),
        batch=batch,
        concurrency=concurrency,
        seconds=duration,
        key=key,
    )
    if json:
        present.as_json(measured.to_dict())
    else:
        present.load(measured)
    if set(measured.codes) != {200}:
        raise typer.Exit(1)


def _entities(text: str) -> list[dict[str, Any]]:
    try:
        # A path can't be confused with a list unless it begins with "[".
        content = text.encode() if text.lstrip().startswith("[") else Path(text).read_bytes()
        return msgspec.json.decode(content, type=list[dict[str, Any]])
    except OSError as error:
        raise PlaneError(f"--entities: {text} can't be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeError):
        hint = """example: --entities '[{"origin": "JFK"}, {"origin": "LGA"}]'"""
        raise PlaneError("--entities: this is not a JSON list of objects", hint=hint) from None
