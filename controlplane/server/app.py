"""The ASGI application.

It has no framework, so that a whole request costs only tens of microseconds.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from controlplane.errors import (
    CalculationFailed,
    PermanentError,
    PlaneError,
    SettingsError,
    TransientError,
)
from controlplane.server import metrics, openapi
from controlplane.server.access import Access
from controlplane.server.deadlines import Deadlines
from controlplane.server.feast import Feast
from controlplane.server.health import StoreHealth
from controlplane.server.hosts import Hosts
from controlplane.server.keys import Keyring
from controlplane.server.logs import LOGGER, say
from controlplane.server.refused import RETRY, STORE_UNREACHABLE, Refused
from controlplane.server.services import Served, Services
from controlplane.server.shapes import NamedMap, Shape
from controlplane.server.tecton import Tecton, TectonBatch

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SERVICES = "/v1/services/"
OURS = NamedMap()
SHAPES: dict[str, Shape] = {
    "/api/v1/feature-service/get-features": Tecton(),
    "/api/v1/feature-service/get-features-batch": TectonBatch(),
    "/get-online-features": Feast(),
}
_JSON = (b"content-type", b"application/json")
_CLOSE = ((b"connection", b"close"),)
# The longest wait for the store in /health/ready: load balancers often wait a second for it.
_READY_SECONDS = 0.5
_GET_PATHS = {"/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/v1/services"}


@dataclass(frozen=True)
class Options:
    """The options of the server.

    Args:
        directory: the project's folder.
        environment: the environment's name.
        keys: the file of API keys; None: everybody who can reach the server may read everything.
        budget_ms: the limit for a response, from the end of the request's body.
        max_body: the longest body in bytes.
        max_entities: the most entities of one request.
        refresh_seconds: the time after which a deployment, a switch of the served version or
            changed keys are noticed.
        access_log: whether to log a line for each request.
        upload_seconds: the limit for the body of a request to arrive.
        hosts: names that the server answers to without keys, in addition to its address and those
            of loopback.
    """

    directory: Path
    environment: str | None = None
    keys: Path | None = None
    budget_ms: int = 1000
    max_body: int = 1_000_000
    max_entities: int = 1000
    refresh_seconds: float = 5.0
    access_log: bool = False
    upload_seconds: float = 10.0
    hosts: tuple[str, ...] = ()


def create(options: Options) -> App:
    """Make the application of one worker."""
    return App(options)


class App:
    """The application of one worker."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._services = Services(options.directory, options.environment, options.refresh_seconds)
        keyring = None if options.keys is None else Keyring(options.keys)
        self._access = Access(self._services, keyring, Hosts(options.hosts))
        self._deadlines = Deadlines()
        self._budget_seconds = options.budget_ms / 1000
        self._health = StoreHealth()
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        started = perf_counter()
        path: str = scope["path"]
        name = path[len(SERVICES) :] if path.startswith(SERVICES) else ""
        shape = OURS if name else SHAPES.get(path)
        if shape is None:
            await self._answer_other(path, scope, send)
            return
        service = key = ""
        count = 0
        headers: Headers = [_JSON]
        try:
            allowed = self._access.key(scope)
            key = allowed.name if allowed else ""
            if scope["method"] == "GET" and shape is OURS:
                body = self._description(self._access.service(name, allowed))
                service, status = name, 200
            elif scope["method"] != "POST":
                allow = b"GET, POST" if shape is OURS else b"POST"
                raise Refused(405, "use POST", headers=((b"allow", allow),))
            else:
                request = None
                deadline = self._deadlines.start(started + self._options.upload_seconds)
                try:
                    request = await self._body(scope, receive)
                    if request is None:
                        return
                    deadline.at = perf_counter() + self._budget_seconds
                    call = shape.parse(request, name, self._options.max_entities)
                    served = (
                        self._access.service_with(call, allowed)
                        if call.features
                        else self._access.service(call.service, allowed)
                    )
                    service, count = served.name, len(call.entities)
                    typed = served.inputs.typed(call.entities, call.path)
                    lookup = served.reader.lookup(typed, served.inputs.requests(typed))
                    answers = await self._services.store.read(lookup.keys)
                except asyncio.CancelledError:
                    if deadline.cancelled():
                        raise self._too_late(has_body=request is not None) from None
                    raise
                finally:
                    self._deadlines.end(deadline)
                vectors = served.reader.vectors(lookup, answers)
                body, status = shape.write(call, served, vectors), 200
                metrics.rows(service, vectors)
                self._health.succeeded()
        except PlaneError as error:
            refused = self._refused(error)
            body, status = shape.refuse(refused), refused.status
            headers += refused.headers
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        seconds = perf_counter() - started
        metrics.request(service, shape.api, status, seconds)
        if self._options.access_log:
            say(
                "request",
                service=service,
                api=shape.api,
                code=status,
                entities=count,
                milliseconds=round(seconds * 1000, 3),
                key=key,
            )

    def _too_late(self, *, has_body: bool) -> Refused:
        """Return the refusal of a request whose body, or whose values, took too long."""
        if not has_body:
            text = f"the body did not arrive within {self._options.upload_seconds:g} s"
            return Refused(408, text, hint="send it again", headers=_CLOSE)
        text = f"the online store did not answer within {self._options.budget_ms} ms"
        return Refused(504, text, hint="ask again", headers=RETRY)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Receive the request's body; None if the client has disconnected."""
        most = self._options.max_body
        for header, value in scope["headers"]:
            if header == b"content-length" and int(value) > most:
                raise Refused(413, f"the body is longer than {most} bytes")
        message = await receive()
        if not message.get("more_body"):
            return None if message["type"] == "http.disconnect" else message.get("body", b"")
        parts = bytearray(message["body"])
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts += message.get("body", b"")
            if len(parts) > most:
                raise Refused(413, f"the body is longer than {most} bytes")
        return bytes(parts)

    def _refused(self, error: PlaneError) -> Refused:
        """Return the refusal for an error. The store's own message stays in the log."""
        if isinstance(error, Refused):
            if error.status == 504:
                metrics.store_error()
                self._health.failed(error.message)
            return error
        if isinstance(error, CalculationFailed):
            say("calculation_failed", logging.WARNING)  # its text may hold values
            return Refused(422, "a calculation of the feature service fails for these values")
        if isinstance(error, TransientError | PermanentError):
            metrics.store_error()
            self._health.failed(error.message)
            if isinstance(error, TransientError):
                return Refused(503, STORE_UNREACHABLE, hint="retry in a second", headers=RETRY)
            text = "the online store refused the read or holds invalid values"
            return Refused(503, text, hint="the server's log says why", headers=RETRY)
        return Refused(400, error.message, hint=error.hint)

    async def _answer_other(self, path: str, scope: Scope, send: Send) -> None:
        """Answer a request that reads no features."""
        status, content_type = 200, b"application/json"
        headers: Headers = []
        try:
            if path not in _GET_PATHS:
                raise Refused(404, "the server has no such path", hint="see /docs")
            if scope["method"] not in {"GET", "HEAD"}:
                raise Refused(405, "use GET", headers=((b"allow", b"GET, HEAD"),))
            if path == "/health/live":
                body = b'{"status":"live"}'
            elif path == "/health/ready":
                body = msgspec.json.encode(await self._ready())
            elif path == "/metrics":
                key = self._access.key(scope)
                body = metrics.text(key.allows if key else None)
                content_type = metrics.CONTENT_TYPE
            elif path == "/v1/services":
                readable = self._access.readable(self._access.key(scope))
                body = msgspec.json.encode({"services": [service.name for service in readable]})
            elif path == "/openapi.json":
                body = msgspec.json.encode(self._openapi(scope))
            else:
                body, content_type = openapi.page(self._openapi(scope)), b"text/html; charset=utf-8"
        except PlaneError as error:
            refused = self._refused(error)
            body, status = OURS.refuse(refused), refused.status
            headers += refused.headers
        headers += [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    async def _ready(self) -> dict[str, Any]:
        """Ask the store's servers; the worker is ready as long as one of them answers."""
        if not self._services.served and self._services.current:
            raise Refused(503, "no feature service is online", hint="deploy one", headers=RETRY)
        if not self._services.served:
            raise Refused(503, STORE_UNREACHABLE, headers=RETRY)
        seconds = min(self._budget_seconds, _READY_SECONDS)
        answering = await self._services.store.answering(seconds)
        silent = [address for address, answers in answering.items() if not answers]
        if len(silent) == len(answering):
            error = f"the online store does not answer within {seconds:g} s: {', '.join(silent)}"
            raise Refused(503, error, hint="retry in a second", headers=RETRY)
        return {"status": "ready", **({"not_answering": silent} if silent else {})}

    def _description(self, served: Served) -> bytes:
        return msgspec.json.encode(
            {
                "service": served.name,
                "description": served.description,
                "keys": served.inputs.keys,
                "request": served.inputs.fields,
                "features": served.types,
                "versions": served.reader.versions,
            }
        )

    def _openapi(self, scope: Scope) -> dict[str, Any]:
        readable = self._access.readable(self._access.key(scope))
        keys, most = self._access.keyring is not None, self._options.max_entities
        return openapi.document(self._services.project, readable, keys=keys, max_entities=most)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and stop with the server."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._services.refresh()
                except TransientError as error:  # requests are refused until the store answers
                    say("store_failed", logging.ERROR, error=error.message)
                except PlaneError as error:
                    say("start_failed", logging.ERROR, error=error.message)
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                watches = (self._services.watch(), self._watch())
                self._tasks = [asyncio.get_running_loop().create_task(work) for work in watches]
                for task in self._tasks:
                    task.add_done_callback(_ended)
                # Loaded objects are never garbage: traversing them in every collection took more
                # than half of a request's time.
                gc.collect()
                gc.freeze()
                # Refused requests leave reference cycles: with a threshold of 100,000 they held
                # 20 MB between two collections.
                gc.set_threshold(20_000, 50, 50)
                say("worker_started", deployment=self._services.deployment)
                await send({"type": "lifespan.startup.complete"})
            else:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._services.close()
                metrics.flush()
                say("worker_stopped")
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self) -> None:
        """Export the served deployment, and read the keys again when their file changes."""
        # Read the file at once: it may have changed since the constructor read it.
        file, loaded_mtime = self._options.keys, -1.0
        while True:
            metrics.deployment(self._services.deployment)
            metrics.flush()
            try:
                if file is not None and (mtime := file.stat().st_mtime) != loaded_mtime:
                    self._access.keyring = Keyring(file)
                    say("keys_loaded")
                    loaded_mtime = mtime
            except (OSError, SettingsError) as error:
                text = error.message if isinstance(error, PlaneError) else "the file does not exist"
                say("keys_failed", logging.ERROR, error=text)
                loaded_mtime = -1.0
            await asyncio.sleep(self._options.refresh_seconds)


def _ended(task: asyncio.Task[None]) -> None:
    """Stop a worker that can no longer notice deployments: it would serve old values."""
    if not task.cancelled() and (error := task.exception()) is not None:
        LOGGER.error("watch_failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
