"""Redis Cluster: which node has a key's slot, now and while slots move.

Commands over many keys go out slot by slot.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from redis import exceptions
from redis.cluster import PRIMARY, ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import redis
    from redis.connection import Connection, ConnectionPool


_Command: TypeAlias = "Callable[[list[bytes]], tuple[Any, ...]]"
"""Makes a command of some keys of one slot."""


class _Client(RedisCluster):
    """The driver's client, which also follows an ASK to a node that has no slot yet, and so is in
    no list."""

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> ClusterNode | None:
        """See the driver's."""
        found: ClusterNode | None = super().get_node(host, port, node_name)  # type: ignore[no-untyped-call]
        if found is None and node_name:
            at, _, number = node_name.rpartition(":")
            found = ClusterNode(at, int(number), PRIMARY)  # type: ignore[no-untyped-call]
            self.nodes_manager.nodes_cache[node_name] = found
        return found


class Cluster:
    """Implements `connectors.redis.store.Servers` for the masters of a Redis Cluster.

    Args:
        url: of any of its nodes.
        options: of the driver's client.

    Raises:
        ValueError: `url` is no URL of a node: it is a socket's, or names a database other than 0.
    """

    one_slot = False

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        given = parse_url(url)  # type: ignore[no-untyped-call]
        if "path" in given or given.get("db"):
            raise ValueError("a node has an address, and no databases")
        self._url, self._options = url, options
        self._owners: tuple[list[ClusterNode], np.ndarray[Any, Any]] | None = None
        self.place = f"{given.get('host', 'localhost')}:{given.get('port', 6379)} (Cluster)"

    @cached_property
    def _client(self) -> _Client:
        # Made by the first call: it asks a node for the others.
        return _Client(url=self._url, **self._options)

    def call(self, command: str, key: bytes, *arguments: Any) -> Any:  # noqa: ANN401 - each command has its own answer
        """A command of one key."""
        with _plain_errors():
            return self._client.execute_command(command, key, *arguments)  # type: ignore[no-untyped-call]

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, in order."""
        values: list[bytes | None] = self._of_each(keys, lambda some: ("MGET", *some))
        return values

    def ask(self, script: str, keys: Sequence[bytes], *arguments: Any) -> list[int]:  # noqa: ANN401 - as Redis takes them
        """The answers, in order."""
        return self._of_each(keys, lambda some: ("EVAL", script, len(some), *some, *arguments))

    def remove(self, keys: Sequence[bytes]) -> int:
        """How many there were."""
        return sum(removed for _, removed in self._by_slot(keys, lambda some: ("UNLINK", *some)))

    def masters(self) -> list[redis.Redis]:
        """A client of each master that there is now."""
        with _plain_errors():
            self._client.nodes_manager.initialize()
            nodes = self._client.get_primaries()  # type: ignore[no-untyped-call]
            return [self._client.get_redis_connection(node) for node in nodes]

    def close(self) -> None:
        """Give the connections back."""
        if "_client" in vars(self):
            self._client.close()

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """Each record to the master of its key's slot."""
        # lazy: readers need neither numpy nor Arrow
        import numpy as np

        with _plain_errors():
            nodes, owners = self._owners or self._look()
        of_rows = owners[slots(records.column("key"))]
        for number in np.unique(of_rows):
            yield nodes[number].name, records.take(np.flatnonzero(of_rows == number))

    def pool(self, node: str) -> ConnectionPool:
        """The connections of a node, `host:port`; it need not have slots yet."""
        found = self._client.get_node(node_name=node)
        return self._client.get_redis_connection(found).connection_pool  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Have the next `split` look where the slots are."""
        self._owners = None

    def _look(self) -> tuple[list[ClusterNode], np.ndarray[Any, Any]]:
        # lazy: readers need no numpy
        import numpy as np

        self._client.nodes_manager.initialize()
        found = self._client.nodes_manager.slots_cache
        if len(found) < REDIS_CLUSTER_HASH_SLOTS:
            raise exceptions.ConnectionError("some slots have no node")
        nodes = list({found[slot][0].name: found[slot][0] for slot in found}.values())
        numbers = {node.name: number for number, node in enumerate(nodes)}
        owners = np.array(
            [numbers[found[slot][0].name] for slot in range(REDIS_CLUSTER_HASH_SLOTS)], np.int16
        )
        self._owners = nodes, owners
        return self._owners

    def _of_each(self, keys: Sequence[bytes], command: _Command) -> list[Any]:
        """What commands answer that have an answer for each of their keys, in the keys' order."""
        answers: list[Any] = [None] * len(keys)
        for places, found in self._by_slot(keys, command):
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    def _by_slot(self, keys: Sequence[bytes], command: _Command) -> list[tuple[list[int], Any]]:
        """A command of many keys, once for each slot: where the slot's keys stand in `keys`, and
        the answer.

        The driver's own pipelines cost twice as much, and give up early where a master has died.
        """
        of_slots: dict[int, list[int]] = {}
        for place, key in enumerate(keys):
            of_slots.setdefault(key_slot(key), []).append(place)
        with _plain_errors():
            of_nodes: dict[ClusterNode, list[list[int]]] = {}
            if len(of_slots) > 1:
                for slot, places in of_slots.items():
                    of_nodes.setdefault(
                        self._client.nodes_manager.get_node_from_slot(slot), []
                    ).append(places)
            found, left = (
                self._at_once(keys, command, of_nodes)
                if of_nodes
                else ([], list(of_slots.values()))
            )
            for places in left:
                words = command([keys[place] for place in places])
                found.append((places, self._client.execute_command(*words)))  # type: ignore[no-untyped-call]
        return found

    def _at_once(
        self,
        keys: Sequence[bytes],
        command: _Command,
        of_nodes: Mapping[ClusterNode, list[list[int]]],
    ) -> tuple[list[tuple[list[int], Any]], list[list[int]]]:
        """Send everything to every node, and then read.

        The second are those that didn't get an answer.
        """
        found: list[tuple[list[int], Any]] = []
        left: list[list[int]] = []
        owed: dict[Connection, list[list[int]]] = {}
        with ExitStack() as release:
            for node, groups in of_nodes.items():
                pool = self._client.get_redis_connection(node).connection_pool
                words = [command([keys[place] for place in places]) for places in groups]
                try:
                    connection = pool.get_connection()
                    release.callback(_give_back, pool, connection, owed)
                    connection.send_packed_command(connection.pack_commands(words))  # type: ignore[no-untyped-call]
                    owed[connection] = groups[::-1]
                except (exceptions.ConnectionError, exceptions.TimeoutError):
                    left += groups
            for connection, groups in owed.items():
                try:
                    while groups:
                        try:
                            found.append((groups[-1], connection.read_response()))
                        except exceptions.ResponseError:  # its slot has moved, perhaps
                            left.append(groups[-1])
                        groups.pop()
                except (exceptions.ConnectionError, exceptions.TimeoutError):
                    left += groups
        return found, left


def _give_back(
    pool: ConnectionPool, connection: Connection, owed: Mapping[Connection, list[list[int]]]
) -> None:
    if owed.get(connection):
        connection.disconnect()  # type: ignore[no-untyped-call]  # replies that come yet are nobody else's
    pool.release(connection)


def slots(keys: pa.Array) -> np.ndarray[Any, Any]:
    """The slot of each key (binary, no nulls): CRC16 of what stands in its first braces, else of
    all of it."""
    # lazy: readers need no numpy
    import numpy as np

    offsets = np.frombuffer(keys.buffers()[1], np.int32)[
        keys.offset : keys.offset + len(keys) + 1
    ].astype(np.int64)
    data = np.frombuffer(keys.buffers()[2] or b"", np.uint8)
    start, end = offsets[:-1], offsets[1:]
    opened, closed = np.flatnonzero(data == ord("{")), np.flatnonzero(data == ord("}"))
    left = np.append(opened, data.size)[np.searchsorted(opened, start)] + 1
    right = np.append(closed, data.size)[np.searchsorted(closed, left)]
    tagged = (left < right) & (right < end)
    start, lengths = np.where(tagged, left, start), np.where(tagged, right - left, end - start)
    order = np.argsort(-lengths)
    start, ends = start[order], -lengths[order]
    table = np.array([crc_hqx(bytes([byte]), 0) for byte in range(256)], np.uint16)
    crc = np.zeros(len(keys), np.uint16)
    for place in range(lengths.max(initial=0)):
        longer = crc[: np.searchsorted(ends, -place)]
        longer[:] = (longer << 8) ^ table[(longer >> 8) ^ data[start[: len(longer)] + place]]
    found = np.empty_like(crc)
    found[order] = crc % REDIS_CLUSTER_HASH_SLOTS
    return found


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What the cluster's client says of a node's error is no `RedisError`; the node's error is."""
    try:
        yield
    except exceptions.RedisClusterException as error:
        inner = error.__cause__ or error
        found = inner if isinstance(inner, exceptions.RedisError) else inner.__context__
        raise (
            found
            if isinstance(found, exceptions.RedisError)
            else exceptions.ConnectionError(str(error))
        ) from None
