"""Redis and Valkey (6.2 or newer): the online store.

Knows keys, values and their write version; a write is kept only where no newer one is there
(`writer.lua`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from connectors.redis.sentinel import NoMaster, Sentinels, master_client
from connectors.redis.tls import driver_options, is_secure
from connectors.redis.url import check_url
from controlplane.base.ports import Rights, StoreInfo, WriteCount
from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa
    from redis.connection import ConnectionPool

# Servers before 7 wrap the error of a command that a script called.
_INNER_CODE = re.compile(r" -([A-Z]+) ")
_GLOB = re.compile(rb"[*?\[\]\\^]")  # what SCAN's patterns give a meaning
_SCANNED = 1000  # keys that the server looks at in one go
_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")
_CLUSTER = ("MOVED", "ASK", "CROSSSLOT")
_PASSING = (
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "NOSCRIPT",
)
_EXPIRIES = """
local time, found = redis.call('TIME'), {}
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  found[i] = left < 0 and -1 or time[1] * 1000 + math.floor(time[2] / 1000) + left
end
return found
"""  # servers before 7 have no PEXPIRETIME
_CHANGE = """
local absent, there = tonumber(ARGV[1]), tonumber(ARGV[2])
local first = 3 + absent
local set = first + 2 * there
for at = 3, first - 1 do
  if redis.call('HEXISTS', KEYS[1], ARGV[at]) == 1 then return {0} end
end
for at = first, set - 1, 2 do
  if redis.call('HGET', KEYS[1], ARGV[at]) ~= ARGV[at + 1] then return {0} end
end
redis.call('HSET', KEYS[1], unpack(ARGV, set))
return {1}
"""  # fields that must not be there, those that must hold a value, and those to set
_LONGEST = 1e9  # the platform's clock takes no number of seconds that is much greater
_Found = TypeVar("_Found")


def connect(
    *,
    url: str,
    username: str | None = None,
    password: str | None = None,
    sentinels: Sequence[str] = (),
    sentinel_username: str | None = None,
    sentinel_password: str | None = None,
    sentinel_tls: bool = False,
    cluster: bool = False,
    ca_certificate: str | None = None,
    certificate: str | None = None,
    private_key_file: str | None = None,
    timeout_seconds: float = 5.0,
    patience_seconds: float = 15.0,
    compare_and_set: bool = True,
    max_rows_per_second: float | None = None,
) -> RedisStore:
    """The store at `url`.

    Nothing is sent yet: the first call connects, and later ones connect again if need be.

    Args:
        url: `redis://host:port/database`, `rediss://...` for TLS, or `unix://path`.
        username: if the URL has none.
        password: if the URL has none.
        sentinels: `host:port` of each Redis Sentinel; the URL's host is then the name of the master
            that they watch.
        sentinel_username: of the sentinels themselves, if they ask for one; theirs are not the
            master's.
        sentinel_password: likewise.
        sentinel_tls: whether the sentinels are asked over TLS, with the files below; the URL says
            it of the master.
        cluster: the URL is that of a node of a Redis Cluster, which tells of the others.
        ca_certificate: a PEM file of those who sign the server's certificate, beside those that the
            machine trusts.
        certificate: a PEM file, if the server asks its clients for one.
        private_key_file: of `certificate`, unless it is in the same file.
        timeout_seconds: for connecting and for each answer.
        patience_seconds: for how long a write waits for a server that restarts, fails over or is
            busy.
        compare_and_set: keep an older value from replacing a newer one; False costs the server half
            as much, and is for stores that no two runs write to at a time.
        max_rows_per_second: of a write; as many as the server takes unless given.

    Raises:
        SettingsError: `url` is not such a URL or has options other than `db`, options contradict
            each other, or a file is not there.
    """
    check_url(url, inspect.signature(connect).parameters)
    for name, value, least in (
        ("timeout_seconds", timeout_seconds, 0.001),
        ("patience_seconds", patience_seconds, 0.0),
        ("max_rows_per_second", max_rows_per_second, 1.0),
    ):
        if value is not None and not least <= value <= _LONGEST:
            text = f"the online store's {name} is {value:g}"
            raise SettingsError(text, hint=f"give a number from {least:g} to {_LONGEST:g}")
    if cluster and sentinels:
        raise SettingsError(
            "the online store has both `cluster` and `sentinels`", hint="leave one of them out"
        )
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=3)
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": retry,
    }
    files = {
        "ca_certificate": ca_certificate,
        "certificate": certificate,
        "private_key_file": private_key_file,
    }
    secured = driver_options(url, files, of_sentinels=sentinel_tls)
    options |= secured if is_secure(url) else {}
    watchers = Sentinels(
        sentinels, sentinel_username, sentinel_password, sentinel_tls, secured, timeout_seconds
    )
    if watchers.given and not sentinels:
        text = f"the online store has `{watchers.given[0]}`, but no `sentinels`"
        raise SettingsError(text, hint="give the addresses of the sentinels, or leave it out")
    user = {"username": username, "password": password}
    servers: Servers
    try:
        if cluster:
            # lazy: the driver's part for clusters takes a while to import
            from connectors.redis.cluster import Cluster

            servers = Cluster(url, user | options)
        elif sentinels:
            servers = Single(master_client(url, user | options, watchers))
        else:
            servers = Single(redis.Redis.from_url(url, **user, **options))
    except ValueError:
        # Without the URL: it may hold a password.
        raise SettingsError(
            "the URL of the online store is not a Redis URL",
            hint=(
                "write redis://host:6379/0, rediss://host:6379/0 for TLS, or unix:///path/of/socket"
                " (the last, and a database other than 0, are not for a cluster)"
            ),
        ) from None
    return RedisStore(
        servers,
        patience_seconds=patience_seconds,
        compare_and_set=compare_and_set,
        max_rows_per_second=max_rows_per_second,
    )


class Servers(Protocol):
    """The servers of one store; `place` is how errors call them. They raise the driver's errors.

    It is also what `connectors.redis.writer.Nodes` asks for.
    """

    place: str
    one_slot: bool

    def call(self, command: str, key: bytes, *arguments: Any) -> Any:  # noqa: ANN401 - each command has its own answer
        """A command of one key."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of many keys."""

    def ask(self, script: str, keys: Sequence[bytes], *arguments: Any) -> list[int]:  # noqa: ANN401 - as Redis takes them
        """What a script answers for each of many keys."""

    def remove(self, keys: Sequence[bytes]) -> int:
        """Remove many keys; how many there were."""

    def masters(self) -> list[redis.Redis]:
        """A client of each server that has keys of its own."""

    def close(self) -> None:
        """Give the connections back."""

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """See `Nodes.split`."""

    def pool(self, node: str) -> ConnectionPool:
        """See `Nodes.pool`."""

    def refresh(self) -> None:
        """See `Nodes.refresh`."""


class RedisStore:
    """Implements `controlplane.base.ports.OnlineStore`."""

    def __init__(
        self,
        servers: Servers,
        *,
        patience_seconds: float = 15.0,
        compare_and_set: bool = True,
        max_rows_per_second: float | None = None,
    ) -> None:
        self._servers = servers
        self._patience, self._compare, self._rate = (
            patience_seconds,
            compare_and_set,
            max_rows_per_second,
        )

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        """See `OnlineStore.write`; every reply is counted.

        After an error, what was written before it stays.
        """
        # lazy: readers need neither Arrow nor the tenth of a second that its import takes
        from connectors.redis.writer import COMPARE, REPLACE, BulkWriter

        writer = BulkWriter(
            self._servers,
            COMPARE if self._compare else REPLACE,
            self.translated,
            patience_seconds=self._patience,
            rows_per_second=self._rate,
        )
        return writer.write(batches)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineStore.read`."""
        return self._told("MGET", self._servers.read, keys) if keys else []

    def expiries(self, keys: Sequence[bytes]) -> list[int | None]:
        """See `OnlineStore.expiries`."""
        found = self._told("EVAL", self._servers.ask, _EXPIRIES, keys) if keys else []
        return [None if instant < 0 else instant for instant in found]

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """See `OnlineStore.keys`. While a cluster's slots move, some keys may be missed."""
        pattern = _GLOB.sub(rb"\\\g<0>", prefix) + b"*"
        for master in self._told("SCAN", self._servers.masters):
            cursor = -1
            while cursor:
                args = ("SCAN", max(cursor, 0), "MATCH", pattern, "COUNT", _SCANNED)
                cursor, found = self._told("SCAN", master.execute_command, *args)
                if found:
                    yield found

    def remove(self, keys: Sequence[bytes]) -> int:
        """See `OnlineStore.remove`."""
        return self._told("UNLINK", self._servers.remove, keys) if keys else 0

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `OnlineStore.get_fields`."""
        fields: dict[bytes, bytes] = self._told("HGETALL", self._servers.call, "HGETALL", name)
        return fields

    def set_fields(
        self,
        name: bytes,
        fields: Mapping[bytes, bytes],
        expected: Mapping[bytes, bytes | None] | None = None,
    ) -> bool:
        """See `OnlineStore.set_fields`."""
        if not expected:
            if fields:
                self._told(
                    "HSET", self._servers.call, "HSET", name, *chain.from_iterable(fields.items())
                )
            return True
        there = {field: value for field, value in expected.items() if value is not None}
        absent = [field for field, value in expected.items() if value is None]
        parts = [*chain.from_iterable(there.items()), *chain.from_iterable(fields.items())]
        [changed] = self._told(
            "EVAL", self._servers.ask, _CHANGE, [name], len(absent), len(there), *absent, *parts
        )
        return bool(changed)

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`; of a cluster the sums, and the worst policy of its masters.

        All of it is in INFO: CONFIG is often forbidden where Redis is managed.
        """
        facts = [
            self._told("INFO", one.execute_command, "INFO")
            for one in self._told("INFO", self._servers.masters)
        ]
        first = facts[0]
        policies = {str(each.get("maxmemory_policy", "")) for each in facts}
        limits = [int(each.get("maxmemory", 0)) for each in facts]
        return StoreInfo(
            version=str(first.get("valkey_version") or first.get("redis_version", "")),
            eviction_policy=min(
                policies, key=lambda policy: (not policy.startswith("allkeys-"), policy)
            ),
            used_memory=sum(int(each.get("used_memory", 0)) for each in facts),
            max_memory=sum(limits) if all(limits) else 0,
            epoch=" ".join(sorted(str(each.get("master_replid", "")) for each in facts)),
            spread=not self._servers.one_slot,
            evicted_keys=sum(int(each.get("evicted_keys", 0)) for each in facts),
            details={
                "product": "Valkey" if "valkey_version" in first else "Redis",
                "place": self._servers.place,
                "role": str(first.get("role", "")),
                "mode": str(first.get("server_mode") or first.get("redis_mode", "")),
            },
        )

    def rights(self, prefix: bytes) -> Rights:
        """See `RightsProbe.rights`."""
        # lazy: only `plane doctor` asks
        from connectors.redis.rights import rights

        return self._told("asking for rights", lambda: rights(self._servers.masters(), prefix))

    def close(self) -> None:
        """See `OnlineStore.close`."""
        self._servers.close()

    def _told(self, doing: str, work: Callable[..., _Found], *arguments: Any) -> _Found:  # noqa: ANN401 - of any kind
        """Work with the servers, whose errors become ours."""
        try:
            return work(*arguments)
        except exceptions.RedisError as error:
            raise self.translated(error, doing) from None

    @property
    def place(self) -> str:
        """How errors call the store."""
        return self._servers.place

    def translated(self, error: exceptions.RedisError, doing: str) -> PlaneError:
        """A driver's error as one of ours."""
        # A server that doesn't know a command repeats its arguments, and AUTH's is the password.
        text = str(error).split(", with args beginning with", maxsplit=1)[0]
        message = f"the online store at {self._servers.place}: {doing}: {text}"
        inner = _INNER_CODE.search(text)
        code = inner[1] if inner else error.status_code or text.split(" ", maxsplit=1)[0]
        if isinstance(error, NoMaster):
            return (PermanentError if error.permanent else TransientError)(message, hint=error.hint)
        # The driver counts refused passwords among lost connections, so these come first.
        if isinstance(error, exceptions.AuthenticationError) or code in _REFUSED:
            hint = (
                "check the user and its password; `plane doctor` names the permissions (ACL) that"
                " it lacks"
            )
        elif "certificate" in text and isinstance(error, exceptions.ConnectionError):
            hint = (
                "TLS: `ca_certificate` is a file of those who sign the server's certificate, which"
                " must name the URL's host; `certificate` and `private_key_file` are for a server"
                " that asks its clients for one"
            )
        elif code == "OOM":
            hint = (
                "the server's memory is full: raise maxmemory, or remove versions and views that"
                " nobody reads; keep an eviction policy of noeviction or volatile-*, because the"
                " others drop values without an error"
            )
        elif code in _CLUSTER and self._servers.one_slot:
            hint = "this is one node of a Redis Cluster: set `cluster = true`"
        elif "cluster support disabled" in text:
            hint = "this is no node of a Redis Cluster: leave `cluster` out"
        elif (
            isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError)
            or code in _PASSING + _CLUSTER
        ):
            hint = "check that the server runs and can be reached, then try again"
            if "No space left on device" in text:  # MISCONF: it can't write its append-only file
                hint = "free some space on the server's disk"
            return TransientError(message, hint=hint)
        else:
            hint = ""
        return PermanentError(message, hint=hint)


class Single:
    """Implements `Servers` for one server, which may change place behind sentinels."""

    one_slot = True

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        pool = client.connection_pool
        options = pool.connection_kwargs
        at = (
            options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        )
        if isinstance(pool, SentinelConnectionPool):
            at = f"{pool.service_name} (Sentinel)"
        self.place = f"{at}/{options.get('db', 0)}"

    def call(self, command: str, key: bytes, *arguments: Any) -> Any:  # noqa: ANN401 - each command has its own answer
        """See `Servers.call`."""
        return self._client.execute_command(command, key, *arguments)  # type: ignore[no-untyped-call]

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """All at once."""
        values: list[bytes | None] = self._client.execute_command("MGET", *keys)  # type: ignore[no-untyped-call]
        return values

    def ask(self, script: str, keys: Sequence[bytes], *arguments: Any) -> list[int]:  # noqa: ANN401 - as Redis takes them
        """All at once."""
        words = ("EVAL", script, len(keys), *keys, *arguments)
        found: list[int] = self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        return found

    def remove(self, keys: Sequence[bytes]) -> int:
        """All at once."""
        removed: int = self._client.execute_command("UNLINK", *keys)  # type: ignore[no-untyped-call]
        return removed

    def masters(self) -> list[redis.Redis]:
        """The one."""
        return [self._client]

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """All of them go to the one node."""
        return [("", records)]

    def pool(self, _: str) -> ConnectionPool:
        """The client's own."""
        return self._client.connection_pool

    def refresh(self) -> None:
        """There is nothing to look for."""
