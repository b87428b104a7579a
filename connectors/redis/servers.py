"""The servers that hold one store's keys: their protocol, and its implementation for one server.

`connectors.redis.cluster` implements it for the masters of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import redis
from redis.sentinel import SentinelConnectionPool

if TYPE_CHECKING:
    import pyarrow as pa
    from redis.connection import ConnectionPool

Argument: TypeAlias = Any
"""An argument of a command: bytes, a text or a number."""
Reply: TypeAlias = Any
"""The reply to a command: each command has a type of its own."""


class Servers(Protocol):
    """The servers of one store. Their methods raise the driver's errors.

    `connectors.redis.writer.Nodes` is the part of it that a bulk write needs.

    Attributes:
        address: what error messages call the servers.
        one_slot: whether a command may name any keys together, because one server has them all.
    """

    address: str
    one_slot: bool

    def call(self, command: str, key: bytes, *arguments: Argument) -> Reply:
        """Run a command of one key."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the values of many keys, in their order."""

    def ask(self, script: str, keys: Sequence[bytes], *arguments: Argument) -> list[int]:
        """Run a script that returns a number for each of its keys."""

    def remove(self, keys: Sequence[bytes]) -> int:
        """Remove many keys; returns how many existed."""

    def masters(self) -> list[redis.Redis]:
        """Return a client of each server that has keys of its own."""

    def close(self) -> None:
        """Close all connections."""

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """See `Nodes.split`."""

    def pool(self, node: str) -> ConnectionPool:
        """See `Nodes.pool`."""

    def refresh(self) -> None:
        """See `Nodes.refresh`."""


class Single:
    """Implements `Servers` for one server; behind sentinels, a failover may replace it."""

    one_slot = True

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        pool = client.connection_pool
        options = pool.connection_kwargs
        if isinstance(pool, SentinelConnectionPool):
            server = f"{pool.service_name} (Sentinel)"
        else:
            host, port = options.get("host", "localhost"), options.get("port", 6379)
            server = options.get("path") or f"{host}:{port}"
        self.address = f"{server}/{options.get('db', 0)}"

    def call(self, command: str, key: bytes, *arguments: Argument) -> Reply:
        """See `Servers.call`."""
        return self._execute(command, key, *arguments)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Servers.read`."""
        values: list[bytes | None] = self._execute("MGET", *keys)
        return values

    def ask(self, script: str, keys: Sequence[bytes], *arguments: Argument) -> list[int]:
        """See `Servers.ask`."""
        numbers: list[int] = self._execute("EVAL", script, len(keys), *keys, *arguments)
        return numbers

    def remove(self, keys: Sequence[bytes]) -> int:
        """See `Servers.remove`."""
        removed: int = self._execute("UNLINK", *keys)
        return removed

    def masters(self) -> list[redis.Redis]:
        """See `Servers.masters`."""
        return [self._client]

    def close(self) -> None:
        """See `Servers.close`."""
        self._client.close()

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """Return all records for the only node."""
        return [("", records)]

    def pool(self, _: str) -> ConnectionPool:
        """Return the client's own connections."""
        return self._client.connection_pool

    def refresh(self) -> None:
        """Do nothing: sentinels are asked for the master at each new connection."""

    def _execute(self, *words: Argument) -> Reply:
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]
