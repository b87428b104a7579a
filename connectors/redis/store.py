"""Redis and Valkey (6.2 or newer): the online store.

A write is kept only where the key does not hold a newer write version (`writer.lua`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from connectors.redis.errors import translated
from connectors.redis.rights import rights
from connectors.redis.sentinel import Sentinels, master_client
from connectors.redis.servers import Argument, Servers, Single
from connectors.redis.tls import driver_options, is_secure
from connectors.redis.url import check_url
from controlplane.base.ports import Rights, StoreInfo, WriteCount
from controlplane.errors import PlaneError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

_GLOB = re.compile(rb"[*?\[\]\\^]")  # characters with a meaning in SCAN's patterns
_SCANNED = 1000  # keys that the server looks at in one go
# Servers before 7 have no PEXPIRETIME.
_EXPIRIES = """
local time, expiries = redis.call('TIME'), {}
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  expiries[i] = left < 0 and -1 or time[1] * 1000 + math.floor(time[2] / 1000) + left
end
return expiries
"""
# A script rather than WATCH and MULTI, which need a connection of their own and a retry. ARGV: the
# numbers of absent and present fields; the absent fields; the present ones, each with the value
# that it must hold; the fields to set, each with its value.
_CHANGE = """
local absent, present = tonumber(ARGV[1]), tonumber(ARGV[2])
local first = 3 + absent
local set = first + 2 * present
for at = 3, first - 1 do
  if redis.call('HEXISTS', KEYS[1], ARGV[at]) == 1 then return {0} end
end
for at = first, set - 1, 2 do
  if redis.call('HGET', KEYS[1], ARGV[at]) ~= ARGV[at + 1] then return {0} end
end
redis.call('HSET', KEYS[1], unpack(ARGV, set))
return {1}
"""
_LONGEST = 1e9  # seconds; the platform's clock overflows not far above
_Result = TypeVar("_Result")


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
    """Open the store at `url`.

    Nothing is sent yet: the first call connects, and later calls connect again after a lost
    connection.

    Args:
        url: `redis://host:port/database`, `rediss://...` for TLS, or `unix://path`.
        username: the user, if the URL has none.
        password: the password, if the URL has none.
        sentinels: `host:port` of each Redis Sentinel; the URL's host is then the name of the master
            that they watch.
        sentinel_username: the user at the sentinels themselves, if they ask for one; the master's
            user is not used there.
        sentinel_password: the password at the sentinels themselves.
        sentinel_tls: whether to ask the sentinels over TLS, with the files below; the URL's scheme
            decides it for the master.
        cluster: whether the URL is that of a node of a Redis Cluster, which names the other nodes.
        ca_certificate: a PEM file of authorities who sign the server's certificate, in addition to
            those that the machine trusts.
        certificate: a PEM file, if the server asks its clients for one.
        private_key_file: the key of `certificate`, unless it is in the same file.
        timeout_seconds: the limit for connecting and for each reply.
        patience_seconds: for how long a write waits for a server that restarts, fails over or is
            busy.
        compare_and_set: keep an older value from replacing a newer one; False costs the server half
            as much, and is for stores that no two runs write to at a time.
        max_rows_per_second: the limit for a write (default: as many as the server takes).

    Raises:
        SettingsError: `url` is not such a URL or has options other than `db`, options contradict
            each other, or a file does not exist.
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
    if watchers.set_options and not sentinels:
        text = f"the online store has `{watchers.set_options[0]}`, but no `sentinels`"
        raise SettingsError(text, hint="give the addresses of the sentinels, or leave it out")
    user = {"username": username, "password": password}
    servers: Servers
    try:
        if cluster:
            # lazy: only clusters need the driver's cluster client, which takes a while to import
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
        self._patience = patience_seconds
        self._compare = compare_and_set
        self._rate = max_rows_per_second

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        """See `OnlineStore.write`. After an error, the records written before it stay."""
        # lazy: readers need neither Arrow nor the tenth of a second that its import takes
        from connectors.redis.commands import COMPARE, REPLACE

        # lazy: as above
        from connectors.redis.writer import BulkWriter

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
        return self._attempt("MGET", self._servers.read, keys) if keys else []

    def expiries(self, keys: Sequence[bytes]) -> list[int | None]:
        """See `OnlineStore.expiries`."""
        instants = self._attempt("EVAL", self._servers.ask, _EXPIRIES, keys) if keys else []
        return [None if instant < 0 else instant for instant in instants]

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """See `OnlineStore.keys`. While a cluster's slots move, some keys may be missed."""
        pattern = _GLOB.sub(rb"\\\g<0>", prefix) + b"*"
        for master in self._attempt("SCAN", self._servers.masters):
            cursor = -1  # a scan begins and ends with cursor 0
            while cursor:
                args = ("SCAN", max(cursor, 0), "MATCH", pattern, "COUNT", _SCANNED)
                cursor, page = self._attempt("SCAN", master.execute_command, *args)
                if page:
                    yield page

    def remove(self, keys: Sequence[bytes]) -> int:
        """See `OnlineStore.remove`."""
        return self._attempt("UNLINK", self._servers.remove, keys) if keys else 0

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `HashStore.get_fields`."""
        fields: dict[bytes, bytes] = self._attempt("HGETALL", self._servers.call, "HGETALL", name)
        return fields

    def set_fields(
        self,
        name: bytes,
        fields: Mapping[bytes, bytes],
        expected: Mapping[bytes, bytes | None] | None = None,
    ) -> bool:
        """See `HashStore.set_fields`."""
        if not expected:
            if fields:
                self._attempt(
                    "HSET", self._servers.call, "HSET", name, *chain.from_iterable(fields.items())
                )
            return True
        present = {field: value for field, value in expected.items() if value is not None}
        absent = [field for field, value in expected.items() if value is None]
        words = [
            *(len(absent), len(present), *absent),
            *chain.from_iterable(present.items()),
            *chain.from_iterable(fields.items()),
        ]
        [changed] = self._attempt("EVAL", self._servers.ask, _CHANGE, [name], *words)
        return bool(changed)

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`. For a cluster: sums, and the worst policy of its masters."""
        # INFO rather than CONFIG, which managed services often forbid.
        facts = [
            self._attempt("INFO", master.execute_command, "INFO")
            for master in self._attempt("INFO", self._servers.masters)
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
                "place": self._servers.address,
                "role": str(first.get("role", "")),
                "mode": str(first.get("server_mode") or first.get("redis_mode", "")),
            },
        )

    def rights(self, prefix: bytes) -> Rights:
        """See `RightsProbe.rights`."""
        return self._attempt(
            "checking the user's rights", lambda: rights(self._servers.masters(), prefix)
        )

    def close(self) -> None:
        """See `OnlineStore.close`."""
        self._servers.close()

    @property
    def address(self) -> str:
        """What error messages call the store."""
        return self._servers.address

    def translated(self, error: exceptions.RedisError, action: str) -> PlaneError:
        """See `connectors.redis.errors.translated`."""
        return translated(error, action, self._servers)

    def _attempt(self, action: str, work: Callable[..., _Result], *args: Argument) -> _Result:
        """Do some work with the servers, and translate the driver's errors."""
        try:
            return work(*args)
        except exceptions.RedisError as error:
            raise self.translated(error, action) from None
