"""`plane serve`."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json
from controlplane.errors import MissingDriver, SettingsError

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
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes over the one port.")] = 1,
    keys: Annotated[
        Path | None,
        typer.Option(
            envvar="PLANE_API_KEYS", help="File of API keys, made with `plane serve key`."
        ),
    ] = None,
    without_keys: Annotated[
        bool,
        typer.Option(
            "--without-keys", help="Let anyone who reaches the server read, beyond loopback too."
        ),
    ] = False,
    budget_ms: Annotated[
        int, typer.Option(min=1, help="Milliseconds that the store may take to answer.")
    ] = 1000,
    max_connections: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=(
                "Connections of each worker (default: what `ulimit -n` has room for, 4096 at most)."
            ),
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Without keys: a name that clients may ask for; once for each. Loopback's always"
                " may."
            )
        ),
    ] = None,
    max_body: Annotated[
        int, typer.Option(min=1, help="Bytes that a request's body may have.")
    ] = 1_000_000,
    max_entities: Annotated[
        int, typer.Option(min=1, help="Entities that one request may ask for.")
    ] = 1000,
    refresh: Annotated[
        float,
        typer.Option(
            min=0.05, help="Seconds after which a deploy, a flip or a changed key is seen."
        ),
    ] = 5.0,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log a line for each request.")
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Serve online features over HTTP, until it is stopped.

    POST /v1/services/SERVICE, and the requests of Tecton's and Feast's feature servers; /docs says
    the rest. Logs are JSON lines on standard error.
    """
    if context.invoked_subcommand is not None:
        return
    if keys is None and not without_keys and not _loopback(host):
        hint = "make a key with `plane serve key` and give --keys, or say --without-keys"
        raise SettingsError(
            f"on {host} anyone who reaches the server could read every feature", hint=hint
        )
    try:
        # lazy: the server's libraries are an extra, and no other command needs them
        from controlplane.server import app as application
        from controlplane.server import run  # lazy: as above
    except ImportError as error:
        hint = "pip install 'controlplane[server]'"
        raise MissingDriver(
            f"the server's libraries are not installed: {error.name}", hint=hint
        ) from None

    options = application.Options(
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
    name: Annotated[str, typer.Option(help="Who uses it.")],
    service: Annotated[
        list[str],
        typer.Option("--service", "-s", help="Feature service; once for each, `*` for all."),
    ],
    json: Json = False,
) -> None:
    """Make an API key.

    The key is shown once, on standard error; its entry for the file goes to standard output.
    """
    # lazy: as above
    from controlplane.server.keys import create

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
        present.aside(f"key (shown once): {secret}")
        present.line(entry.entry().rstrip())
