"""Redis Sentinel: who is the master now, asked of sentinels that may have users, passwords and TLS
of their own.

The driver's own search retries each sentinel for seconds, takes a refused password for a lost
connection, and does not say what the others answered.
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

from connectors.redis.url import is_host
from controlplane.errors import SettingsError

_PORT = 26379
_TIMEOUT_SECONDS = 2.0  # for each sentinel, at most: the next one may answer at once
_CREDENTIALS = (
    "set `sentinel_password`, and `sentinel_username` unless it is the default user, of the online"
    " store"
)
_PLAIN = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?")
_LISTED = 5  # names of other masters that an error lists

Place = tuple[str, int]


@dataclass(frozen=True)
class Sentinels:
    """The sentinels of one store, and how they are asked.

    Attributes:
        places: `host:port` of each; the port is 26379 unless given.
        username: of the sentinels themselves, not of the master that they watch.
        password: likewise.
        secure: whether they are asked over TLS.
        files: the driver's options for files of TLS.
        timeout_seconds: for connecting to each, and for its answer.
    """

    places: Sequence[str]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    secure: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = _TIMEOUT_SECONDS

    @property
    def given(self) -> list[str]:
        """The names of the options that say how sentinels are asked, as far as they are set."""
        options = {
            "sentinel_username": self.username,
            "sentinel_password": self.password,
            "sentinel_tls": self.secure,
        }
        return [name for name, value in options.items() if value]

    def addresses(self) -> list[Place]:
        """Host and port of each.

        Raises:
            SettingsError: one is not such an address.
        """
        return [_address(place) for place in self.places]

    def options(self) -> dict[str, Any]:
        """The driver's options of a sentinel's client."""
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
    """No sentinel names a master. The driver does not retry it, as it does errors of connections.

    Attributes:
        permanent: whether all sentinels answered, and will answer the same again.
        hint: what to do.
    """

    def __init__(self, name: str, answers: Mapping[Place, _Refusal]) -> None:
        told = "; ".join(
            f"sentinel {host}:{port}: {answer.text}" for (host, port), answer in answers.items()
        )
        super().__init__(f"no sentinel names a master {name!r}: {told}")
        self.permanent = all(answer.permanent for answer in answers.values())
        hints = dict.fromkeys(answer.hint for answer in answers.values() if answer.hint)
        self.hint = (
            "; ".join(hints) or "check that the sentinels run and can be reached, then try again"
        )


@dataclass(frozen=True)
class _Refusal:
    """What a sentinel said instead of naming the master."""

    text: str
    permanent: bool = False
    hint: str = ""


def master_client(url: str, options: Mapping[str, Any], sentinels: Sentinels) -> redis.Redis:
    """A client of the master that sentinels name, asked again at each new connection.

    Args:
        url: its host is the master's name; a user and a password in it are the master's.
        options: of the master's client.
        sentinels: who is asked.

    Raises:
        ValueError: it is no such URL.
        SettingsError: an address of a sentinel is not one.
    """
    given = {**options, **parse_url(url)}  # type: ignore[no-untyped-call]
    name, secure = _name(given)
    watchers = _Sentinel(
        sentinels.addresses(), sentinels.options() | {"retry": Retry(NoBackoff(), 0)}
    )
    client: redis.Redis = watchers.master_for(name, ssl=secure, **given)  # type: ignore[no-untyped-call]
    return client


def async_master_client(
    url: str, options: Mapping[str, Any], sentinels: Sentinels
) -> redis.asyncio.Redis:
    """The same inside an event loop; see `master_client`."""
    given = {**options, **parse_async_url(url)}
    name, secure = _name(given)
    retry = AsyncRetry(NoBackoff(), 0)
    watchers = _AsyncSentinel(sentinels.addresses(), sentinels.options() | {"retry": retry})
    client: redis.asyncio.Redis = watchers.master_for(name, ssl=secure, **given)
    return client


def _name(given: dict[str, Any]) -> tuple[str, bool]:
    """Take the master's name out of a URL's parts; whether the URL is one for TLS."""
    given.pop("port", None)
    return given.pop("host", ""), given.pop("connection_class", None) is not None


class _Search:
    """One search for the master: what each sentinel answered so far.

    Args:
        name: of the master.
        sentinels: their clients; the one that names the master becomes the first, and the next
            search begins with it.
    """

    def __init__(self, name: str, sentinels: list[Any]) -> None:
        self._name, self._sentinels = name, sentinels
        self._refusals: dict[Place, _Refusal] = {}

    def found(self, number: int, answer: Any) -> Place | None:  # noqa: ANN401 - the driver's reply
        """The master's address, if the sentinel of that number names it.

        Args:
            number: of the sentinel.
            answer: the masters that it watches, or the driver's error.
        """
        is_error = isinstance(answer, exceptions.RedisError)
        master = _refusal(answer) if is_error else _chosen(self._name, answer)
        sentinels = self._sentinels
        if isinstance(master, _Refusal):
            self._refusals[_place(sentinels[number])] = master
            return None
        sentinels[0], sentinels[number] = sentinels[number], sentinels[0]
        return master

    def failure(self) -> NoMaster:
        """What is raised when all were asked."""
        return NoMaster(self._name, self._refusals)


class _Sentinel(Sentinel):
    def __init__(self, places: Sequence[Place], options: Mapping[str, Any]) -> None:
        super().__init__(places, sentinel_kwargs=options)  # type: ignore[no-untyped-call]

    def discover_master(self, service_name: str) -> Place:
        """See the driver's.

        Raises:
            NoMaster: what each sentinel answered.
        """
        search = _Search(service_name, self.sentinels)
        for number, sentinel in enumerate(self.sentinels):
            try:
                answer: Any = sentinel.sentinel_masters()
            except exceptions.RedisError as error:
                answer = error
            if (master := search.found(number, answer)) is not None:
                return master
        raise search.failure()


class _AsyncSentinel(AsyncSentinel):
    def __init__(self, places: Sequence[Place], options: Mapping[str, Any]) -> None:
        super().__init__(places, sentinel_kwargs=options)  # type: ignore[no-untyped-call]

    async def discover_master(self, service_name: str) -> Place:
        """See the driver's.

        Raises:
            NoMaster: what each sentinel answered.
        """
        search = _Search(service_name, self.sentinels)
        for number, sentinel in enumerate(self.sentinels):
            try:
                answer: Any = await sentinel.sentinel_masters()
            except exceptions.RedisError as error:
                answer = error
            if (master := search.found(number, answer)) is not None:
                return master
        raise search.failure()


def _address(text: str) -> Place:
    """Host and port of `host`, `host:port`, `[::1]:port` or an IPv6 address alone."""
    parts = _BRACKETED.fullmatch(text) or (None if text.count(":") > 1 else _PLAIN.fullmatch(text))
    host, digits = parts.groups() if parts else (text, None)
    port = int(digits or _PORT)
    is_bare = parts is None and text.count(":") > 1 and not {"[", "]"} & set(text)
    if not (parts or is_bare) or not is_host(host) or not 0 < port < 2**16:
        hint = f"write host:port, such as sentinel-1.example.com:{_PORT}"
        raise SettingsError(f"{text!r} in `sentinels` is not an address", hint=hint)
    return host, port


def _place(sentinel: redis.Redis | redis.asyncio.Redis) -> Place:
    options = sentinel.connection_pool.connection_kwargs
    return options["host"], options["port"]


def _chosen(name: str, masters: Mapping[str, Mapping[str, Any]]) -> Place | _Refusal:
    """The address of the master among those that a sentinel watches."""
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
            hint = "leave `sentinel_password` out: these sentinels ask for none"
            return _Refusal("it asks for no password", permanent=True, hint=hint)
        asked = (
            "it asks for a password"
            if "required" in text
            else "it refuses the user or the password"
        )
        return _Refusal(asked, permanent=True, hint=_CREDENTIALS)
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
