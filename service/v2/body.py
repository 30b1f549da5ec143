"""A body of the Open Inference Protocol becomes clips, and the network's outputs become the answer's body.

A body is JSON, or JSON with tensors behind it: little-endian, row by row, without gaps, in the order in which the JSON names
them (Triton's extension "binary_tensor_data").
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from model_store import c3d
from service.errors import BodyTooLarge, MalformedRequest, printable
from service.v2.numbers import TAKEN, read_bytes, take_out
from service.v2.schemas import INPUT, InferHead, InferRequest, OutputTensor

# Seven clips, which take six times as much memory while they are read.
MAX_JSON_BYTES = 16 * 1024 * 1024
CLIP_BYTES = math.prod(c3d.CLIP_SHAPE)
WRONG_LENGTH = "Inference-Header-Content-Length is not the number of bytes of JSON that the body begins with."
WANTED = f"The input is named '{INPUT}', has the datatype UINT8 and the shape [n, {', '.join(map(str, c3d.CLIP_SHAPE))}]"


class Inference(NamedTuple):
    """What a request asks for. ``outputs``: for each that it wants, whether as binary data."""

    clips: NDArray[np.uint8]  # (n, 16, 112, 112, 3) BGR; of binary data a view
    outputs: dict[str, bool]
    timeout_s: float | None
    id: str | None

    def num_json_numbers(self, sizes: Mapping[str, int]) -> int:
        """How many numbers the answer's JSON will hold, given how many each output has for a clip."""
        return len(self.clips) * sum(sizes[name] for name, as_binary in self.outputs.items() if not as_binary)


def json_length(header: str | None) -> int | None:
    """What the header Inference-Header-Content-Length says; None without that header: the body is all JSON.

    Raises MalformedRequest where it is no number.
    """
    if header is not None and not (header.isascii() and header.isdigit() and len(header) < 20):
        raise MalformedRequest(WRONG_LENGTH)
    return None if header is None else int(header)


def read(body: NDArray[np.uint8], length: int | None, available: Collection[str]) -> Inference:
    """Take a request's body apart, uint8 (size,), whose first ``length`` bytes are JSON; ``available``: the outputs there are.

    Raises MalformedRequest, with the first thing that is wrong; BodyTooLarge where there is too much JSON.
    """
    end = len(body) if length is None else length
    if end > len(body):
        raise MalformedRequest(WRONG_LENGTH)
    if end > MAX_JSON_BYTES:
        raise BodyTooLarge(f"The JSON is over {MAX_JSON_BYTES} bytes. Send the clips as binary data after it.")
    rest, array = take_out(body[:end])
    request = _parsed(rest)
    [tensor] = request.inputs
    num_clips, announced = tensor.shape[0], tensor.parameters.binary_data_size
    if (tensor.name, tensor.datatype, tuple(tensor.shape[1:])) != (INPUT, "UINT8", c3d.CLIP_SHAPE) or num_clips < 1:
        raise MalformedRequest(f"{WANTED}, n at least 1.")
    if (tensor.data is None) == (announced is None) or len(body) != end + (announced or 0):
        raise MalformedRequest(
            "The clips come either as 'data' or, with the parameter 'binary_data_size' and the header "
            "Inference-Header-Content-Length, as that many bytes after the JSON."
        )
    data = body[end:]
    if tensor.data is not None:
        if array is None or tensor.data != [TAKEN]:  # an array that is short enough to be left in the JSON
            raise MalformedRequest(f"The data holds far fewer numbers than a clip, which has {CLIP_BYTES}.")
        data = read_bytes(array, tensor.shape)
    if len(data) != num_clips * CLIP_BYTES:
        raise MalformedRequest(f"The shape needs {num_clips * CLIP_BYTES} bytes, and the data has {len(data)}.")
    names = [output.name for output in request.outputs] or list(available)
    if len(set(names)) < len(names) or not set(names) <= set(available):
        raise MalformedRequest(f"Ask for each output once at most. There are: {', '.join(available)}.")
    as_binary = dict.fromkeys(names, request.parameters.binary_data_output)
    as_binary |= {each.name: each.parameters.binary_data for each in request.outputs if each.parameters.binary_data is not None}
    clips = data.reshape(num_clips, *c3d.CLIP_SHAPE)
    return Inference(clips, as_binary, request.parameters.timeout / 1e6 or None, request.id)


def json_pieces(head: InferHead, outputs: Mapping[str, NDArray[np.float32]], as_binary: Mapping[str, bool]) -> Iterator[bytes]:
    """The JSON of an answer: ``head``, and the outputs, float32 (n, ...) each, of which the numbers of one clip are a piece."""
    yield orjson.dumps(head)[:-1] + b',"outputs":['
    for place, (name, array) in enumerate(outputs.items()):
        tensor: OutputTensor = {"name": name, "datatype": "FP32", "shape": list(array.shape)}
        if as_binary[name]:
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        begun = b"," * (place > 0) + orjson.dumps(tensor)
        if as_binary[name]:
            yield begun
            continue
        yield begun[:-1] + b',"data":['
        for clip, row in enumerate(array):
            yield b"," * (clip > 0) + row_in_json(row)
        yield b"]}"
    yield b"]}"


def row_in_json(row: NDArray[np.float32]) -> bytes:
    """The numbers of one clip, float32 (...), with commas between them."""
    return orjson.dumps(row.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def binary_pieces(outputs: Mapping[str, NDArray[np.float32]], as_binary: Mapping[str, bool]) -> Iterator[bytes]:
    """The binary tensors behind that JSON."""
    for name, array in outputs.items():
        if as_binary[name]:
            yield from (row.astype("<f4", copy=False).tobytes() for row in array)


def _parsed(text: bytes) -> InferRequest:
    try:
        return InferRequest.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise MalformedRequest("The body does not begin with JSON of the length that its header gives.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "the JSON"  # out here: that error keeps all of the JSON
    raise MalformedRequest(f"{printable(where)}: {first['msg'].removeprefix('Value error, ')}.")
