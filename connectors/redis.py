"""Redis and Valkey (6.2 or newer): the online store.

Knows keys, values and their write version; a write is kept only where no newer one is there (`redis.lua`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError
from controlplane.ports import Record, StoreInfo, WriteCount

PIPELINE = 1000  # records that one round trip carries
_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_INNER_CODE = re.compile(r" -([A-Z]+) ")  # servers before 7 wrap the error of a command that a script called
_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")
_CLUSTER = ("MOVED", "ASK", "CROSSSLOT")
_PASSING = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY")


def connect(
    *, url: str, username: str | None = None, password: str | None = None, timeout_seconds: float = 5.0
) -> RedisStore:
    """The store at `url`. Nothing is sent yet: the first call connects, and later ones connect again if need be.

    Args:
        url: `redis://host:port/database`, `rediss://...` for TLS, or `unix://path`.
        username: if the URL has none.
        password: if the URL has none.
        timeout_seconds: for connecting and for each answer.

    Raises:
        SettingsError: `url` is no such URL.
    """
    try:
        client = redis.Redis.from_url(
            url,
            username=username,
            password=password,
            protocol=2,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=3),
        )
    except ValueError:
        # Without the URL: it may hold a password.
        raise SettingsError(
            "the URL of the online store is not a Redis URL",
            hint="write redis://host:6379/0, rediss://host:6379/0 for TLS, or unix:///path/of/socket",
        ) from None
    return RedisStore(client)


class RedisStore:
    """Implements `controlplane.ports.OnlineStore` over one pool of connections."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        options = client.connection_pool.connection_kwargs
        at = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self._place = f"{at}/{options.get('db', 0)}"

    def write(self, batches: Iterable[Sequence[Record]]) -> WriteCount:
        """See `OnlineStore.write`; every reply is counted. After an error, what was written before it stays."""
        count = WriteCount()
        for batch in batches:
            for records in _pieces(batch):
                stored = self._write(records)
                count.written += stored
                count.kept_newer += len(records) - stored
        return count

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineStore.read`."""
        values: list[bytes | None] = self._call("MGET", *keys) if keys else []
        return values

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

    def _write(self, records: Sequence[Record]) -> int:
        """How many of `records` were stored."""
        stored = 0
        for _ in range(3):  # a server forgets scripts when it restarts or fails over
            replies = self._send(records)
            failures = [reply for reply in replies if isinstance(reply, exceptions.ResponseError)]
            fatal = [failure for failure in failures if not isinstance(failure, exceptions.NoScriptError)]
            if fatal:
                raise self._translated(fatal[0], f"writing ({len(fatal)} of {len(records)} records failed)")
            stored += sum(reply for reply in replies if isinstance(reply, int))
            if not failures:
                return stored
            pairs = zip(records, replies, strict=True)
            records = [record for record, reply in pairs if isinstance(reply, exceptions.NoScriptError)]
            self._call("SCRIPT LOAD", _SCRIPT)
        raise TransientError(f"the online store at {self._place} keeps forgetting the script that writes")

    def _send(self, records: Sequence[Record]) -> list[Any]:
        """One reply for each record: 1, 0 or an error. Sent again as a whole if the connection breaks."""
        pipeline = self._client.pipeline(transaction=False)
        for key, value, expires_ms in records:
            expiry = "" if expires_ms is None else str(expires_ms)
            pipeline.evalsha(_SHA, 1, key, value, expiry)
        try:
            return pipeline.execute(raise_on_error=False)
        except exceptions.RedisError as error:
            raise self._translated(error, "writing") from None

    def _call(self, command: str, *arguments: Any) -> Any:  # noqa: ANN401 - each command has its own answer
        try:
            return self._client.execute_command(command, *arguments)  # type: ignore[no-untyped-call]
        except exceptions.RedisError as error:
            raise self._translated(error, command) from None

    def _translated(self, error: exceptions.RedisError, doing: str) -> PlaneError:
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


def _pieces(batch: Sequence[Record]) -> Iterator[Sequence[Record]]:
    rest = iter(batch)
    while piece := list(islice(rest, PIPELINE)):
        yield piece
