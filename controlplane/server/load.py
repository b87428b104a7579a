"""A load test of a running server: some connections, each with one request at a time."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from controlplane.errors import PlaneError, TransientError

_LENGTH = b"content-length:"


class Measured(NamedTuple):
    """The result of a load test.

    Args:
        seconds: the duration of the test.
        milliseconds: the duration of each request, in ascending order.
        codes: the number of responses by status.
    """

    seconds: float
    milliseconds: list[float]
    codes: Counter[int]

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the milliseconds that this share of the requests took at most."""
        count = len(self.milliseconds)
        return self.milliseconds[min(count - 1, int(share * count))]

    def histogram(self) -> dict[float, int]:
        """Return the number of requests for each limit in milliseconds, from the limit below."""
        limits = [base * 10**power for power in range(-2, 4) for base in (1, 2, 5)]
        shown = [limit for limit in limits if limit >= self.milliseconds[0]]
        counts: dict[float, int] = {}
        start = 0
        for limit in shown:
            end = bisect_right(self.milliseconds, limit)
            counts[round(limit, 2)] = end - start
            start = end
            if end == len(self.milliseconds):
                break
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, for programs."""
        shares = {
            f"p{round(share * 100)}_ms": round(self.percentile(share), 3)
            for share in (0.5, 0.9, 0.99)
        }
        return {
            "requests": len(self.milliseconds),
            "seconds": round(self.seconds, 3),
            "requests_per_second": round(self.per_second, 1),
            **shares,
            "codes": {str(code): count for code, count in sorted(self.codes.items())},
        }


def measure(
    url: str,
    service: str,
    entities: Sequence[dict[str, Any]],
    *,
    batch: int = 1,
    concurrency: int = 16,
    seconds: float = 10.0,
    key: str | None = None,
    patience: float = 10.0,
) -> Measured:
    """Request features from a server, each time of other entities.

    Args:
        url: the server's URL.
        service: the feature service.
        entities: keys and request fields, as JSON has them.
        batch: the number of entities in a request.
        concurrency: the number of connections, each with one request at a time.
        seconds: the duration of the test.
        key: an API key.
        patience: seconds after the end within which the last responses must arrive.

    Raises:
        TransientError: the server can't be reached, closes connections, or does not answer.
        PlaneError: the URL is not one for HTTP, or there are no entities.
    """
    if not entities:
        raise PlaneError(
            "there are no entities to request",
            hint="give a JSON list of objects, each with the keys",
        )
    chance = random.Random(1)  # noqa: S311 - nothing here is secret
    bodies = (
        msgspec.json.encode({"entities": chance.choices(entities, k=batch)})
        for _ in range(min(1000, max(1, 100_000 // batch)))
    )
    return post(f"{url}/v1/services/{service}", bodies, concurrency, seconds, key, patience)


def post(
    url: str,
    bodies: Iterable[bytes],
    concurrency: int,
    seconds: float,
    key: str | None = None,
    patience: float = 10.0,
) -> Measured:
    """Send bodies in JSON to one URL, over and over; see `measure` for arguments and errors."""
    host, port = _address(url)
    heads = [
        f"POST {urlsplit(url).path} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Content-Type: application/json",
    ]
    heads += [f"Authorization: Bearer {key}"] if key else []
    requests = [
        "\r\n".join([*heads, f"Content-Length: {len(body)}", "", ""]).encode() + body
        for body in bodies
    ]
    try:
        return asyncio.run(_measure(host, port, requests, concurrency, seconds, patience))
    except TimeoutError:
        text = f"the server at {host}:{port} does not answer within {patience:g} s"
        raise TransientError(text, hint="look at its log") from None
    except OSError as error:
        text = (
            f"the server at {host}:{port} can't be reached:"
            f" {error.strerror or 'it closed the connection'}"
        )
        raise TransientError(text, hint="start it with `plane serve`") from None


def _address(url: str) -> tuple[str, int]:
    """Return the host and the port of a URL."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname:
            return parts.hostname, parts.port or 80
    except ValueError:
        pass  # for example, the port is not a number
    raise PlaneError(f"{url} is not the URL of a server", hint="write http://host:port")


async def _measure(
    host: str,
    port: int,
    requests: Sequence[bytes],
    concurrency: int,
    seconds: float,
    patience: float,
) -> Measured:
    measured = Measured(0.0, [], Counter())
    clients = [_Client(requests, number, measured) for number in range(concurrency)]
    started = perf_counter()
    ends = started + seconds
    try:
        async with asyncio.timeout(seconds + patience):
            for client in clients:
                client.ends = ends
                await client.connect(host, port)
            await asyncio.gather(*(client.done for client in clients))
    finally:
        for client in clients:
            client.close()
        await asyncio.sleep(0)  # sockets are closed in the loop's next turn
    measured.milliseconds.sort()
    return measured._replace(seconds=perf_counter() - started)


class _Client(asyncio.Protocol):
    """One connection, which sends the next request after each response."""

    def __init__(self, requests: Sequence[bytes], first: int, measured: Measured) -> None:
        self._requests, self._next, self._measured = requests, first % len(requests), measured
        self._received = b""
        self._transport: Any = None
        self.ends = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, host: str, port: int) -> None:
        """Open the connection."""
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport
        self._ask()

    def close(self) -> None:
        """Close the connection, if it is open."""
        self.done.cancel()
        if self._transport is not None:
            self._transport.close()

    def _ask(self) -> None:
        self._next = (self._next + 1) % len(self._requests)
        self._asked = perf_counter()
        self._transport.write(self._requests[self._next])

    def data_received(self, data: bytes) -> None:
        """Note a response when all of it has arrived."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.lower().split(b"\r\n")
        try:
            code = int(head[9:12])
            length = next(
                (int(line[len(_LENGTH) :]) for line in lines if line.startswith(_LENGTH)), 0
            )
        except ValueError:
            hint = "give the URL that `plane serve` shows"
            self.done.set_exception(PlaneError("the server does not speak HTTP", hint=hint))
            self._transport.abort()
            return
        if len(body) < length:
            return
        now = perf_counter()
        self._received = b""
        self._measured.milliseconds.append((now - self._asked) * 1000)
        self._measured.codes[code] += 1
        if now < self.ends:
            self._ask()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the wait for this connection's end."""
        if not self.done.done():
            self.done.set_exception(exc if isinstance(exc, OSError) else ConnectionResetError())
