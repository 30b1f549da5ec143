"""service/http/log_writer.py: a log that nobody reads holds nobody up."""

from __future__ import annotations

import logging
import os

from service.http.log_writer import MAX_LINES, LogWriter

TOO_MANY = 100
PIPE_BYTES = 1024 * 1024  # more than a pipe holds


def write(writer: LogWriter, message: str) -> None:
    writer.handle(logging.LogRecord("test", logging.INFO, __file__, 1, message, (), None))


def test_lines_that_nobody_reads_are_dropped_and_counted_and_said_later() -> None:
    """Before, every thread that logged waited in write() as soon as the pipe was full: after 119 requests all stood still."""
    reading, writing = os.pipe()
    writer = LogWriter(writing)
    write(writer, "x" * PIPE_BYTES)  # the thread that writes waits in here
    while writer.waiting:  # until it has taken that line
        pass
    for number in range(MAX_LINES + TOO_MANY):
        write(writer, f"line {number}")
    assert writer.num_dropped == TOO_MANY
    with os.fdopen(reading, encoding="utf-8") as reader:
        lines = [reader.readline() for _ in range(MAX_LINES + 2)]
    assert lines[1].startswith(f"{TOO_MANY} lines of the log were dropped")
    assert lines[2:] == [f"line {number}\n" for number in range(MAX_LINES)]
    writer.flush()
    os.close(writing)


def test_flushed_lines_are_written() -> None:
    reading, writing = os.pipe()
    writer = LogWriter(writing)
    write(writer, "a \ud800 line")
    writer.flush()
    os.close(writing)
    with os.fdopen(reading, "rb") as reader:
        assert reader.read() == b"a \\ud800 line\n"


def test_a_log_that_is_closed_ends_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(writing)
    write(writer, "gone")
    writer.flush()
    assert writer.num_dropped == 1
    os.close(writing)
