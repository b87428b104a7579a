"""The ASGI application.

Hot routes are answered here without a framework: a request costs tens of microseconds.
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
from controlplane.server.deadlines import Deadlines
from controlplane.server.health import StoreHealth
from controlplane.server.hosts import Hosts
from controlplane.server.keys import Key, Keyring
from controlplane.server.logs import LOGGER, say
from controlplane.server.refused import Refused
from controlplane.server.services import Served, Services
from controlplane.server.shapes import Call, Feast, NamedMap, Shape, Tecton, TectonBatch

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
_RETRY = ((b"retry-after", b"1"),)
# for the store to answer; those who ask whether a server is ready often wait a second
_READY_SECONDS = 0.5
_TRANSIENT = "the online store can't be reached now"


@dataclass(frozen=True)
class Options:
    """How the server is run.

    Args:
        directory: the project's folder.
        environment: its name.
        keys: the file of API keys; None: whoever can reach the server may read everything.
        budget_ms: how long the store may take to answer a request whose body is there.
        max_body: bytes.
        max_entities: of one request.
        refresh_seconds: how long it may take to see a deployment, another version that serves, or
            changed keys.
        access_log: a line for each request.
        upload_seconds: how long the body of a request may take to come.
        hosts: names that the server answers to where it has no keys, next to loopback's and its
            address.
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
    """The application of one worker."""
    return App(options)


class App:
    """The application."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._services = Services(options.directory, options.environment, options.refresh_seconds)
        self._keyring = None if options.keys is None else Keyring(options.keys)
        self._hosts = Hosts(options.hosts)
        self._deadlines = Deadlines()
        self._budget_seconds = options.budget_ms / 1000
        self._health = StoreHealth()
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        started = perf_counter()
        path: str = scope["path"]
        name = path[len(SERVICES) :] if path.startswith(SERVICES) else ""
        shape = OURS if name else SHAPES.get(path)
        if shape is None:
            await self._beside(path, scope, send)
            return
        service = key = ""
        count = 0
        headers: Headers = [_JSON]
        try:
            allowed = self._key(scope)
            key = allowed.name if allowed else ""
            if scope["method"] == "GET" and shape is OURS:
                body = self._description(self._allowed(name, allowed))
                service, status = name, 200
            elif scope["method"] != "POST":
                allow = b"GET, POST" if shape is OURS else b"POST"
                raise Refused(405, "use POST", headers=((b"allow", allow),))
            else:
                sent = None
                deadline = self._deadlines.start(started + self._options.upload_seconds)
                try:
                    sent = await self._body(scope, receive)
                    if sent is None:
                        return
                    deadline.at = perf_counter() + self._budget_seconds
                    call = shape.parse(sent, name, self._options.max_entities)
                    served = (
                        self._offering(call, allowed)
                        if call.features
                        else self._allowed(call.service, allowed)
                    )
                    service, count = served.name, len(call.entities)
                    typed = served.inputs.typed(call.entities, call.place)
                    lookup = served.reader.lookup(typed, served.inputs.requests(typed))
                    answers = await self._services.store.read(lookup.keys)
                except asyncio.CancelledError:
                    if deadline.cancelled():
                        raise self._late(came=sent is not None) from None
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

    def _late(self, *, came: bool) -> Refused:
        """What is answered when a body, or then the store, took too long."""
        if not came:
            text = f"the body did not come within {self._options.upload_seconds:g} s"
            return Refused(408, text, hint="send it again", headers=_CLOSE)
        text = f"the online store did not answer within {self._options.budget_ms} ms"
        return Refused(504, text, hint="ask again", headers=_RETRY)

    def _key(self, scope: Scope) -> Key | None:
        """The key that a request bears, where keys are asked for; else the request must know the
        server's name."""
        if self._keyring is None:
            self._check_host(scope)
            return None
        for header, value in scope["headers"]:
            if header == b"authorization" and (key := self._keyring.find(value)) is not None:
                return key
        hint = "send a key in the header `Authorization: Bearer ...`"
        raise Refused(
            401, "there is no valid API key", hint=hint, headers=((b"www-authenticate", b"Bearer"),)
        )

    def _check_host(self, scope: Scope) -> None:
        """Refuse a request for another name. One without a name is no browser's, and is
        answered."""
        server = scope.get("server")
        address = server[0] if server else ""
        for header, value in scope["headers"]:
            if header == b"host" and not self._hosts.serve(value, address):
                text = "the server does not answer to the name in the header `Host`"
                hint = (
                    "ask by its address, start it with --allow-host NAME, or have it ask for API"
                    " keys (--keys)"
                )
                raise Refused(421, text, hint=hint)

    def _allowed(self, name: str, key: Key | None) -> Served:
        """The feature service of that name, if the key may read it."""
        self._loaded()
        served = self._services.served.get(name)
        if key is not None and not key.allows(name):
            raise Refused(
                403, "this API key may not read this feature service", hint="ask for a key that may"
            )
        if served is None:
            known = [one.name for one in self._readable(key)]
            hint = f"choose from: {', '.join(known)}" if known else ""
            raise Refused(404, "there is no such feature service online", hint=hint)
        return served

    def _offering(self, call: Call, key: Key | None) -> Served:
        """A feature service with all the features that are wanted, which asks for no more than is
        given."""
        found = [one for one in self._readable(key) if one.types.keys() >= set(call.features)]
        if not found:
            hint = "ask for a feature service, or declare one that has them"
            text = "no feature service that is online has all of these features"
            raise Refused(404, text, field="features", hint=hint)
        given = call.entities[0].keys() if call.entities else ()
        return min(found, key=lambda one: (len(one.inputs.keys.keys() - given), len(one.types)))

    def _loaded(self) -> None:
        if not self._services.current:
            raise Refused(503, _TRANSIENT, hint="ask again in a second", headers=_RETRY)

    def _readable(self, key: Key | None) -> list[Served]:
        """The feature services that a key may read."""
        self._loaded()
        return [
            one for one in self._services.served.values() if key is None or key.allows(one.name)
        ]

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """What was sent; None if whoever sent it has gone."""
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
        """What is answered to an error; what the store says stays in the log."""
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
                return Refused(503, _TRANSIENT, hint="ask again in a second", headers=_RETRY)
            text, hint = "the online store's answer is of no use", "the server's log says why"
            return Refused(503, text, hint=hint, headers=_RETRY)
        return Refused(400, error.message, hint=error.hint)

    async def _beside(self, path: str, scope: Scope, send: Send) -> None:
        """Everything that is not a read."""
        status, kind = 200, b"application/json"
        headers: Headers = []
        try:
            if scope["method"] not in {"GET", "HEAD"}:
                known = path in {
                    "/health/live",
                    "/health/ready",
                    "/metrics",
                    "/openapi.json",
                    "/docs",
                    "/v1/services",
                }
                if known:
                    raise Refused(
                        405, "this is asked for by GET", headers=((b"allow", b"GET, HEAD"),)
                    )
                raise Refused(404, "there is nothing here", hint="see /docs")
            if path == "/health/live":
                body = b'{"status":"live"}'
            elif path == "/health/ready":
                body = msgspec.json.encode(await self._ready())
            elif path == "/metrics":
                key = self._key(scope)
                body, kind = metrics.text(key.allows if key else None), metrics.CONTENT_TYPE
            elif path == "/v1/services":
                body = msgspec.json.encode(
                    {"services": [one.name for one in self._readable(self._key(scope))]}
                )
            elif path == "/openapi.json":
                body = msgspec.json.encode(self._openapi(scope))
            elif path == "/docs":
                body, kind = openapi.page(self._openapi(scope)), b"text/html; charset=utf-8"
            else:
                raise Refused(404, "there is nothing here", hint="see /docs")
        except PlaneError as error:
            refused = self._refused(error)
            body, status = OURS.refuse(refused), refused.status
            headers += refused.headers
        headers += [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    async def _ready(self) -> dict[str, Any]:
        """What the store's servers say. Requests are answered as long as one of several does."""
        served = next(iter(self._services.served.values()), None)
        if served is None and self._services.current:
            raise Refused(503, "no feature service is online", hint="deploy one", headers=_RETRY)
        if served is None:
            raise Refused(503, _TRANSIENT, headers=_RETRY)
        seconds = min(self._budget_seconds, _READY_SECONDS)
        answering = await self._services.store.answering(seconds)
        silent = [place for place, answers in answering.items() if not answers]
        if len(silent) == len(answering):
            error = f"the online store does not answer within {seconds:g} s: {', '.join(silent)}"
            raise Refused(503, error, hint="ask again in a second", headers=_RETRY)
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
        readable = self._readable(self._key(scope))
        keys, most = self._keyring is not None, self._options.max_entities
        return openapi.document(self._services.project, readable, keys=keys, max_entities=most)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and end with the server."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._services.refresh()
                except TransientError as error:  # requests are refused until the store is there
                    say("store_failed", logging.ERROR, error=error.message)
                except PlaneError as error:
                    say("start_failed", logging.ERROR, error=error.message)
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                watches = (self._services.watch(), self._watch())
                self._tasks = [asyncio.get_running_loop().create_task(work) for work in watches]
                for task in self._tasks:
                    task.add_done_callback(_ended)
                # What was loaded lives on: looking through it for garbage took more than half of a
                # request's time.
                gc.collect()
                gc.freeze()
                # Refused requests die in cycles; at a threshold of 100,000 they held 20 MB between
                # two collections.
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
        """Tell which deployment is served, and read the keys again when their file changes."""
        file, seen = self._options.keys, -1.0  # it may have changed since it was read
        while True:
            metrics.deployment(self._services.deployment)
            metrics.flush()
            try:
                if file is not None and (changed := file.stat().st_mtime) != seen:
                    self._keyring = Keyring(file)
                    say("keys_loaded")
                    seen = changed
            except (OSError, SettingsError) as error:
                say(
                    "keys_failed",
                    logging.ERROR,
                    error=error.message if isinstance(error, PlaneError) else "not there",
                )
                seen = -1.0
            await asyncio.sleep(self._options.refresh_seconds)


def _ended(task: asyncio.Task[None]) -> None:
    """A worker that no longer sees what is deployed must not go on as if it did."""
    if not task.cancelled() and (error := task.exception()) is not None:
        LOGGER.error("watch_failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
