"""HTTP on uvicorn, with limits on heads, connections and time, and fewer writes.

uvicorn itself accepts a head of any size, however slowly it arrives. And it writes the parts of a
response one by one; here they are sent together.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from controlplane.server.connections import MAX_HEAD, MAX_HEADERS, Connections, Queue
from controlplane.server.refused import Refused, as_json

if TYPE_CHECKING:
    from controlplane.server.run import Config

_LOGGER = logging.getLogger("controlplane.server.http")
_PIECE = 4096
"""Bytes that are parsed at a time; between pieces, limits are checked and requests are counted."""
_BODY_PIECE = 65_536
_MAX_DISCARDED = 262_144
"""Bytes that are read and discarded after a refusal; then the client is no longer read."""
_MAX_DRAINED = 4 * 1024 * 1024
"""Bytes that are read and discarded of a body whose request was answered early."""
_FRAMING_SHARE = 8
"""The most bytes of framing for each byte of a body; honest chunks of one byte have 5."""


class _RefusedError(Exception):
    """A request was refused while it was parsed."""


class Protocol(HttpToolsProtocol):
    """One connection, which is closed if it stays too long in a phase of `Connections`."""

    def __init__(
        self,
        config: Config,
        *arguments: Any,  # noqa: ANN401 - uvicorn's
        **options: Any,  # noqa: ANN401 - uvicorn's
    ) -> None:
        super().__init__(config, *arguments, **options)
        self._connections: Connections = config.connections
        self.logger = _LOGGER
        self.phase: Queue | None = None
        self._held = memoryview(b"")  # received, not parsed yet
        self._pipelined = 0  # bytes of `_held` that are counted, because no body is among them
        self._in_head = self._in_body = False
        self._head = self._framing = self._body = 0  # bytes of the message that is being received
        self._began = False  # whether a message began or ended in the piece that is being parsed
        # How many more bytes to discard before reading stops; None: nothing is discarded.
        self._spare: int | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.BaseProtocol.connection_made`."""
        super().connection_made(_Joining(transport, self))  # type: ignore[arg-type]
        admitted = self._connections.admit()
        self._connections.enter(self, self._connections.waiting)
        if not admitted:
            text = f"this worker has {self._connections.limit} connections, which is its limit"
            self._refuse(Refused(503, text, hint="retry in a second", code="too_many_connections"))
            if not self._connections.may_linger:
                self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol.connection_lost`."""
        self._lost, self._held = True, memoryview(b"")
        self._connections.release(self._head + self._pipelined)
        self._head = self._pipelined = 0
        self._connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol.data_received`."""
        if self._spare is not None:
            self._discard(len(data))
            return
        if self._held or len(data) > _PIECE or self.flow.read_paused:
            self._held = memoryview(bytes(self._held) + data)
            self.parse()
            return
        self._parse(data)  # nearly always: without a copy

    def parse(self) -> None:
        """Parse the held bytes, until a request that is being answered pauses reading."""
        while self._held and not self.flow.read_paused and not self.transport.is_closing():
            size = _BODY_PIECE if self._in_body else _PIECE
            piece, self._held = self._held[:size], self._held[size:]
            self._parse(piece)
        if not self._held and not self.flow.read_paused:
            self._joining.read_on()
        self._count_pipelined()

    def _count_pipelined(self) -> None:
        size = 0 if self._in_body else len(self._held)
        if size == self._pipelined:
            return
        self._connections.release(self._pipelined)
        self._pipelined = size
        if not self._connections.hold(size) and size:
            self._refuse_for_memory()

    def _refuse_for_memory(self) -> None:
        text = "this worker holds too many incomplete or pipelined requests"
        refused = Refused(503, text, hint="retry in a second", code="too_many_connections")
        self._refuse(refused)

    def _parse(self, piece: bytes | memoryview) -> None:
        self._began, body = False, self._body
        super().data_received(cast("bytes", piece))
        if self._began and not (self._in_head or self._in_body):
            return  # nearly always: the piece was a whole request
        if self._spare is not None or self.transport.is_closing():
            return
        if self._in_body:
            self._framing += len(piece) - (self._body - body)
            if self._framing > MAX_HEAD + _FRAMING_SHARE * self._body:
                self._too_long("chunk sizes, chunk extensions and trailers", 431)
            elif self.phase is self._connections.draining and self._body > _MAX_DRAINED:
                self.abort()
            elif len(self.headers) > MAX_HEADERS:
                self._too_long("trailer", 431)
            return
        if not self.busy and self.phase is self._connections.known:
            self._connections.enter(self, self._connections.waiting)
        if not self._began:
            self._head += len(piece)
            if not self._connections.hold(len(piece)):
                self._refuse_for_memory()
            elif self._head > MAX_HEAD or len(self.headers or ()) > MAX_HEADERS:
                self._head_too_long()

    def _head_too_long(self) -> None:
        if len(getattr(self, "url", b"")) > self._head // 2:
            self._too_long("request target", 414)
        else:
            self._too_long("request's head", 431)

    def _too_long(self, part: str, status: int) -> None:
        text = f"the {part} is longer than {MAX_HEAD} bytes"
        if status == 431:
            text += f", or there are more than {MAX_HEADERS} headers"
        self._refuse(Refused(status, text, hint="send less"))

    def _refuse(self, refused: Refused) -> None:
        """Send the refusal, unless earlier requests are still answered; close the connection."""
        self._connections.refused(refused.code)
        self._spare, self._held = _MAX_DISCARDED, memoryview(b"")
        if self.busy:
            if self.pipeline or not self._in_body or self.cycle.response_started:
                # The connection is closed when the earlier requests are answered.
                self.cycle.keep_alive = False
                return
            # The application waits for a body that will not arrive: end its wait.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = as_json(refused)
        head = (
            STATUS_LINE[refused.status] + b"content-type: application/json\r\nconnection: close\r\n"
        )
        if refused.status == 503:
            head += b"retry-after: 1\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()

    def _discard(self, size: int) -> None:
        if self._spare is not None and self._spare >= 0:
            self._spare -= size
            if self._spare < 0:
                self.flow.pause_reading()

    # Callbacks of the parser

    def send_400_response(self, msg: str) -> None:
        """See `HttpToolsProtocol`."""
        if self._spare is not None:
            return  # the request was refused, and `_RefusedError` stopped the parser
        self._connections.refused("not_http")
        super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """See `HttpToolsProtocol`."""
        super().on_message_begin()
        self._in_head = self._began = True
        self._framing = self._body = 0

    def on_headers_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        if self._head or len(self.headers) > MAX_HEADERS:
            self._check_head()
        if self.phase is not self._connections.known:
            self._connections.enter(self, self._connections.known)
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        # Lines from now on are trailers. uvicorn would add them to the request's headers.
        self.headers = []

    def _check_head(self) -> None:
        if self._head + 2 * _PIECE > MAX_HEAD and self._head_size() > MAX_HEAD:
            self._head_too_long()
        elif len(self.headers) > MAX_HEADERS:
            self._too_long("request's head", 431)
        if self._spare is not None:
            raise _RefusedError  # the rest of the piece is not parsed
        self._connections.release(self._head)
        self._head = 0

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """See `HttpToolsProtocol`."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._in_body, self._began = False, True
        super().on_message_complete()
        if self.phase is self._connections.draining:
            self._connections.enter(self, self._connections.known)

    # Callbacks of the response

    def on_response_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.busy:
            # uvicorn resumes reading here, even while more requests wait for their turn.
            if self.pipeline:
                self.flow.pause_reading()
        elif self._in_body:
            self._connections.enter(self, self._connections.draining)
        elif self._in_head or self._head:
            self._connections.enter(self, self._connections.waiting)
        else:
            self._connections.enter(self, self._connections.known)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol.pause_writing`."""
        super().pause_writing()
        self._connections.stalled[self] = self.loop.time()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol.resume_writing`."""
        super().resume_writing()
        self._connections.stalled.pop(self, None)

    # The interface for `Connections`

    @property
    def busy(self) -> bool:
        """See `Connection.busy`."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def unread(self) -> bool:
        """Whether the client may still send bytes, so that closing would reset the connection."""
        return self._in_head or self._in_body or self._head > 0 or self._spare is not None

    def lingers(self) -> None:
        """Note that the last answer is written."""
        if self._lost:
            return
        if self._spare is None:
            self._spare = _MAX_DISCARDED
        self._held = memoryview(b"")
        if self.phase is not self._connections.ending:
            self._connections.enter(self, self._connections.ending)
        self.flow.resume_reading()

    @property
    def holds(self) -> bool:
        """Whether bytes were received that are not parsed yet."""
        return bool(self._held)

    @property
    def _joining(self) -> _Joining:
        return cast("_Joining", self.transport)

    @property
    def unsent(self) -> bool:
        """See `Connection.unsent`."""
        return self.transport.get_write_buffer_size() > 0

    def shutdown(self) -> None:
        """See `HttpToolsProtocol`."""
        if self.busy:
            super().shutdown()
        else:
            self.evict()

    def expire(self) -> None:
        """See `Connection.expire`."""
        if self._in_head or self._head:
            self._refuse(
                Refused(
                    408,
                    "the request's head did not arrive in time",
                    hint="send it again",
                    code="head_too_slow",
                )
            )
        else:
            self._connections.refused("silent")
            self.evict()

    def evict(self) -> None:
        """See `Connection.evict`."""
        self._joining.close_now()

    def abort(self) -> None:
        """See `Connection.abort`."""
        self.transport.abort()


class _Joining:
    """A transport that joins all writes of one turn of the event loop into one.

    It also closes in a way that lets the client read the last response. Everything else is passed
    on to the transport that it wraps.
    """

    def __init__(self, transport: asyncio.Transport, protocol: Protocol) -> None:
        self._transport, self._protocol, self._loop = transport, protocol, protocol.loop
        self._parts: list[bytes] = []
        self._closing = self._paused = False
        # The bound method itself, without a wrapper: it is called several times for each request.
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the transport
        return getattr(self._transport, name)

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport.pause_reading`."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport.resume_reading`; held bytes are parsed before more is read."""
        if self._protocol.holds:
            self._loop.call_soon(self._protocol.parse)
        else:
            self.read_on()

    def read_on(self) -> None:
        """Read from the client again."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """See `asyncio.WriteTransport.write`."""
        if self._closing:
            return
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """See `asyncio.BaseTransport.close`.

        The client's bytes are discarded until it has read the response.
        """
        if self._closing:
            return
        if not self._protocol.unread or self._transport.is_closing():
            self.close_now()
            return
        self._flush()
        self._close()
        self._transport.write_eof()
        self._protocol.lingers()

    def close_now(self) -> None:
        """Close without waiting for the client; the written bytes are still sent."""
        self._flush()
        self._close()
        self._transport.close()
        # A closed transport stays open while the client does not read, so its time is limited, too.
        self._protocol.lingers()

    def _close(self) -> None:
        self._closing, self.is_closing = True, lambda: True

    def _flush(self) -> None:
        # The client may have closed the connection since the write.
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()
