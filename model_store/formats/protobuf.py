"""Just enough of the protobuf wire format to walk through a message that is too large, or too unknown, for a parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Bytes = Any  # bytes, memoryview or mmap: what gives a number for an index and bytes for a slice


def varint(content: Bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and the place behind it. Raises IndexError behind the end or where it is no number."""
    value = 0
    for place in range(10):
        byte = content[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError(at)


def spans(content: Bytes) -> Iterator[tuple[int, int, int, int]]:
    """(field number, wire type, first byte, end) of each field: of a varint its own bytes, of a message its content.

    Raises IndexError or KeyError where the bytes are no message from beginning to end.
    """
    at = 0
    while at < len(content):
        tag, at = varint(content, at)
        kind = tag & 7
        if kind == 0:
            begin, at = at, varint(content, at)[1]
        else:
            length, begin = varint(content, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            at = begin + length
        if at > len(content):
            raise IndexError(at)
        yield tag >> 3, kind, begin, at


def fields(content: Bytes) -> dict[int, list[Any]]:
    """Each field's values by its number: a number for a varint, else the bytes."""
    found: dict[int, list[Any]] = {}
    for number, kind, begin, end in spans(content):
        found.setdefault(number, []).append(varint(content, begin)[0] if kind == 0 else content[begin:end])
    return found
