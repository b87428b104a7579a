"""Redis and Valkey (6.2 or newer): the online store.

Knows keys, values and their write version; a write is kept only where no newer one is there (`redis.lua`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError
from controlplane.ports import StoreInfo, WriteCount

if TYPE_CHECKING:
    import pyarrow as pa
    from redis.connection import ConnectionPool

_INNER_CODE = re.compile(r" -([A-Z]+) ")  # servers before 7 wrap the error of a command that a script called
_GLOB = re.compile(rb"[*?\[\]\\^]")  # what SCAN's patterns give a meaning
_SCANNED = 1000  # keys that the server looks at in one go
_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")
_CLUSTER = ("MOVED", "ASK", "CROSSSLOT")
_PASSING = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY", "NOSCRIPT")


def connect(
    *,
    url: str,
    username: str | None = None,
    password: str | None = None,
    sentinels: Sequence[str] = (),
    timeout_seconds: float = 5.0,
    patience_seconds: float = 15.0,
    compare_and_set: bool = True,
    max_rows_per_second: float | None = None,
) -> RedisStore:
    """The store at `url`. Nothing is sent yet: the first call connects, and later ones connect again if need be.

    Args:
        url: `redis://host:port/database`, `rediss://...` for TLS, or `unix://path`.
        username: if the URL has none.
        password: if the URL has none.
        sentinels: `host:port` of each Redis Sentinel; the URL's host is then the name of the master that they watch.
        timeout_seconds: for connecting and for each answer.
        patience_seconds: for how long a write waits for a server that restarts, fails over or is busy.
        compare_and_set: keep an older value from replacing a newer one; False costs the server half as much, and is
            for stores that no two runs write to at a time.
        max_rows_per_second: of a write; as many as the server takes unless given.

    Raises:
        SettingsError: `url` is no such URL.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=3),
    }
    try:
        if sentinels:
            client = _watched(url, sentinels, options, {"username": username, "password": password})
        else:
            client = redis.Redis.from_url(url, username=username, password=password, **options)
    except ValueError:
        # Without the URL: it may hold a password.
        raise SettingsError(
            "the URL of the online store is not a Redis URL",
            hint="write redis://host:6379/0, rediss://host:6379/0 for TLS, or unix:///path/of/socket",
        ) from None
    return RedisStore(
        client,
        patience_seconds=patience_seconds,
        compare_and_set=compare_and_set,
        max_rows_per_second=max_rows_per_second,
    )


def _watched(
    url: str, sentinels: Sequence[str], options: Mapping[str, Any], user: Mapping[str, str | None]
) -> redis.Redis:
    """The master that sentinels name, asked again at each new connection."""
    given = {**user, **parse_url(url)}  # type: ignore[no-untyped-call]
    name, secure = given.pop("host", ""), given.pop("connection_class", None) is not None
    given.pop("port", None)
    places = [(host, int(port or 26379)) for host, _, port in (place.partition(":") for place in sentinels)]
    timeouts = {"socket_timeout": options["socket_timeout"], "socket_connect_timeout": options["socket_timeout"]}
    watchers = Sentinel(places, sentinel_kwargs=timeouts)  # type: ignore[no-untyped-call]
    client: redis.Redis = watchers.master_for(name, ssl=secure, **given, **options)  # type: ignore[no-untyped-call]
    return client


class RedisStore:
    """Implements `controlplane.ports.OnlineStore` over one pool of connections."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        patience_seconds: float = 15.0,
        compare_and_set: bool = True,
        max_rows_per_second: float | None = None,
    ) -> None:
        self._client = client
        self._patience, self._compare, self._rate = patience_seconds, compare_and_set, max_rows_per_second
        pool = client.connection_pool
        options = pool.connection_kwargs
        at = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        if isinstance(pool, SentinelConnectionPool):
            at = f"{pool.service_name} (Sentinel)"
        self._place = f"{at}/{options.get('db', 0)}"

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        """See `OnlineStore.write`; every reply is counted. After an error, what was written before it stays."""
        # lazy: readers need neither Arrow nor the tenth of a second that its import takes
        from connectors.redis_writer import COMPARE, REPLACE, BulkWriter

        writer = BulkWriter(
            _Single(self._client),
            COMPARE if self._compare else REPLACE,
            self.translated,
            patience_seconds=self._patience,
            rows_per_second=self._rate,
        )
        return writer.write(batches)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineStore.read`."""
        values: list[bytes | None] = self._call("MGET", *keys) if keys else []
        return values

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """See `OnlineStore.keys`."""
        pattern, cursor = _GLOB.sub(rb"\\\g<0>", prefix) + b"*", 0
        while True:
            cursor, found = self._call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
            if found:
                yield found
            if not cursor:
                return

    def remove(self, keys: Sequence[bytes]) -> int:
        """See `OnlineStore.remove`."""
        removed: int = self._call("UNLINK", *keys) if keys else 0
        return removed

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `OnlineStore.get_fields`."""
        fields: dict[bytes, bytes] = self._call("HGETALL", name)
        return fields

    def set_fields(self, name: bytes, fields: Mapping[bytes, bytes]) -> None:
        """See `OnlineStore.set_fields`."""
        if fields:
            self._call("HSET", name, *(part for field in fields.items() for part in field))

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`. All of it is in INFO: CONFIG is often forbidden where Redis is managed."""
        facts = self._call("INFO")
        product = "Valkey" if "valkey_version" in facts else "Redis"
        return StoreInfo(
            version=str(facts.get("valkey_version") or facts.get("redis_version", "")),
            eviction_policy=str(facts.get("maxmemory_policy", "")),
            used_memory=int(facts.get("used_memory", 0)),
            max_memory=int(facts.get("maxmemory", 0)),
            evicted_keys=int(facts.get("evicted_keys", 0)),
            details={
                "product": product,
                "place": self._place,
                "role": str(facts.get("role", "")),
                "mode": str(facts.get("server_mode") or facts.get("redis_mode", "")),
            },
        )

    def close(self) -> None:
        """See `OnlineStore.close`."""
        self._client.close()

    def _call(self, command: str, *arguments: Any) -> Any:  # noqa: ANN401 - each command has its own answer
        try:
            return self._client.execute_command(command, *arguments)  # type: ignore[no-untyped-call]
        except exceptions.RedisError as error:
            raise self.translated(error, command) from None

    def translated(self, error: exceptions.RedisError, doing: str) -> PlaneError:
        """A driver's error as one of ours."""
        # A server that doesn't know a command repeats its arguments, and AUTH's is the password.
        text = str(error).split(", with args beginning with", maxsplit=1)[0]
        message = f"the online store at {self._place}: {doing}: {text}"
        inner = _INNER_CODE.search(text)
        code = inner[1] if inner else error.status_code or text.split(" ", maxsplit=1)[0]
        # The driver counts refused passwords among lost connections, so these come first.
        if isinstance(error, exceptions.AuthenticationError) or code in _REFUSED:
            hint = "check the user, its password and its permissions (ACL) on the server"
        elif code == "OOM":
            hint = (
                "the server's memory is full: raise maxmemory, or remove versions and views that nobody reads; keep "
                "an eviction policy of noeviction or volatile-*, because the others drop values without an error"
            )
        elif code in _CLUSTER:
            hint = "this is one node of a Redis Cluster: give the URL of a single server or of a proxy"
        elif isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError) or code in _PASSING:
            return TransientError(message, hint="check that the server runs and can be reached, then try again")
        else:
            hint = ""
        return PermanentError(message, hint=hint)


class _Single:
    """Implements `connectors.redis_writer.Nodes` for one server."""

    one_slot = True

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def split(self, records: pa.RecordBatch) -> list[tuple[None, pa.RecordBatch]]:
        """All of them go to the one node."""
        return [(None, records)]

    def pool(self, _: object) -> ConnectionPool:
        """The client's own."""
        return self._client.connection_pool

    def refresh(self) -> None:
        """There is nothing to look for."""
