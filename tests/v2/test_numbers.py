"""service/v2/numbers.py: an array of JSON becomes bytes where it is whole numbers of a byte, nested as its shape says."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from service.errors import MalformedRequest
from service.v2.numbers import read_bytes, take_out

SHAPE = (4, 100, 100, 3)  # over the 64 KiB from which on an array is taken out of the JSON
NUMBERS = np.random.default_rng(2).integers(0, 256, SHAPE, np.uint8)
FLAT, NESTED = (orjson.dumps(each, option=orjson.OPT_SERIALIZE_NUMPY) for each in (NUMBERS.ravel(), NUMBERS))


def read(array: bytes) -> NDArray[np.uint8]:
    """The numbers of a JSON object whose "data" is this."""
    rest, text = take_out(np.frombuffer(b'{"data":' + array + b',"more":1}', np.uint8))
    orjson.loads(rest)
    assert text is not None
    return read_bytes(text, SHAPE)


@pytest.mark.parametrize("text", [FLAT, NESTED])
def test_numbers_are_read(text: bytes) -> None:
    assert np.array_equal(read(text), NUMBERS.ravel())


@pytest.mark.parametrize(
    "odd", [b"256", b"-1", b"1.0", b'"1"', b"null", b"[0]", b"{}", str(2**64 - 1).encode(), b"1" + b"0" * 30]
)
def test_what_is_no_whole_number_of_a_byte_is_refused(odd: bytes) -> None:
    begun, _, _ = FLAT.rpartition(b",")
    with pytest.raises(MalformedRequest, match="0 to 255"):
        read(begun + b"," + odd + b"]")


@pytest.mark.parametrize("odd", [b"01", b"1 2", b"+1", b"1e2", b"", b"1,", b"0x1", b"1]", b"[1"])
def test_numbers_that_json_does_not_have_are_refused(odd: bytes) -> None:
    _, _, rest = FLAT.partition(b",")
    with pytest.raises((MalformedRequest, orjson.JSONDecodeError)):
        read(b"[" + odd + b"," + rest)


@pytest.mark.parametrize("pixel", [b"[0,1]", b"[0,1,2,3]", b"5", b'"abc"', b"null", b"[[0],[1],[2]]", b"{}"])
def test_data_nested_otherwise_is_refused(pixel: bytes) -> None:
    begun, _, _ = NESTED.rpartition(b"[")  # of the last pixel
    with pytest.raises((MalformedRequest, orjson.JSONDecodeError)):
        read(begun + pixel + b"]]]")


@pytest.mark.parametrize("text", [FLAT[:-1], FLAT + b"]", b"[" + FLAT, NESTED[:-1], b"[" + NESTED + b"]"])
def test_brackets_that_do_not_match_are_refused(text: bytes) -> None:
    with pytest.raises((MalformedRequest, orjson.JSONDecodeError)):
        read(text)
