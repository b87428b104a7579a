"""Reads a Redis Cluster from one event loop.

Each master has a connection of its own, so that a slow master delays only its own keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, ConnectionPool
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from connectors.redis.link import Server
from connectors.redis.servers import Reply
from controlplane.errors import PlaneError

_Address = tuple[str, int]
_Command = tuple[str | bytes, ...]
_REFRESH_SECONDS = 1.0  # the least time between two requests for the slots, when a server fails
_NODE_SECONDS = 1.0  # the limit for a node to name the slots, if other nodes may be asked
_ATTEMPTS = 5  # for one command: a lost connection, a failover, and redirections
_ASKING: _Command = ("ASKING",)


class AsyncRedisCluster:
    """Implements `controlplane.base.ports.AsyncOnlineStore` for the masters of a Redis Cluster.

    Args:
        options: the options of the driver's connections; `host` and `port` are those of any node.
        cluster: what error messages call the cluster.
        translated: returns an error of the platform for a driver's error and the action that
            failed.
        timeout_seconds: the limit for each reply.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        cluster: str,
        translated: Callable[[exceptions.RedisError, str], PlaneError],
        timeout_seconds: float,
    ) -> None:
        self._options = {
            name: value for name, value in options.items() if name not in {"host", "port"}
        }
        self._first: _Address = (options.get("host", "localhost"), options.get("port", 6379))
        self._cluster, self._translated, self._timeout = cluster, translated, timeout_seconds
        self._servers: dict[_Address, Server] = {}
        self._owners: list[_Address | None] = []
        """The master of each slot; empty until a node has named them."""
        self._nodes: list[_Address] = [self._first]
        """All nodes that can be asked for the slots, replicas too."""
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -float("inf")

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `AsyncOnlineStore.read`."""
        if not keys:
            return []
        of_slots: dict[int, list[int]] = {}
        for position, key in enumerate(keys):
            of_slots.setdefault(key_slot(key), []).append(position)
        commands: dict[int, _Command] = {
            slot: ("MGET", *[keys[position] for position in positions])
            for slot, positions in of_slots.items()
        }
        values: list[bytes | None] = [None] * len(keys)
        for slot, slot_values in (await self._ask(commands)).items():
            for position, value in zip(of_slots[slot], slot_values, strict=True):
                values[position] = value
        return values

    async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `AsyncOnlineStore.get_fields`."""
        slot = key_slot(name)
        words: list[bytes] = (await self._ask({slot: ("HGETALL", name)}))[slot]
        return dict(zip(words[::2], words[1::2], strict=True))

    async def answering(self, seconds: float) -> dict[str, bool]:
        """See `AsyncOnlineStore.answering`."""
        try:
            async with asyncio.timeout(seconds):
                await self._located()
        except TimeoutError:
            return {self._cluster: False}
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

    async def _ask(self, commands: Mapping[int, _Command]) -> dict[int, Reply]:
        """Send one command for each slot, all of them before the first reply is awaited."""
        action = str(next(iter(commands.values()))[0])
        try:
            if not self._owners:
                await self._located()
        except exceptions.RedisError as error:
            raise self._translated(error, action) from None
        servers = {slot: self._server(self._owner(slot, action)) for slot in commands}
        for server in set(servers.values()):
            with suppress(exceptions.RedisError):  # `_reply` tries again, and raises the error
                await server.open()
        sent = {slot: servers[slot].send(command) for slot, command in commands.items()}
        try:
            return {
                slot: await self._reply(slot, commands[slot], reply) for slot, reply in sent.items()
            }
        finally:
            # After another command's failure, or if the caller gives up, nobody awaits these.
            for reply in sent.values():
                if reply is not None and not reply.cancel() and not reply.cancelled():
                    reply.exception()

    async def _reply(self, slot: int, command: _Command, sent: asyncio.Future[Any] | None) -> Reply:
        """Await the reply to a command, and follow the slot to the node that has it now.

        Args:
            slot: the slot of the command's keys.
            command: the command.
            sent: the reply, if the command is sent already; None: send it.
        """
        action = str(command[0])
        owner, asking = self._owner(slot, action), False
        for _ in range(_ATTEMPTS):
            first, sent = sent, None
            try:
                if first is not None:
                    return await first
                commands = (_ASKING, command) if asking else (command,)
                return await self._server(owner).ask(*commands)
            except exceptions.TimeoutError as error:
                self._look()  # a replica may have taken over
                raise self._translated(error, f"{action} on {_name(owner)}") from None
            except exceptions.ConnectionError as error:
                if first is not None:
                    continue  # only that connection is lost: the server may have restarted
                if not await self._has_moved(slot, owner):
                    raise self._translated(error, f"{action} on {_name(owner)}") from None
                owner, asking = self._owner(slot, action), False
            except exceptions.ResponseError as error:
                code, *details = str(error).split(" ")
                # While a slot moves, a command fails whose keys are on both nodes: read each alone.
                if code == "TRYAGAIN" and len(command) > 2:
                    return [
                        (await self._reply(slot, (command[0], key), None))[0] for key in command[1:]
                    ]
                if code not in ("MOVED", "ASK"):
                    raise self._translated(error, f"{action} on {_name(owner)}") from None
                owner, asking = _address(details[-1], owner), code == "ASK"
                if not asking:
                    self._owners[slot] = owner
                    self._look()
        raise self._translated(exceptions.ConnectionError("its slot moves again and again"), action)

    def _owner(self, slot: int, action: str) -> _Address:
        owner = self._owners[slot]
        if owner is None:
            self._look()
            raise self._translated(exceptions.ConnectionError(f"slot {slot} has no node"), action)
        return owner

    def _server(self, address: _Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            host, port = address
            pool = ConnectionPool(
                **{"connection_class": Connection, **self._options, "host": host, "port": port}
            )
            server = self._servers[address] = Server(pool, self._timeout)
        return server

    async def _has_moved(self, slot: int, owner: _Address) -> bool:
        """Ask the cluster whether another node has the slot now."""
        with suppress(exceptions.RedisError):  # the caller raises the owner's error instead
            await self._located()
        return self._owners[slot] not in (owner, None)

    async def _located(self) -> None:
        """Wait until the slots' nodes are known, or known again."""
        self._look()
        if self._looking is not None:
            await asyncio.shield(self._looking)

    def _look(self) -> None:
        """Start to ask for the slots' nodes, unless they were asked for just now."""
        loop = asyncio.get_running_loop()
        if self._looking is None and (
            not self._owners or loop.time() - self._looked_at >= _REFRESH_SECONDS
        ):
            self._looking = loop.create_task(self._locate())
            self._looking.add_done_callback(self._looked)

    def _looked(self, looking: asyncio.Task[None]) -> None:
        self._looking, self._looked_at = None, asyncio.get_running_loop().time()
        if not looking.cancelled():
            looking.exception()  # those who wait get it; without this, asyncio logs it as well

    async def _locate(self) -> None:
        """Ask one node after the other for the slots; nodes that answered before come first."""
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

    async def _learn(self, ranges: Iterable[Sequence[Any]], source: _Address) -> None:
        """Keep the slots that `source` names, and close connections to nodes that left."""
        owners: list[_Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        nodes = {self._first, source}
        for start, end, *members in ranges:
            # A node that doesn't know its own host name leaves it out.
            addresses = [((host or b"").decode() or source[0], port) for host, port, *_ in members]
            nodes.update(addresses)
            owners[start : end + 1] = [addresses[0]] * (end + 1 - start)
        self._owners, self._nodes = owners, sorted(nodes)
        for removed in self._servers.keys() - nodes:
            await self._servers.pop(removed).close()


def _address(text: str, source: _Address) -> _Address:
    """Return the address in a redirection by `source`, which leaves out its own host."""
    host, _, port = text.rpartition(":")
    return host or source[0], int(port)


def _name(address: _Address) -> str:
    return f"{address[0]}:{address[1]}"
