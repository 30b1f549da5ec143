"""One connection: uvicorn's h11 protocol, which ends clients that neither send nor take, and refuses by problem details.

Parsing takes the event loop's time, which is everybody's: h11 needs some 15 microseconds for each chunk of a body and 4 for each
line of a head, whatever little is in them. So heads have bounds, and tiny chunks wait for turns.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import re
import struct
import termios
import uuid
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.errors import MalformedRequest
from service.http.problems import problem
from service.http.request_log import RequestRecord
from service.http.turns import Turns

log = logging.getLogger(__name__)

READ_BYTES = 16 * 1024  # at once: asyncio's 256 KiB can hold 40,000 chunks
MAX_HEAD_BYTES = 16 * 1024  # as nginx and Node.js have it, more or less
MAX_HEAD_LINES = 256  # 1 ms; behind three proxies a browser sends 40
END_OF_HEAD = re.compile(rb"\n\r?\n")  # as h11 looks for it
SMALL_CHUNK_BYTES = 512  # HTTP clients send chunks of 8 KiB and more
FREE_CHUNKS = 16  # small ones that one read may hold; more of them wait for a turn
TURN_CHUNKS = 160  # small ones in a turn: 2 to 3 ms


MIN_BYTES_PER_S = 1024  # of an answer that a client takes, over `idle_s`


class Parser(h11.Connection):
    """Takes apart what a client sends, so much of it at a time. Refuses heads that are too long, or that two servers could
    understand differently."""

    chunks_left = 0  # small ones that may still be taken apart in this turn

    def next_event(self) -> Any:
        """As h11's. NEED_DATA also where the turn is over: then `is_interrupted`."""
        if self.is_interrupted():
            return h11.NEED_DATA
        if self.their_state is h11.IDLE:
            self._check_length()
        event = super().next_event()
        if isinstance(event, h11.Data) and len(event.data) < SMALL_CHUNK_BYTES:
            self.chunks_left -= 1
        if isinstance(event, h11.Request) and {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
            raise h11.RemoteProtocolError("The length of the body is given twice (RFC 9112, section 6.3).")
        return event

    def is_interrupted(self) -> bool:
        """Whether more may be here than was taken apart."""
        return self.chunks_left <= 0

    def _check_length(self) -> None:
        received = self.trailing_data[0]
        end = END_OF_HEAD.search(received)
        length = end.end() if end else len(received)
        if length > MAX_HEAD_BYTES or received.count(b"\n", 0, length) > MAX_HEAD_LINES:
            raise h11.RemoteProtocolError("The head of the request is too long.")


class Connection(H11Protocol):
    """Ends a connection that is slow to send the head of a request, or that takes nothing of an answer.

    uvicorn would wait for ever. Bodies of requests have their deadlines in the middleware.
    """

    idle_s = 30.0
    max_connections = 1024
    turns = Turns()
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _waits_for_turn = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A client has come: the time for its first head begins."""
        self.conn: Parser = Parser(h11.SERVER, MAX_HEAD_BYTES)
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's transports for sockets
        transport.set_write_buffer_limits(0)  # writing pauses while anything is left that the system did not take
        self._active_at = self.loop.time()
        if len(self.connections) > self.max_connections:
            self._make_room()
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come. They do not restart the time for a head."""
        self._active_at = self.loop.time()
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            data = data.lstrip(b"\r\n")  # RFC 9112, section 2.2: an empty line before a request is ignored
        if data:
            super().data_received(data)
        self._watch_head()

    def handle_events(self) -> None:
        """Take apart what has come, as much of it as is cheap; the rest when there is a turn."""
        if not self._waits_for_turn:
            self._handle(FREE_CHUNKS)

    def _handle(self, num_chunks: int) -> None:
        self.conn.chunks_left = num_chunks
        super().handle_events()
        if self.conn.is_interrupted() and not self.transport.is_closing():
            self._waits_for_turn = True
            self.transport.pause_reading()
            self.turns.wait(self._take_turn)

    def _take_turn(self) -> None:
        self._waits_for_turn = False
        if self.transport.is_closing():
            return
        self._handle(TURN_CHUNKS)
        if not self._waits_for_turn and not self.flow.read_paused:
            self.transport.resume_reading()
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        _cancel(self._head_timer)
        _cancel(self._write_timer)

    def pause_writing(self) -> None:
        """The system took less than there was: the client has to take something now."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.idle_s, self._watch_writing, self._num_untaken())

    def resume_writing(self) -> None:
        """The system took the rest."""
        super().resume_writing()
        self._active_at = self.loop.time()
        _cancel(self._write_timer)

    def _should_upgrade(self) -> bool:
        """Whether to speak another protocol: never, and Java's clients offer h2c with every request, so it is not warned of."""
        return False

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:  # an answer is on its way already
            self.transport.close()
            return
        record = RequestRecord(uuid.uuid4().hex, "", "")
        answer = problem(MalformedRequest("This is not an HTTP/1.1 request (RFC 9112)."), record)
        ours = [(b"x-request-id", record.request_id.encode()), (b"connection", b"close")]
        head = h11.Response(status_code=400, headers=[*self.server_state.default_headers, *answer.raw_headers, *ours])
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def cost_of_ending(self) -> tuple[int, float]:
        """The smaller, the sooner this connection is ended for a new one: without a request first, then before its body is whole;
        of each, the one that was silent for longest."""
        if self.cycle is None or self.cycle.response_complete:
            return 0, self._active_at
        return 1 if self.conn.their_state is h11.SEND_BODY else 2, self._active_at

    def _make_room(self) -> None:
        """End the connection that is missed least, so that a new one, a probe for instance, always gets in."""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        least = min(others, key=Connection.cost_of_ending)
        log.debug("over %d connections are open: closing the one that has been idle longest", self.max_connections)
        least.transport.abort()

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the head is whole
            _cancel(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.idle_s, self.transport.close)

    def _watch_writing(self, before: int) -> None:
        """The client may be slow, but must have taken some of it since."""
        left = self._num_untaken()
        if before - left >= MIN_BYTES_PER_S * self.idle_s:
            self._write_timer = self.loop.call_later(self.idle_s, self._watch_writing, left)
            return
        log.info("a client read %d bytes of its answer in %g s; its connection was closed", before - left, self.idle_s)
        self.transport.abort()

    def _num_untaken(self) -> int:
        """Bytes of the answer that the client's system has not acknowledged: those here and those in our system's buffer.

        The latter is asked for each time (tcp(7), SIOCOUTQ): the system comes back for more only when a third of its
        buffer is free, which takes a slow client minutes.
        """
        socket = self.transport.get_extra_info("socket")
        (in_system,) = struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)))
        return int(self.transport.get_write_buffer_size() + in_system)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
