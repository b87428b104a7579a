"""Writes in bulk: one stream of commands to each node, whose replies are counted in bulk.

Each record is always in exactly one of four states: waiting, sent, to be sent again, or counted. So
no failure loses a record.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from redis import exceptions
from redis.connection import Connection, ConnectionPool

from connectors.redis.commands import Mode
from controlplane.base.ports import WriteCount
from controlplane.errors import PlaneError, TransientError

_WINDOW = 2  # batches that a server may owe replies for; their replies fit into its buffers
_READ = 1 << 16  # bytes
_ASKING = b"*1\r\n$6\r\nASKING\r\n"


class Nodes(Protocol):
    """The nodes that records are written to. A node's name is `host:port`.

    Attributes:
        one_slot: whether a command may name any keys of a node together.
    """

    one_slot: bool

    def split(self, records: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        """Divide records by node, in order. May have to ask for the nodes first."""

    def pool(self, node: str) -> ConnectionPool:
        """Return the connections of a node; they speak RESP2."""

    def refresh(self) -> None:
        """Make the next `split` ask again which nodes exist."""


def _paced(batches: Iterable[pa.RecordBatch], rate: float) -> Iterator[pa.RecordBatch]:
    """Yield the same rows at `rate` rows a second, in pieces of a tenth of a second."""
    due, piece_rows = time.monotonic(), max(1, round(rate / 10))
    for batch in batches:
        for start in range(0, batch.num_rows, piece_rows):
            piece = batch.slice(start, piece_rows)
            time.sleep(max(0.0, due - time.monotonic()))
            # A delay of more than a second is not caught up: the server would get a burst.
            due = max(due, time.monotonic() - 1) + piece.num_rows / rate
            yield piece


class _Sent(NamedTuple):
    """Records that are sent together.

    Args:
        records: the records.
        together: how many of them each command holds.
        asking: whether ASKING precedes each command, because their slot still moves to this node.
    """

    records: pa.RecordBatch
    together: int
    asking: bool = False

    @property
    def commands(self) -> int:
        """The number of replies that the server owes."""
        return -(-len(self.records) // self.together) * (2 if self.asking else 1)


class _Answer(NamedTuple):
    """The outcome of one batch.

    Args:
        sent: the batch.
        stored: how many records were stored.
        kept: how many records were kept out, because their keys hold newer ones.
        errors: the texts of the errors.
        failed: the records of the commands that failed.
        redirected: the records that the server sends to another node, by the node.
    """

    sent: _Sent
    stored: int
    kept: int
    errors: list[str]
    failed: pa.RecordBatch
    redirected: list[tuple[str, pa.RecordBatch]]


class _Link:
    """The connection to one node, opened when needed, and the batches that wait or are sent."""

    def __init__(self, pool: ConnectionPool, mode: Mode, *, follow: bool) -> None:
        self._pool, self._mode, self._follow = pool, mode, follow
        self._connection: Connection | None = None
        self._received = bytearray()
        self.waiting: deque[_Sent] = deque()
        self.sent: deque[_Sent] = deque()

    def push(self) -> None:
        """Send waiting batches, as far as the window allows."""
        while self.waiting and len(self.sent) < _WINDOW:
            connection = self._connection or self._open()
            self.sent.append(batch := self.waiting.popleft())
            packed = self._mode.commands(
                batch.records, batch.together, _ASKING if batch.asking else b""
            )
            connection.send_packed_command([packed], check_health=False)  # type: ignore[no-untyped-call]

    def receive(self) -> _Answer:
        """Wait for the replies to the batch that was sent first; each reply is one line."""
        batch = self.sent[0]
        line_count = self._received.count(b"\n")
        while line_count < batch.commands:
            line_count += self._read()
        lines = self._lines(batch.commands)
        self.sent.popleft()
        lines = lines[1::2] if batch.asking else lines  # without the replies to ASKING
        replies = {
            reply: (self._mode.stored(reply), count) for reply, count in Counter(lines).items()
        }
        stored = sum(each * count for each, count in replies.values() if each is not None)
        bad = {reply for reply, (each, _) in replies.items() if each is None}
        moving = {reply for reply in bad if self._follow and reply.startswith(b"-ASK ")}
        errors = [reply[1:].decode("utf-8", "replace") for reply in bad - moving]
        failed = _records_of(batch, lines, bad - moving)
        redirected = [  # -ASK SLOT NODE
            (reply.split(b" ")[2].decode(), _records_of(batch, lines, {reply})) for reply in moving
        ]
        elsewhere = sum(len(records) for _, records in redirected)
        kept = len(batch.records) - len(failed) - elsewhere - stored
        return _Answer(batch, stored, kept, errors, failed, redirected)

    def _lines(self, count: int) -> list[bytes]:
        """Take `count` replies out of the received bytes."""
        end = self._received.index(b"\n") + 1
        first = bytes(self._received[:end])
        # Nearly always all replies are the same, and comparing is much cheaper than splitting.
        if self._received.startswith(repeated := first * count):
            del self._received[: len(repeated)]
            return [first[:-2]] * count
        *lines, rest = bytes(self._received).split(b"\r\n", count)
        self._received = bytearray(rest)
        return lines

    def close(self, *, reusable: bool = False) -> list[_Sent]:
        """Give the connection back; returns the batches that are not counted yet, in order."""
        if self._connection is not None:
            if self.sent or not reusable:
                # Else the next user of the connection would read the replies that are still owed.
                self._connection.disconnect()  # type: ignore[no-untyped-call]
            self._pool.release(self._connection)
        uncounted = [*self.sent, *self.waiting]
        self._connection, self._received = None, bytearray()
        self.sent, self.waiting = deque(), deque()
        return uncounted

    def _open(self) -> Connection:
        self._connection = connection = self._pool.get_connection()
        if self._mode.script is not None:
            connection.send_command("SCRIPT LOAD", self._mode.script)  # type: ignore[no-untyped-call]
            connection.read_response()
        return connection

    def _read(self) -> int:
        """Receive some bytes; returns how many lines end in them."""
        # Past the driver's parser, which makes an object of every reply: here they are counted.
        socket = self._connection._get_socket() if self._connection else None
        received: bytes = socket.recv(_READ) if socket else b""
        if not received:
            raise exceptions.ConnectionError("Connection closed by server.")
        self._received += received
        return received.count(b"\n")


def _records_of(batch: _Sent, lines: list[bytes], replies: set[bytes]) -> pa.RecordBatch:
    """Return the records of the commands whose reply is one of `replies`."""
    if not replies:
        return batch.records.slice(0, 0)
    chosen = np.repeat([line in replies for line in lines], batch.together)[: len(batch.records)]
    return batch.records.filter(pa.array(chosen))


class BulkWriter:
    """Writes one stream of batches.

    Args:
        nodes: the nodes to write to.
        mode: `COMPARE` or `REPLACE`.
        translated: returns an error of the platform for a driver's error and the action that
            failed.
        patience_seconds: for how long to retry while a server can't write.
        rows_per_second: the limit; None: as many as the server takes.
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
        """Write all batches, and return when every reply is counted.

        Records that were written before an error stay.

        Raises:
            TransientError: a server did not write for `patience_seconds`.
            PermanentError: a server refuses the write.
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
        """Send and receive until no batch waits.

        With `finish`, or if records failed and must be sent again, until no reply is owed.
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
            self._resend()

    def _settle(self, answer: _Answer) -> None:
        self._count.written += answer.stored
        self._count.kept_newer += answer.kept
        if answer.stored or answer.kept:
            self._failure = None
        for node, records in answer.redirected:
            self._link(node).waiting.append(_Sent(records, 1, asking=True))
        if answer.errors:
            # An error belongs to a whole command. Its records are sent again one by one, to learn
            # which of them fails.
            if answer.sent.together == 1:
                action = (
                    f"writing ({answer.failed.num_rows} of {answer.sent.records.num_rows} records"
                    " failed)"
                )
                for text in answer.errors:
                    self._failed(exceptions.ResponseError(text), action)
            self._again.append(_Sent(answer.failed, 1))

    def _failed(self, error: exceptions.RedisError, action: str) -> None:
        """Note a failure; raise it if it is permanent, or if the patience is used up."""
        failure = self._translated(error, action)
        if not isinstance(failure, TransientError):
            raise failure from None
        if self._failure is None:
            self._failures, self._failing_since = 0, time.monotonic()
        elif time.monotonic() - self._failing_since > self._patience:
            raise failure from None
        self._failure = failure

    def _resend(self) -> None:
        """Send failed records again, to the nodes that exist now.

        New connections load the script again: a server that restarted has lost it.
        """
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
    is_timeout = isinstance(error, TimeoutError)
    error_type = exceptions.TimeoutError if is_timeout else exceptions.ConnectionError
    return error_type(str(error))
