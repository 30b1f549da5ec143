"""One connection: uvicorn's h11 protocol, which ends clients that neither send nor take, and refuses by problem details."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import termios
import uuid

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.errors import MalformedRequest
from service.http.problems import problem
from service.http.request_log import RequestRecord

log = logging.getLogger(__name__)


class Connection(H11Protocol):
    """Ends a connection that is slow to send the head of a request, or that takes nothing of an answer.

    uvicorn would wait for ever. Bodies of requests have their deadlines in the middleware.
    """

    idle_s = 30.0
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A client has come: the time for its first head begins."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # writing pauses while anything is left that the system did not take
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come. They do not restart the time for a head."""
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            data = data.lstrip(b"\r\n")  # RFC 9112, section 2.2: an empty line before a request is ignored
        if data:
            super().data_received(data)
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

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the head is whole
            _cancel(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.idle_s, self.transport.close)

    def _watch_writing(self, before: int) -> None:
        """However slowly, the client must have taken something since."""
        left = self._num_untaken()
        if left < before:
            self._write_timer = self.loop.call_later(self.idle_s, self._watch_writing, left)
            return
        log.info("a client read nothing of its answer for %g s; its connection was closed", self.idle_s)
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
