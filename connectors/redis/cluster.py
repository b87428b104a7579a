"""Redis Cluster: finds the node of each key's slot, also while slots move.

A command of many keys is sent once for each slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from redis import exceptions
from redis.cluster import PRIMARY, ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from connectors.redis.servers import Argument, Reply

if TYPE_CHECKING:
    import pyarrow as pa
    import redis
    from redis.connection import Connection, ConnectionPool

    from connectors.redis.slots import Owners


_Command: TypeAlias = "Callable[[list[bytes]], tuple[Any, ...]]"
"""Makes a command for keys of one slot."""


class _Client(RedisCluster):
    """The driver's client; it also follows an ASK to a node that has no slots yet."""

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> ClusterNode | None:
        """See the driver's `get_node`."""
        node: ClusterNode | None
        node = super().get_node(host, port, node_name)  # type: ignore[no-untyped-call]
        # The driver knows only the nodes of CLUSTER SLOTS, and returns None for another.
        if node is None and node_name:
            node_host, _, node_port = node_name.rpartition(":")
            node = ClusterNode(node_host, int(node_port), PRIMARY)  # type: ignore[no-untyped-call]
            self.nodes_manager.nodes_cache[node_name] = node
        return node


class Cluster:
    """Implements `connectors.redis.servers.Servers` for the masters of a Redis Cluster.

    Args:
        url: the URL of any node.
        options: the options of the driver's client.

    Raises:
        ValueError: `url` can't be a node's: it names a socket, or a database other than 0.
    """

    one_slot = False

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        parts = parse_url(url)  # type: ignore[no-untyped-call]
        if "path" in parts or parts.get("db"):
            raise ValueError("a node has an address, and no databases")
        self._url, self._options = url, options
        self._owners: Owners | None = None
        self.address = f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)} (Cluster)"

    @cached_property
    def _client(self) -> _Client:
        # Not in the constructor, which must not connect: a new client asks a node for the others.
        return _Client(url=self._url, **self._options)

    def call(self, command: str, key: bytes, *arguments: Argument) -> Reply:
        """See `Servers.call`."""
        with _plain_errors():
            return self._execute(command, key, *arguments)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Servers.read`."""
        values: list[bytes | None] = self._of_each(keys, lambda group: ("MGET", *group))
        return values

    def ask(self, script: str, keys: Sequence[bytes], *arguments: Argument) -> list[int]:
        """See `Servers.ask`."""
        return self._of_each(keys, lambda group: ("EVAL", script, len(group), *group, *arguments))

    def remove(self, keys: Sequence[bytes]) -> int:
        """See `Servers.remove`."""
        return sum(removed for _, removed in self._by_slot(keys, lambda group: ("UNLINK", *group)))

    def masters(self) -> list[redis.Redis]:
        """Return a client of each master that exists now."""
        with _plain_errors():
            self._client.nodes_manager.initialize()
            nodes = self._client.get_primaries()  # type: ignore[no-untyped-call]
            return [self._client.get_redis_connection(node) for node in nodes]

    def close(self) -> None:
        """See `Servers.close`."""
        if "_client" in vars(self):
            self._client.close()

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """Divide records by the master of their key's slot."""
        # lazy: readers need neither numpy nor Arrow
        from connectors.redis.slots import Owners

        if self._owners is None:
            with _plain_errors():
                self._owners = Owners(self._look())
        return self._owners.split(records)

    def pool(self, node: str) -> ConnectionPool:
        """Return the connections of a node, `host:port`; the node need not have slots yet."""
        known = self._client.get_node(node_name=node)
        return self._client.get_redis_connection(known).connection_pool  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Make the next `split` ask which node has which slot."""
        self._owners = None

    def _execute(self, *words: Argument) -> Reply:
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def _look(self) -> list[str]:
        """Return the name of the node that has each slot."""
        self._client.nodes_manager.initialize()
        slot_nodes = self._client.nodes_manager.slots_cache
        if len(slot_nodes) < REDIS_CLUSTER_HASH_SLOTS:
            raise exceptions.ConnectionError("some slots have no node")
        # The first node of a slot is its master; replicas follow.
        return [slot_nodes[slot][0].name for slot in range(REDIS_CLUSTER_HASH_SLOTS)]

    def _of_each(self, keys: Sequence[bytes], command: _Command) -> list[Any]:
        """Run a command that replies with one value for each key; returns them in key order."""
        values: list[Any] = [None] * len(keys)
        for positions, reply in self._by_slot(keys, command):
            for position, value in zip(positions, reply, strict=True):
                values[position] = value
        return values

    def _by_slot(self, keys: Sequence[bytes], command: _Command) -> list[tuple[list[int], Reply]]:
        """Run a command once for each slot; returns the positions of its keys, and the reply.

        The driver's own pipelines cost twice as much, and give up early where a master has died.
        """
        of_slots: dict[int, list[int]] = {}
        for position, key in enumerate(keys):
            of_slots.setdefault(key_slot(key), []).append(position)
        with _plain_errors():
            of_nodes: dict[ClusterNode, list[list[int]]] = {}
            if len(of_slots) > 1:
                node_of = self._client.nodes_manager.get_node_from_slot
                for slot, positions in of_slots.items():
                    of_nodes.setdefault(node_of(slot), []).append(positions)
            replies, unanswered = (
                self._at_once(keys, command, of_nodes)
                if of_nodes
                else ([], list(of_slots.values()))
            )
            for positions in unanswered:
                words = command([keys[position] for position in positions])
                replies.append((positions, self._execute(*words)))
        return replies

    def _at_once(
        self,
        keys: Sequence[bytes],
        command: _Command,
        of_nodes: Mapping[ClusterNode, list[list[int]]],
    ) -> tuple[list[tuple[list[int], Reply]], list[list[int]]]:
        """Send all commands to all nodes, and then read the replies.

        Returns:
            The replies, each with the positions of its keys; the positions of keys without a reply.
        """
        replies: list[tuple[list[int], Reply]] = []
        unanswered: list[list[int]] = []
        owed: dict[Connection, list[list[int]]] = {}
        with ExitStack() as release:
            for node, groups in of_nodes.items():
                pool = self._client.get_redis_connection(node).connection_pool
                words = [command([keys[position] for position in group]) for group in groups]
                try:
                    connection = pool.get_connection()
                    release.callback(_give_back, pool, connection, owed)
                    connection.send_packed_command(connection.pack_commands(words))  # type: ignore[no-untyped-call]
                    owed[connection] = groups[::-1]
                except (exceptions.ConnectionError, exceptions.TimeoutError):
                    unanswered += groups
            for connection, groups in owed.items():
                try:
                    while groups:
                        try:
                            replies.append((groups[-1], connection.read_response()))
                        except exceptions.ResponseError:  # for example, the slot has moved
                            unanswered.append(groups[-1])
                        groups.pop()
                except (exceptions.ConnectionError, exceptions.TimeoutError):
                    unanswered += groups
        return replies, unanswered


def _give_back(
    pool: ConnectionPool, connection: Connection, owed: Mapping[Connection, list[list[int]]]
) -> None:
    if owed.get(connection):
        # Else the next user of the connection would read the replies that are still owed.
        connection.disconnect()  # type: ignore[no-untyped-call]
    pool.release(connection)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise the node's own error, a `RedisError`, instead of the exception that wraps it."""
    try:
        yield
    except exceptions.RedisClusterException as error:
        cause = error.__cause__ or error
        node_error = cause if isinstance(cause, exceptions.RedisError) else cause.__context__
        raise (
            node_error
            if isinstance(node_error, exceptions.RedisError)
            else exceptions.ConnectionError(str(error))
        ) from None
