"""The clips in a JSON body: millions of numbers, read by NumPy, which lets other threads run meanwhile; orjson would not.

15 MB of numbers hold all threads up for most of a second where a JSON parser makes a list of them. So the array is found in the
text, checked and read as bytes; what is left of the JSON is small.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedRequest

Bytes = NDArray[np.uint8]

# A string cannot hold this: the quotes in it would be escaped. So it is a key, or no JSON.
DATA = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*\[')
MAX_KEYS = 8  # of that name that are looked at; a request has one
MAX_REST_BYTES = 64 * 1024  # of JSON beside the clips; reading it takes 3 ms at most
BLOCK = 1024 * 1024
TAKEN = "the clips"  # stands in the JSON where the array was
DIGITS, MAX_DIGITS = b"0123456789", 3
SPACE = b" \t\r\n"
NO_ARRAY = re.compile(rb"[^][0-9, \t\r\n+.eE-]")  # what ends an array of numbers
WRONG = "The data is not whole numbers from 0 to 255, flat or nested as the shape says."


def take_out(text: Bytes) -> tuple[bytes, Bytes | None]:
    """JSON without its long array "data", where `TAKEN` stands instead, and that array's text; None where there is none.

    Raises MalformedRequest where the array holds anything but numbers, or the rest is too long.
    """
    begin, end = _long_array(text)
    rest = bytes(text[:begin]) + (b'["%s"]' % TAKEN.encode() if end else b"") + bytes(text[max(begin, end) :])
    if len(rest) > MAX_REST_BYTES:
        raise MalformedRequest(f"Beside 'data' the JSON holds over {MAX_REST_BYTES} bytes. No request needs that.")
    return rest, text[begin:end] if end else None


def _long_array(text: Bytes) -> tuple[int, int]:
    """Where the array begins and ends; 0 for the end where there is none that is long."""
    for _, match in zip(range(MAX_KEYS), DATA.finditer(text.data), strict=False):
        begin = end = match.end() - 1
        while end < len(text):
            other = NO_ARRAY.search(text[end : end + BLOCK].data)
            end += other.start() if other else len(text[end : end + BLOCK])
            if other:
                break
        if end - begin > MAX_REST_BYTES:
            return begin, begin + _length(text[begin:end])
    return len(text), 0


def _length(region: Bytes) -> int:
    """Up to its last bracket, behind which only a comma and space may come."""
    brackets = np.flatnonzero(region == ord("]"))
    length = int(brackets[-1]) + 1 if len(brackets) else 0
    if not length or region[length:].tobytes().strip() not in {b"", b","}:
        raise MalformedRequest(WRONG)
    return length


def read_bytes(array: Bytes, shape: Sequence[int]) -> Bytes:
    """The numbers of a JSON array, uint8 (n,), whose text is flat or nested like ``shape``. Raises MalformedRequest."""
    numbers, outlines, begin = [], [], 0
    while begin < len(array):
        end = begin + BLOCK
        cut_off = bytes(array[end : end + MAX_DIGITS])  # may belong to a number that began in this block
        end += len(cut_off) - len(cut_off.lstrip(DIGITS))
        found, outline = _read_block(array[begin:end])
        numbers.append(found)
        outlines.append(outline)
        begin = end
    count = sum(map(len, numbers))
    if count != math.prod(shape) or b"".join(outlines) not in {_outline([count]), _outline(shape)}:
        raise MalformedRequest(WRONG)
    return np.concatenate(numbers)


def _read_block(text: Bytes) -> tuple[Bytes, bytes]:
    """The numbers, uint8 (n,), and the text with a 0 for each of them and without space."""
    is_digit = text - np.uint8(ord("0")) < 10
    edges = np.flatnonzero(np.diff(is_digit, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    num_digits = ends - starts
    if num_digits.max(initial=0) > MAX_DIGITS or (text[starts[num_digits > 1]] == ord("0")).any():
        raise MalformedRequest(WRONG)
    numbers = np.zeros(len(starts), np.uint16)
    for place in range(MAX_DIGITS):
        has_digit = num_digits > place
        numbers[has_digit] += (text[ends[has_digit] - 1 - place] - np.uint8(ord("0"))) * np.uint16(10**place)
    if numbers.max(initial=0) > 255:
        raise MalformedRequest(WRONG)
    keep = ~is_digit
    keep[starts] = True
    outline = np.where(is_digit, np.uint8(ord("0")), text)[keep]
    return numbers.astype(np.uint8), outline.tobytes().translate(None, SPACE)


def _outline(shape: Sequence[int]) -> bytes:
    """Such an array of zeros, as JSON without space."""
    outline = b"0"
    for size in reversed(shape):
        outline = b"[" + ((outline + b",") * size)[:-1] + b"]"
    return outline
