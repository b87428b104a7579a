"""`plane serve`."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json
from controlplane.errors import MissingDriver, SettingsError
from controlplane.server.keys import create

# No help without arguments: `plane serve` alone starts the server.
app = typer.Typer(no_args_is_help=False, rich_markup_mode=None)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@app.callback(
    invoke_without_command=True,
    epilog="Example: plane serve --port 8000 --keys keys.toml --workers 4",
)
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 selects a free port.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of processes that share the port.")
    ] = 1,
    keys: Annotated[
        Path | None,
        typer.Option(
            envvar="PLANE_API_KEYS", help="File of API keys, created with `plane serve key`."
        ),
    ] = None,
    without_keys: Annotated[
        bool,
        typer.Option(
            "--without-keys", help="Serve without API keys, even on a non-loopback address."
        ),
    ] = False,
    budget_ms: Annotated[
        int, typer.Option(min=1, help="Time limit for reads of the online store, in milliseconds.")
    ] = 1000,
    max_connections: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=(
                "Maximum connections per worker (default: as many as `ulimit -n` allows, at most"
                " 4096)."
            ),
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Further host name that clients may use without API keys; repeat for each name."
                " Loopback names are always allowed."
            )
        ),
    ] = None,
    max_body: Annotated[
        int, typer.Option(min=1, help="Maximum size of a request body, in bytes.")
    ] = 1_000_000,
    max_entities: Annotated[
        int, typer.Option(min=1, help="Maximum number of entities per request.")
    ] = 1000,
    refresh: Annotated[
        float,
        typer.Option(
            min=0.05,
            help="Seconds between checks for new deployments, new versions and changed API keys.",
        ),
    ] = 5.0,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log a line for each request.")
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Serve online features over HTTP until stopped.

    Clients use POST /v1/services/SERVICE, or the requests of Tecton's and Feast's feature servers;
    the server describes its API at /docs. Logs are JSON lines on standard error.
    """
    # typer also calls this function before the subcommand `plane serve key`.
    if context.invoked_subcommand is not None:
        return
    if keys is None and not without_keys and not _loopback(host):
        hint = "create a key with `plane serve key` and pass --keys, or pass --without-keys"
        raise SettingsError(
            f"without API keys, anyone who can reach {host} could read every feature", hint=hint
        )
    try:
        # lazy: the server's libraries are an extra
        from controlplane.server import app, run
    except ImportError as error:
        hint = "pip install 'controlplane[server]'"
        raise MissingDriver(
            f"the server's libraries are not installed: {error.name}", hint=hint
        ) from None

    options = app.Options(
        directory=directory.absolute(),
        environment=environment,
        keys=keys,
        budget_ms=budget_ms,
        max_body=max_body,
        max_entities=max_entities,
        refresh_seconds=refresh,
        access_log=access_log,
        hosts=tuple(allow_host or ()),
    )
    # Before the workers start, so that an error is printed once and ends the command.
    run.check(options)

    def on_ready(url: str) -> None:
        if json:
            present.as_json({"url": url})
        else:
            present.line(f"serving on {url}, documented on {url}/docs; Ctrl-C stops")

    run.serve(
        options,
        host=host,
        port=port,
        workers=workers,
        on_ready=on_ready,
        max_connections=max_connections,
    )


@app.command(epilog="Example: plane serve key --name ranking --service late_arrival >> keys.toml")
def key(
    name: Annotated[str, typer.Option(help="Name of the client that will use the key.")],
    service: Annotated[
        list[str],
        typer.Option(
            "--service",
            "-s",
            help="Feature service that the key may read; repeat for each service, `*` for all.",
        ),
    ],
    json: Json = False,
) -> None:
    """Create an API key.

    The key is shown once, on standard error. Its entry for the file of keys is printed on standard
    output.
    """
    secret, entry = create(name, tuple(service))
    if json:
        present.as_json(
            {
                "key": secret,
                "id": entry.id,
                "digest": entry.digest,
                "services": list(entry.services),
            }
        )
    else:
        present.to_stderr(f"key (shown once): {secret}")
        present.line(entry.entry().rstrip())
