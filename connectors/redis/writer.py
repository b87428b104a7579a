"""Writing in bulk: records become one stream of commands over the driver's own connections, replies
are read in bulk.

A record is at every moment in one place: waiting, sent, to be sent again, or counted. So none is
lost, whatever breaks.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from redis import exceptions
from redis.connection import Connection, ConnectionPool

from controlplane.base.ports import WriteCount
from controlplane.errors import PlaneError, TransientError

_SCRIPT = Path(__file__).with_name("writer.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest().encode()
_WINDOW = 2  # batches that a server may owe replies for; their replies fit into its buffers
_READ = 1 << 16
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_LENGTHS = pa.array([b"\r\n$%d\r\n" % length for length in range(2048)], pa.binary())


class Nodes(Protocol):
    """Where records go; `one_slot` is whether a command may have any keys of a node.

    A node is called `host:port`.
    """

    one_slot: bool

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """Each record with the others of its node, in order.

        May have to look for the nodes first.
        """

    def pool(self, node: str) -> ConnectionPool:
        """The connections of a node; they speak RESP2."""

    def refresh(self) -> None:
        """Have the next `split` look again which nodes there are."""


class Mode(NamedTuple):
    """How records are written.

    Args:
        commands: makes the commands of a batch, each for as many records as are told and with so
            much before it.
        stored: how many records the reply to a command says were stored; None: it is none of a
            command that worked.
        together: records that one command may hold.
        script: that the commands run, if they do.
    """

    commands: Callable[[pa.RecordBatch, int, bytes], memoryview]
    stored: Callable[[bytes], int | None]
    together: int
    script: str | None


def _compare(records: pa.RecordBatch, together: int, before: bytes) -> memoryview:
    expires = _texts(records.column("expires_ms")).fill_null(b"")
    keys = _grouped(_binary(*_argument(records.column("key"))), together)
    values = _grouped(_binary(*_argument(records.column("value")), *_argument(expires)), together)
    head, last = (
        before
        + b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$%d\r\n%d" % (3 * n + 3, _SHA, len(str(n)), n)
        for n in (together, len(records) - together * (len(keys) - 1))
    )
    return _joined(pa.array([head] * (len(keys) - 1) + [last], pa.binary()), keys, values)


def _replace(records: pa.RecordBatch, _: int, before: bytes) -> memoryview:
    # Redis takes no expiry before 1970; any that has passed deletes the key.
    expires = _texts(pc.max_element_wise(records.column("expires_ms"), 1, skip_nulls=False))
    head, expiry = before + b"*5\r\n$3\r\nSET", [b"\r\n$4\r\nPXAT", *_argument(expires)]
    if expires.null_count:
        head = pc.if_else(expires.is_valid(), head, before + b"*3\r\n$3\r\nSET")
        expiry = [_binary(*expiry).fill_null(b"")]
    return _joined(
        head, *_argument(records.column("key")), *_argument(records.column("value")), *expiry
    )


COMPARE = Mode(_compare, lambda reply: int(reply[1:]) if reply[:1] == b":" else None, 100, _SCRIPT)
"""A record is kept out where its key holds a newer write version: `writer.lua`."""
REPLACE = Mode(_replace, lambda reply: 1 if reply == b"+OK" else None, 1, None)
"""The last writer wins: for a store that one writer at a time writes to."""


def _grouped(rows: pa.Array, together: int) -> pa.Array:
    """The bytes of so many rows as one, without a copy."""
    offsets = np.frombuffer(rows.buffers()[1], np.int32)[rows.offset : rows.offset + len(rows) + 1]
    bounds = np.append(offsets[:-1:together], offsets[-1])
    return pa.Array.from_buffers(
        pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), rows.buffers()[2]]
    )


def _binary(*parts: bytes | pa.Array) -> pa.Array:
    """The parts of each row, one after the other; what all rows have side by side is one part."""
    arrays: list[pa.Array | pa.Scalar] = []
    for fixed, some in groupby(parts, lambda part: isinstance(part, bytes)):
        group = list(some)
        arrays += [pa.scalar(b"".join(group), pa.binary())] if fixed else group
    return pc.binary_join_element_wise(*arrays, b"")


def _joined(*parts: bytes | pa.Array) -> memoryview:
    """The commands of all rows, one after the other: what Arrow's buffer holds already."""
    return memoryview(_binary(*parts, b"\r\n").buffers()[2])


def _texts(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string()).cast(pa.binary())


def _argument(texts: pa.Array) -> tuple[bytes | pa.Array, pa.Array]:
    """What stands before each text in a command, and the text.

    The end of its line belongs to what follows.
    """
    lengths = pc.binary_length(texts)
    shortest, longest = (found.as_py() for found in pc.min_max(lengths).values())
    if shortest == longest is not None and not texts.null_count:
        return b"\r\n$%d\r\n" % longest, texts
    if longest is None or longest < len(_LENGTHS):
        return _LENGTHS.take(lengths), texts
    return _binary(b"\r\n$", _texts(lengths), b"\r\n"), texts


def _paced(batches: Iterable[pa.RecordBatch], rate: float) -> Iterator[pa.RecordBatch]:
    """The same rows, a tenth of a second's at a time, as fast as so many a second."""
    due, most = time.monotonic(), max(1, round(rate / 10))
    for batch in batches:
        for start in range(0, batch.num_rows, most):
            piece = batch.slice(start, most)
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - 1) + piece.num_rows / rate
            yield piece


class _Sent(NamedTuple):
    """Records of which one command holds so many.

    `asking` is to a node that their slot only begins to move to.
    """

    records: pa.RecordBatch
    together: int
    asking: bool = False

    @property
    def commands(self) -> int:
        """How many replies are owed."""
        return -(-len(self.records) // self.together) * (2 if self.asking else 1)


class _Answer(NamedTuple):
    """What became of what was sent: how many records were stored and kept out, the errors, the
    records that failed, and those for which another node is to be asked."""

    sent: _Sent
    stored: int
    kept: int
    errors: list[str]
    failed: pa.RecordBatch
    asked: list[tuple[str, pa.RecordBatch]]


class _Link:
    """One node's connection, opened when it is needed, with what waits for it and what it owes
    replies for."""

    def __init__(self, pool: ConnectionPool, mode: Mode, *, follow: bool) -> None:
        self._pool, self._mode, self._follow = pool, mode, follow
        self._connection: Connection | None = None
        self._received = bytearray()
        self.waiting: deque[_Sent] = deque()
        self.sent: deque[_Sent] = deque()

    def push(self) -> None:
        """Send what waits, as far as the window allows."""
        while self.waiting and len(self.sent) < _WINDOW:
            connection = self._connection or self._open()
            self.sent.append(batch := self.waiting.popleft())
            packed = self._mode.commands(
                batch.records, batch.together, _ASKING if batch.asking else b""
            )
            connection.send_packed_command([packed], check_health=False)  # type: ignore[no-untyped-call]

    def receive(self) -> _Answer:
        """Wait for the replies of what was sent first; each is one line."""
        batch = self.sent[0]
        found = self._received.count(b"\n")
        while found < batch.commands:
            found += self._read()
        lines = self._lines(batch.commands)
        self.sent.popleft()
        lines = lines[1::2] if batch.asking else lines
        replies = {
            reply: (self._mode.stored(reply), count) for reply, count in Counter(lines).items()
        }
        stored = sum(each * count for each, count in replies.values() if each is not None)
        bad = {reply for reply, (each, _) in replies.items() if each is None}
        moving = {reply for reply in bad if self._follow and reply.startswith(b"-ASK ")}
        errors = [reply[1:].decode("utf-8", "replace") for reply in bad - moving]
        failed = _those(batch, lines, bad - moving)
        asked = [(reply.split(b" ")[2].decode(), _those(batch, lines, {reply})) for reply in moving]
        kept = len(batch.records) - len(failed) - sum(len(some) for _, some in asked) - stored
        return _Answer(batch, stored, kept, errors, failed, asked)

    def _lines(self, count: int) -> list[bytes]:
        """Take so many replies out of what was received."""
        end = self._received.index(b"\n") + 1
        first = bytes(self._received[:end])
        if self._received.startswith(alike := first * count):  # as it is nearly always
            del self._received[: len(alike)]
            return [first[:-2]] * count
        *lines, rest = bytes(self._received).split(b"\r\n", count)
        self._received = bytearray(rest)
        return lines

    def close(self, *, reusable: bool = False) -> list[_Sent]:
        """Give the connection back; returns what it holds, in order."""
        if self._connection is not None:
            if self.sent or not reusable:
                self._connection.disconnect()  # type: ignore[no-untyped-call]  # replies that come yet are nobody else's
            self._pool.release(self._connection)
        held = [*self.sent, *self.waiting]
        self._connection, self._received, self.sent, self.waiting = (
            None,
            bytearray(),
            deque(),
            deque(),
        )
        return held

    def _open(self) -> Connection:
        self._connection = connection = self._pool.get_connection()
        if self._mode.script is not None:
            connection.send_command("SCRIPT LOAD", self._mode.script)  # type: ignore[no-untyped-call]
            connection.read_response()
        return connection

    def _read(self) -> int:
        """Receive something; returns how many lines end in it."""
        # The driver's parser makes an object of every reply; these are counted.
        socket = self._connection._get_socket() if self._connection else None
        found: bytes = socket.recv(_READ) if socket else b""
        if not found:
            raise exceptions.ConnectionError("Connection closed by server.")
        self._received += found
        return found.count(b"\n")


def _those(batch: _Sent, lines: list[bytes], replies: set[bytes]) -> pa.RecordBatch:
    """The records of the commands that had one of these replies."""
    if not replies:
        return batch.records.slice(0, 0)
    chosen = np.repeat([line in replies for line in lines], batch.together)[: len(batch.records)]
    return batch.records.filter(pa.array(chosen))


class BulkWriter:
    """Writes one stream of batches.

    Args:
        nodes: where to.
        mode: `COMPARE` or `REPLACE`.
        translated: makes an error of ours from a driver's and from what was being done.
        patience_seconds: for how long a server that can't write just now is asked again.
        rows_per_second: at most; None: as many as the server takes.
    """

    def __init__(
        self,
        nodes: Nodes,
        mode: Mode,
        translated: Callable[[exceptions.RedisError, str], PlaneError],
        *,
        patience_seconds: float,
        rows_per_second: float | None,
    ) -> None:
        self._nodes, self._mode, self._translated = nodes, mode, translated
        self._patience, self._rate = patience_seconds, rows_per_second
        self._links: dict[str, _Link] = {}
        self._again: list[_Sent] = []
        self._failure: TransientError | None = None
        self._failures, self._failing_since = 0, 0.0
        self._count = WriteCount()

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        """Write all of it and return when every reply was counted.

        Raises:
            TransientError: a server did not write for all of its patience; what was written stays.
            PermanentError: a server refuses; what was written stays.
        """
        try:
            for records in batches if self._rate is None else _paced(batches, self._rate):
                if records.num_rows == 0:
                    continue
                self._assign(_Sent(records, self._mode.together))
                self._work(finish=False)
            self._work(finish=True)
        finally:
            for link in self._links.values():
                link.close(reusable=True)
        return self._count

    def _assign(self, batch: _Sent) -> None:
        try:
            parts = list(self._nodes.split(batch.records))
        except exceptions.RedisError as error:
            self._failed(error, "looking for its nodes")
            self._again.append(batch)
            return
        for node, part in parts:
            self._link(node).waiting.append(
                _Sent(part, batch.together if self._nodes.one_slot else 1)
            )

    def _link(self, node: str) -> _Link:
        if node not in self._links:
            self._links[node] = _Link(
                self._nodes.pool(node), self._mode, follow=not self._nodes.one_slot
            )
        return self._links[node]

    def _work(self, *, finish: bool) -> None:
        """Send and receive until nothing waits.

        With `finish`, or to send again what failed, until nothing is owed.
        """
        while True:
            for link in list(self._links.values()):
                try:
                    link.push()
                    if link.waiting or (link.sent and (finish or self._again)):
                        self._settle(link.receive())
                except (exceptions.RedisError, OSError) as error:
                    self._failed(
                        error if isinstance(error, exceptions.RedisError) else _lost(error),
                        "writing",
                    )
                    self._again += link.close()
            if any(
                link.waiting or (link.sent and (finish or self._again))
                for link in self._links.values()
            ):
                continue
            if not self._again:
                return
            self._heal()

    def _settle(self, answer: _Answer) -> None:
        self._count.written += answer.stored
        self._count.kept_newer += answer.kept
        if answer.stored or answer.kept:
            self._failure = None
        for node, records in answer.asked:
            self._link(node).waiting.append(_Sent(records, 1, asking=True))
        if answer.errors:
            # An error is of a command: alone, each of its records says whether it is of this one.
            if answer.sent.together == 1:
                doing = (
                    f"writing ({answer.failed.num_rows} of {answer.sent.records.num_rows} records"
                    " failed)"
                )
                for text in answer.errors:
                    self._failed(exceptions.ResponseError(text), doing)
            self._again.append(_Sent(answer.failed, 1))

    def _failed(self, error: exceptions.RedisError, doing: str) -> None:
        """Raise what does not pass, and what has not passed in all the time that there was."""
        found = self._translated(error, doing)
        if not isinstance(found, TransientError):
            raise found from None
        if self._failure is None:
            self._failures, self._failing_since = 0, time.monotonic()
        elif time.monotonic() - self._failing_since > self._patience:
            raise found from None
        self._failure = found

    def _heal(self) -> None:
        """Send again what failed: to the nodes that there are now, over connections that know the
        script."""
        time.sleep(min(0.5, 0.01 * 2**self._failures))
        self._failures += 1
        for link in self._links.values():
            link.close()
        self._links = {}
        self._nodes.refresh()
        again, self._again = self._again, []
        for batch in again:
            self._assign(batch)


def _lost(error: OSError) -> exceptions.RedisError:
    kind = (
        exceptions.TimeoutError if isinstance(error, TimeoutError) else exceptions.ConnectionError
    )
    return kind(str(error))
