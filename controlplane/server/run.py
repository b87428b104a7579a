"""Runs the application on uvicorn: one process, or several over one port."""

from __future__ import annotations

import asyncio
import logging.config
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from controlplane.errors import PlaneError
from controlplane.server.app import Options, create
from controlplane.server.connections import Connections, backlog, default_limit, room
from controlplane.server.keys import Keyring
from controlplane.server.logs import CONFIG, say
from controlplane.server.protocol import Protocol
from controlplane.server.services import Services

_WORKERS = "PROMETHEUS_MULTIPROC_DIR"
_GRACE = 10  # seconds for open requests when the server stops
# Seconds without a sign of life after which a worker is replaced; a busy machine starts slowly.
_HUNG = 60
# Seconds. Load balancers keep idle connections for 60 by default: the server must not close a
# connection first, because a request may already be on its way.
_KEEP_ALIVE = 75


class Config(uvicorn.Config):
    """The configuration of uvicorn's workers, with the limit of each.

    Args:
        max_connections: the most connections of a worker.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - uvicorn's
        max_connections: int,
        **options: Any,  # noqa: ANN401 - uvicorn's
    ) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections

    @cached_property
    def connections(self) -> Connections:
        """The connections of this worker."""
        return Connections(self._max_connections)


def check(options: Options) -> None:
    """Load the services once, and start the embedded store if the environment has one.

    Raises:
        PlaneError: nothing is deployed, the deployment can't be served, the store refuses its user,
            or the file of API keys is wrong.
    """
    logging.config.dictConfig(CONFIG)
    if options.keys is not None:
        Keyring(options.keys)
    asyncio.run(_check(Services(options.directory, options.environment, options.refresh_seconds)))


async def _check(services: Services) -> None:
    try:
        await services.check()
    finally:
        await services.close()


def serve(
    options: Options,
    *,
    host: str,
    port: int,
    workers: int,
    on_ready: Callable[[str], None],
    max_connections: int | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; open requests are then still answered.

    Args:
        options: the application's options.
        host: the address to listen on.
        port: the port; 0 for a free one.
        workers: the number of processes.
        on_ready: called with the URL when the port is open.
        max_connections: the limit of each worker (default: as many as the limit of open files has
            room for).

    Raises:
        PlaneError: the port can't be opened, or the limit of open files is too low.
    """
    if max_connections is not None and max_connections > room():
        text = (
            f"can't accept {max_connections} connections: the limit of open files has room for"
            f" {room()}"
        )
        raise PlaneError(text, hint="raise the limit (`ulimit -n`), or lower --max-connections")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=backlog())
    except (OSError, OverflowError) as error:
        text = f"can't listen on {host} port {port}: {error}"
        raise PlaneError(text, hint="choose another --host or --port") from None
    # uvicorn stops on these signals, and raises them again when it has stopped: with the default
    # handlers, this process would then die of the signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    config = Config(
        partial(create, options),
        max_connections=max_connections or default_limit(),
        factory=True,
        workers=workers,
        interface="asgi3",
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=CONFIG,
        access_log=False,
        proxy_headers=False,
        backlog=backlog(),
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        timeout_worker_healthcheck=_HUNG,
    )
    shown = f"[{host}]" if ":" in host else host
    with listening, tempfile.TemporaryDirectory(prefix="plane-serve-") as counts:
        on_ready(f"http://{shown}:{listening.getsockname()[1]}")
        if workers == 1:
            try:
                uvicorn.Server(config).run(sockets=[listening])
            except SystemExit:  # uvicorn exits with code 3, which means a bug in `plane`
                text = "the server did not start: its project or its files changed meanwhile"
                raise PlaneError(text, hint="see its log above, and start it again") from None
        else:
            os.environ[_WORKERS] = counts
            Multiprocess(config, sockets=[listening]).run()
    say("stopped")
