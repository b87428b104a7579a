"""Redis Cluster read from one event loop: each master over its own connection, so that none waits
for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, ConnectionPool
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from connectors.redis.link import Server
from controlplane.errors import PlaneError

_Address = tuple[str, int]
_Command = tuple[str | bytes, ...]
_REFRESH_SECONDS = 1.0  # between two looks at the slots, when a server fails
_NODE_SECONDS = 1.0  # for one node to say where the slots are, if others may be asked
_ATTEMPTS = 5  # at one command: a lost connection, a failover, and redirections
_ASKING: _Command = ("ASKING",)


class AsyncRedisCluster:
    """Implements `controlplane.base.ports.AsyncOnlineStore` for the masters of a Redis Cluster.

    Args:
        options: of the driver's connections; `host` and `port` are those of any node.
        place: how errors call the cluster.
        translated: makes an error of ours from a driver's and from what was being done.
        timeout_seconds: for each answer.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        place: str,
        translated: Callable[[exceptions.RedisError, str], PlaneError],
        timeout_seconds: float,
    ) -> None:
        self._options = {
            name: value for name, value in options.items() if name not in {"host", "port"}
        }
        self._first: _Address = (options.get("host", "localhost"), options.get("port", 6379))
        self._place, self._translated, self._timeout = place, translated, timeout_seconds
        self._servers: dict[_Address, Server] = {}
        self._owners: list[_Address | None] = []
        """The master of each slot; empty until the cluster has told it."""
        self._nodes: list[_Address] = [self._first]
        """All nodes that can tell where the slots are."""
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -float("inf")

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `AsyncOnlineStore.read`."""
        if not keys:
            return []
        of_slots: dict[int, list[int]] = {}
        for place, key in enumerate(keys):
            of_slots.setdefault(key_slot(key), []).append(place)
        commands: dict[int, _Command] = {
            slot: ("MGET", *[keys[place] for place in places]) for slot, places in of_slots.items()
        }
        found: list[bytes | None] = [None] * len(keys)
        for slot, values in (await self._ask(commands)).items():
            for place, value in zip(of_slots[slot], values, strict=True):
                found[place] = value
        return found

    async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `AsyncOnlineStore.get_fields`."""
        slot = key_slot(name)
        found: list[bytes] = (await self._ask({slot: ("HGETALL", name)}))[slot]
        return dict(zip(found[::2], found[1::2], strict=True))

    async def answering(self, seconds: float) -> dict[str, bool]:
        """See `AsyncOnlineStore.answering`."""
        try:
            async with asyncio.timeout(seconds):
                await self._located()
        except TimeoutError:
            return {self._place: False}
        except exceptions.RedisError as error:
            raise self._translated(error, "CLUSTER SLOTS") from None
        masters = sorted({owner for owner in self._owners if owner is not None})
        checks = [asyncio.ensure_future(self._server(master).answers()) for master in masters]
        await asyncio.wait(checks, timeout=seconds)
        answers = [check.done() and not check.cancelled() and check.result() for check in checks]
        for check in checks:
            check.cancel()
        if not all(answers):
            self._look()
        return {_name(master): answered for master, answered in zip(masters, answers, strict=True)}

    async def close(self) -> None:
        """See `AsyncOnlineStore.close`."""
        if self._looking is not None:
            self._looking.cancel()
        for server in self._servers.values():
            await server.close()

    async def _ask(self, commands: Mapping[int, _Command]) -> dict[int, Any]:
        """The replies to one command for each slot. All go out before the first reply is waited
        for."""
        doing = str(next(iter(commands.values()))[0])
        try:
            if not self._owners:
                await self._located()
        except exceptions.RedisError as error:
            raise self._translated(error, doing) from None
        servers = {slot: self._server(self._owner(slot, doing)) for slot in commands}
        for server in set(servers.values()):
            with suppress(exceptions.RedisError):  # `_reply` asks it again, and says what is wrong
                await server.open()
        sent = {slot: servers[slot].send(command) for slot, command in commands.items()}
        try:
            return {
                slot: await self._reply(slot, commands[slot], reply) for slot, reply in sent.items()
            }
        finally:
            for reply in sent.values():  # where another failed, or the request is given up
                if reply is not None and not reply.cancel() and not reply.cancelled():
                    reply.exception()

    async def _reply(self, slot: int, command: _Command, sent: asyncio.Future[Any] | None) -> Any:  # noqa: ANN401
        """The reply to a command that was sent, or else is sent now; also from where its slot has
        moved."""
        doing = str(command[0])
        owner, asking = self._owner(slot, doing), False
        for _ in range(_ATTEMPTS):
            first, sent = sent, None
            try:
                if first is not None:
                    return await first
                commands = (_ASKING, command) if asking else (command,)
                return await self._server(owner).ask(*commands)
            except exceptions.TimeoutError as error:
                self._look()  # a replica may have taken over
                raise self._translated(error, f"{doing} on {_name(owner)}") from None
            except exceptions.ConnectionError as error:
                if first is not None:
                    continue  # that connection is lost; the server may have restarted
                if not await self._has_moved(slot, owner):
                    raise self._translated(error, f"{doing} on {_name(owner)}") from None
                owner, asking = self._owner(slot, doing), False
            except exceptions.ResponseError as error:
                code, *details = str(error).split(" ")
                # some of the keys have moved, and some have not
                if code == "TRYAGAIN" and len(command) > 2:
                    return [
                        (await self._reply(slot, (command[0], key), None))[0] for key in command[1:]
                    ]
                if code not in ("MOVED", "ASK"):
                    raise self._translated(error, f"{doing} on {_name(owner)}") from None
                owner, asking = _address(details[-1], owner), code == "ASK"
                if not asking:
                    self._owners[slot] = owner
                    self._look()
        raise self._translated(exceptions.ConnectionError("its slot moves again and again"), doing)

    def _owner(self, slot: int, doing: str) -> _Address:
        owner = self._owners[slot]
        if owner is None:
            self._look()
            raise self._translated(exceptions.ConnectionError(f"slot {slot} has no node"), doing)
        return owner

    def _server(self, address: _Address) -> Server:
        found = self._servers.get(address)
        if found is None:
            host, port = address
            pool = ConnectionPool(
                **{"connection_class": Connection, **self._options, "host": host, "port": port}
            )
            found = self._servers[address] = Server(pool, self._timeout)
        return found

    async def _has_moved(self, slot: int, owner: _Address) -> bool:
        """Whether the cluster says now that another node has the slot."""
        with suppress(exceptions.RedisError):  # the owner's own error is told
            await self._located()
        return self._owners[slot] not in (owner, None)

    async def _located(self) -> None:
        """Wait until it is known where the slots are, or known again."""
        self._look()
        if self._looking is not None:
            await asyncio.shield(self._looking)

    def _look(self) -> None:
        """Begin to look where the slots are, unless that was done just now."""
        loop = asyncio.get_running_loop()
        if self._looking is None and (
            not self._owners or loop.time() - self._looked_at >= _REFRESH_SECONDS
        ):
            self._looking = loop.create_task(self._locate())
            self._looking.add_done_callback(self._looked)

    def _looked(self, looking: asyncio.Task[None]) -> None:
        self._looking, self._looked_at = None, asyncio.get_running_loop().time()
        if not looking.cancelled():
            looking.exception()  # whoever waited has it

    async def _locate(self) -> None:
        """Ask one node after the other where the slots are, those first that answered before."""
        failure: exceptions.RedisError = exceptions.ConnectionError("no node can be reached")
        nodes = sorted(self._nodes, key=lambda address: self._server(address).is_silent)
        for address in nodes:
            try:
                async with asyncio.timeout(_NODE_SECONDS if len(nodes) > 1 else None):
                    ranges = await self._server(address).ask(("CLUSTER", "SLOTS"))
            except TimeoutError:
                failure = exceptions.TimeoutError("Timeout reading from server")
            except exceptions.RedisError as error:
                failure = error
            else:
                await self._learn(ranges, address)
                return
        raise failure

    async def _learn(self, ranges: Iterable[Sequence[Any]], teller: _Address) -> None:
        """Keep what a node says, and close connections to nodes that are no more."""
        owners: list[_Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        nodes = {self._first, teller}
        for start, end, *members in ranges:
            addresses = [((host or b"").decode() or teller[0], port) for host, port, *_ in members]
            nodes.update(addresses)
            owners[start : end + 1] = [addresses[0]] * (end + 1 - start)
        self._owners, self._nodes = owners, sorted(nodes)
        for gone in self._servers.keys() - nodes:
            await self._servers.pop(gone).close()


def _address(text: str, teller: _Address) -> _Address:
    """The address in a redirection, which leaves out the host if it is that of the node that sends
    it."""
    host, _, port = text.rpartition(":")
    return host or teller[0], int(port)


def _name(address: _Address) -> str:
    return f"{address[0]}:{address[1]}"
