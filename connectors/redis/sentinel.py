"""Redis Sentinel: asks sentinels for the address of the master.

Sentinels may have users, passwords and TLS of their own. The driver's own search is not used: it
retries each sentinel for seconds, takes a refused password for a lost connection, and does not
report the answers of the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.connection import parse_url as parse_async_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from connectors.redis.servers import Reply
from connectors.redis.url import is_host
from controlplane.errors import SettingsError

_PORT = 26379
_TIMEOUT_SECONDS = 2.0  # the limit for each sentinel: the next one may answer at once
_CREDENTIALS = (
    "set `sentinel_password`, and `sentinel_username` unless it is the default user, of the online"
    " store"
)
_PLAIN = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?")
_LISTED = 5  # names of other masters that an error lists

Address = tuple[str, int]


@dataclass(frozen=True)
class Sentinels:
    """The sentinels of one store, and the options for connecting to them.

    Attributes:
        hosts: `host` or `host:port` of each (default port: 26379).
        username: the user at the sentinels themselves, not at the master that they watch.
        password: the password at the sentinels themselves.
        secure: whether they are asked over TLS.
        files: the driver's options for the TLS files.
        timeout_seconds: the limit for connecting to each sentinel, and for its answer.
    """

    hosts: Sequence[str]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    secure: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = _TIMEOUT_SECONDS

    @property
    def set_options(self) -> list[str]:
        """The names of the store's options that are set and concern only sentinels."""
        options = {
            "sentinel_username": self.username,
            "sentinel_password": self.password,
            "sentinel_tls": self.secure,
        }
        return [name for name, value in options.items() if value]

    def addresses(self) -> list[Address]:
        """Return host and port of each sentinel.

        Raises:
            SettingsError: a text in `hosts` is not an address.
        """
        return [_address(text) for text in self.hosts]

    def options(self) -> dict[str, Any]:
        """Return the driver's options for a sentinel's client."""
        seconds = min(self.timeout_seconds, _TIMEOUT_SECONDS)
        return {
            "username": self.username,
            "password": self.password,
            "protocol": 2,
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            **({"ssl": True, **self.files} if self.secure else {}),
        }


class NoMaster(exceptions.RedisError):
    """No sentinel names a master.

    It is not a `ConnectionError`, because the driver retries those.

    Attributes:
        permanent: whether all sentinels answered, and will answer the same again.
        hint: what to do.
    """

    def __init__(self, name: str, refusals: Mapping[Address, _Refusal]) -> None:
        reasons = "; ".join(
            f"sentinel {host}:{port}: {refusal.text}" for (host, port), refusal in refusals.items()
        )
        super().__init__(f"no sentinel names a master {name!r}: {reasons}")
        self.permanent = all(refusal.permanent for refusal in refusals.values())
        hints = dict.fromkeys(refusal.hint for refusal in refusals.values() if refusal.hint)
        self.hint = (
            "; ".join(hints) or "check that the sentinels run and can be reached, then try again"
        )


@dataclass(frozen=True)
class _Refusal:
    """A sentinel's answer that does not name the master."""

    text: str
    permanent: bool = False
    hint: str = ""


def master_client(url: str, options: Mapping[str, Any], sentinels: Sentinels) -> redis.Redis:
    """Make a client of the master, which asks the sentinels at each new connection.

    Args:
        url: its host is the master's name; a user and a password in it are the master's.
        options: the options of the master's client.
        sentinels: the sentinels to ask.

    Raises:
        ValueError: `url` is not such a URL.
        SettingsError: the address of a sentinel is not valid.
    """
    master_options = {**options, **parse_url(url)}  # type: ignore[no-untyped-call]
    name, secure = _pop_name(master_options)
    watchers = _Sentinel(
        sentinels.addresses(), sentinels.options() | {"retry": Retry(NoBackoff(), 0)}
    )
    client: redis.Redis
    client = watchers.master_for(name, ssl=secure, **master_options)  # type: ignore[no-untyped-call]
    return client


def async_master_client(
    url: str, options: Mapping[str, Any], sentinels: Sentinels
) -> redis.asyncio.Redis:
    """Make a client for an event loop; see `master_client`."""
    master_options = {**options, **parse_async_url(url)}
    name, secure = _pop_name(master_options)
    retry = AsyncRetry(NoBackoff(), 0)
    watchers = _AsyncSentinel(sentinels.addresses(), sentinels.options() | {"retry": retry})
    client: redis.asyncio.Redis = watchers.master_for(name, ssl=secure, **master_options)
    return client


def _pop_name(options: dict[str, Any]) -> tuple[str, bool]:
    """Take the master's name out of a URL's parts; returns it, and whether the URL is for TLS."""
    options.pop("port", None)
    return options.pop("host", ""), options.pop("connection_class", None) is not None


class _Search:
    """One search for the master, with the answers of the sentinels so far.

    Args:
        name: the master's name.
        sentinels: their clients; the one that names the master becomes the first, and the next
            search begins with it.
    """

    def __init__(self, name: str, sentinels: list[Any]) -> None:
        self._name, self._sentinels = name, sentinels
        self._refusals: dict[Address, _Refusal] = {}

    def accept(self, number: int, answer: Reply) -> Address | None:
        """Return the master's address, if a sentinel names it.

        Args:
            number: the position of the sentinel.
            answer: the masters that it watches, or the driver's error.
        """
        is_error = isinstance(answer, exceptions.RedisError)
        master = _refusal(answer) if is_error else _chosen(self._name, answer)
        sentinels = self._sentinels
        if isinstance(master, _Refusal):
            self._refusals[_address_of(sentinels[number])] = master
            return None
        sentinels[0], sentinels[number] = sentinels[number], sentinels[0]
        return master

    def failure(self) -> NoMaster:
        """Return the error to raise after all sentinels were asked."""
        return NoMaster(self._name, self._refusals)


class _Sentinel(Sentinel):
    def __init__(self, addresses: Sequence[Address], options: Mapping[str, Any]) -> None:
        super().__init__(addresses, sentinel_kwargs=options)  # type: ignore[no-untyped-call]

    def discover_master(self, service_name: str) -> Address:
        """See the driver's `discover_master`.

        Raises:
            NoMaster: no sentinel names the master; it has their answers.
        """
        search = _Search(service_name, self.sentinels)
        for number, sentinel in enumerate(self.sentinels):
            try:
                answer: Any = sentinel.sentinel_masters()
            except exceptions.RedisError as error:
                answer = error
            if (master := search.accept(number, answer)) is not None:
                return master
        raise search.failure()


class _AsyncSentinel(AsyncSentinel):
    def __init__(self, addresses: Sequence[Address], options: Mapping[str, Any]) -> None:
        super().__init__(addresses, sentinel_kwargs=options)  # type: ignore[no-untyped-call]

    async def discover_master(self, service_name: str) -> Address:
        """See the driver's `discover_master`.

        Raises:
            NoMaster: no sentinel names the master; it has their answers.
        """
        search = _Search(service_name, self.sentinels)
        for number, sentinel in enumerate(self.sentinels):
            try:
                answer: Any = await sentinel.sentinel_masters()
            except exceptions.RedisError as error:
                answer = error
            if (master := search.accept(number, answer)) is not None:
                return master
        raise search.failure()


def _address(text: str) -> Address:
    """Parse `host`, `host:port`, `[::1]:port` or an IPv6 address alone."""
    parts = _BRACKETED.fullmatch(text) or (None if text.count(":") > 1 else _PLAIN.fullmatch(text))
    host, digits = parts.groups() if parts else (text, None)
    port = int(digits or _PORT)
    is_bare = parts is None and text.count(":") > 1 and not {"[", "]"} & set(text)
    if not (parts or is_bare) or not is_host(host) or not 0 < port < 2**16:
        hint = f"write host:port, such as sentinel-1.example.com:{_PORT}"
        raise SettingsError(f"{text!r} in `sentinels` is not an address", hint=hint)
    return host, port


def _address_of(sentinel: redis.Redis | redis.asyncio.Redis) -> Address:
    options = sentinel.connection_pool.connection_kwargs
    return options["host"], options["port"]


def _chosen(name: str, masters: Mapping[str, Mapping[str, Any]]) -> Address | _Refusal:
    """Return the address of the master among those that a sentinel watches."""
    state = masters.get(name)
    if state is None:
        others = ", ".join(sorted(masters)[:_LISTED]) or "none"
        hint = (
            "the URL's host must be the name of a master that the sentinels watch: redis://NAME/0"
        )
        return _Refusal(
            f"it watches no master of this name (it watches: {others})", permanent=True, hint=hint
        )
    if state["is_sdown"] or state["is_odown"] or not state["is_master"]:
        return _Refusal("it says that the master is down")
    return state["ip"], state["port"]


def _refusal(error: exceptions.RedisError) -> _Refusal:
    text = str(error).split(", with args beginning with", maxsplit=1)[0]
    # The driver counts refused passwords among lost connections, so they come first.
    if isinstance(error, exceptions.AuthenticationError):
        if "without any password configured" in text:
            hint = "leave `sentinel_password` out: these sentinels require none"
            return _Refusal("it requires no password", permanent=True, hint=hint)
        is_missing = "required" in text
        reason = "it requires a password" if is_missing else "it refuses the user or the password"
        return _Refusal(reason, permanent=True, hint=_CREDENTIALS)
    if isinstance(error, exceptions.NoPermissionError):
        hint = "let the sentinels' user run SENTINEL MASTERS: ACL SETUSER NAME +sentinel|masters"
        return _Refusal(f"it refuses: {text}", permanent=True, hint=hint)
    if isinstance(error, exceptions.ResponseError) and "unknown command" in text.lower():
        hint = "`sentinels` are the addresses of sentinels, not of the servers that they watch"
        return _Refusal("it is not a sentinel", permanent=True, hint=hint)
    if "certificate" in text or "SSL" in text:
        hint = (
            "set `sentinel_tls` only if the sentinels speak TLS, and `ca_certificate` to the PEM"
            " file of the authority that signed their certificates"
        )
        return _Refusal(text, permanent=True, hint=hint)
    return _Refusal(text)
