"""service/v2/body.py: every body there is becomes its clips or a sentence that says what is wrong with it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from model_store.c3d import CLIP_SHAPE
from service.errors import BodyTooLarge, MalformedRequest, ServiceError
from service.v2.body import CLIP_BYTES, MAX_JSON_BYTES, Inference, binary_pieces, json_length, json_pieces, read
from service.v2.schemas import InferHead
from tests.support.fakes import model_block

OUTPUTS = ("fc6", "fc7", "probabilities")
CLIPS = np.random.default_rng(6).integers(0, 256, (2, *CLIP_SHAPE), np.uint8)
BYTES = CLIPS.tobytes()
HUGE = 2**64 - 1
# What may stand in the place of anything.
NASTY: list[Any] = [
    None, True, False, 0, -1, 1, HUGE, 10**30, 1.5, -0.0, "", "1", "clips", "\x00", "x" * 5000, [], [[]], [[[[[[[]]]]]]], {},
    {"a": 1}, [None], [0] * 5, [-1] * 5, [HUGE] * 5, {"binary_data_size": -1}, {"shared_memory_region": "a"}, {"binary_data": 1},
    {"timeout": -1}, {"timeout": HUGE}, {"priority": 1}, {"classification": 3}, [{}], [{}] * 50,
]  # fmt: skip


def tensor(**changes: Any) -> dict[str, Any]:
    """The input, as binary data by default."""
    given = {"name": "clips", "shape": [2, *CLIP_SHAPE], "datatype": "UINT8", "parameters": {"binary_data_size": 2 * CLIP_BYTES}}
    return {name: value for name, value in (given | changes).items() if value is not ...}


def request(**changes: Any) -> dict[str, Any]:
    """A request with its clips behind it."""
    return {"inputs": [tensor()]} | changes


def in_json(data: Any, num_clips: int = 2) -> dict[str, Any]:
    """A request with its clips in it."""
    return request(inputs=[tensor(parameters=..., data=data, shape=[num_clips, *CLIP_SHAPE])])


def bodied(*parts: bytes | bytearray) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(parts), np.uint8)


def taken(content: Any, behind: bytes | NDArray[np.uint8] | None = None, available: tuple[str, ...] = OUTPUTS) -> Inference:
    """What is read of this JSON, with the bytes behind it."""
    head = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return read(bodied(head, bytes(behind or b"")), None if behind is None else len(head), available)


def refusal(content: Any, behind: bytes | None = BYTES) -> str:
    with pytest.raises(MalformedRequest) as raised:
        taken(content, behind)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300
    return str(raised.value)


def test_binary_clips_are_a_view_of_the_body() -> None:
    head = orjson.dumps(request())
    body = bodied(head, BYTES)
    inference = read(body, len(head), OUTPUTS)
    assert np.array_equal(inference.clips, CLIPS)
    assert np.shares_memory(inference.clips, body)


def test_the_defaults_are_all_outputs_in_json_and_the_servers_time() -> None:
    inference = taken(request(), BYTES)
    assert inference[1:] == (dict.fromkeys(OUTPUTS, False), None, None)


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_json_clips_may_be_flat_or_nested(*, nested: bool, spaced: bool) -> None:
    content = in_json(CLIPS[:1] if nested else CLIPS[:1].ravel(), 1)
    text = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    if spaced:
        text = text.replace(b",", b" ,\r\n ").replace(b"[", b"[ ").replace(b"]", b"\t]").replace(b":", b" : ")
    assert np.array_equal(read(bodied(text), None, OUTPUTS).clips, CLIPS[:1])


def test_the_id_and_unknown_fields_do_no_harm() -> None:
    content = request(id="4\N{CLAPPER BOARD}2", model_name="c3d", extra={"deep": [1]})
    assert taken(content, BYTES).id == "4\N{CLAPPER BOARD}2"


@pytest.mark.parametrize(("microseconds", "seconds"), [(1_500_000, 1.5), (1, 1e-6), (0, None)])
def test_the_timeout_is_in_microseconds(microseconds: int, seconds: float | None) -> None:
    assert taken(request(parameters={"timeout": microseconds}), BYTES).timeout_s == seconds


@pytest.mark.parametrize("by_default", [False, True])
def test_each_output_says_its_form_or_the_request_does(*, by_default: bool) -> None:
    wanted = [
        {"name": "probabilities", "parameters": {"binary_data": False}},
        {"name": "fc6"},
        {"name": "fc7", "parameters": {"binary_data": True}},
    ]
    inference = taken(request(parameters={"binary_data_output": by_default}, outputs=wanted), BYTES)
    assert list(inference.outputs.items()) == [("probabilities", False), ("fc6", by_default), ("fc7", True)]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "input"},
        {"datatype": "FP32"},
        {"datatype": "uint8"},
        {"shape": [*CLIP_SHAPE]},
        {"shape": [2, 8, 112, 112, 3]},
        {"shape": [2, 3, 16, 112, 112]},
        {"shape": [0, *CLIP_SHAPE], "parameters": {"binary_data_size": 0}},
        {"shape": [-2, *CLIP_SHAPE]},
        {"shape": [1, *CLIP_SHAPE]},
        {"shape": [HUGE, *CLIP_SHAPE]},
        {"shape": [2.0, *CLIP_SHAPE]},
        {"shape": [True, *CLIP_SHAPE]},
        {"shape": [2] * 100_000},
        {"parameters": {"binary_data_size": 2 * CLIP_BYTES - 1}},
        {"parameters": {"binary_data_size": 2 * CLIP_BYTES + 1}},
        {"parameters": {"binary_data_size": -1}},
        {"parameters": {"binary_data_size": None}},
        {"parameters": {"binary_data_size": 2 * CLIP_BYTES, "shared_memory_region": "mine"}},
        {"parameters": dict.fromkeys(map(str, range(100_000)), 1)},
        {"data": [0]},
        {"name": ...},
        {"shape": ...},
        {"datatype": ...},
        {"parameters": ...},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_tensor_that_is_not_what_the_model_takes_is_refused(changes: dict[str, Any]) -> None:
    refusal(request(inputs=[tensor(**changes)]))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": []},
        {"inputs": [tensor(), tensor()]},
        {"inputs": [{}] * 100_000},
        {"inputs": tensor()},
        {"id": 42},
        {"id": "x" * 1001},
        {"outputs": [{"name": "fc8"}]},
        {"outputs": [{"name": "fc6"}, {"name": "fc6"}]},
        {"outputs": [{"name": each} for each in (*OUTPUTS, "fc6")]},
        {"outputs": ["fc6"]},
        {"outputs": [{"name": "fc6", "parameters": {"classification": 3}}]},
        {"parameters": {"priority": 1}},
        {"parameters": {"timeout": -1}},
        {"parameters": {"timeout": "1"}},
        {"parameters": {"binary_data_output": 1}},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_request_that_asks_for_what_there_is_not_is_refused(changes: dict[str, Any]) -> None:
    refusal(request(**changes))


def test_a_refusal_says_what_to_do() -> None:
    assert "'clips'" in refusal(request(inputs=[tensor(name="input")]))
    assert "fc6, fc7, probabilities" in refusal(request(outputs=[{"name": "fc8"}]))
    assert "binary_data_output, timeout" in refusal(request(parameters={"priority": 1}))
    assert refusal(request(inputs=[tensor(shape="2")])).startswith("inputs.0.shape: ")
    assert str(2 * CLIP_BYTES - 1) in refusal(
        request(inputs=[tensor(parameters={"binary_data_size": 2 * CLIP_BYTES - 1})]), BYTES[1:]
    )


def test_an_output_that_the_model_has_not_is_refused() -> None:
    assert list(taken(request(), BYTES, OUTPUTS[:2]).outputs) == ["fc6", "fc7"]
    with pytest.raises(MalformedRequest, match="fc6, fc7"):
        taken(request(outputs=[{"name": "probabilities"}]), BYTES, OUTPUTS[:2])


def test_data_that_is_not_all_whole_numbers_of_a_byte_is_refused() -> None:
    text = orjson.dumps(in_json(np.zeros(CLIP_BYTES, np.uint8), 1), option=orjson.OPT_SERIALIZE_NUMPY)
    with pytest.raises(MalformedRequest, match="0 to 255"):
        read(bodied(text.replace(b",0]", b",256]")), None, OUTPUTS)


def test_data_of_another_shape_is_refused() -> None:
    flat = [0] * CLIP_BYTES
    others: list[Any] = [flat[:-1], [*flat, 0], [flat], [], {}, {"0": 1}, "data", 5, [[]], [None], [[[[[[[]]]]]]]]
    for data in others:
        refusal(in_json(data, 1), None)
    refusal(in_json(CLIPS[:1], 2), None)


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"[]", b"1", b'"clips"', b"\xff", b"NaN", b"[" * 100_000, b'{"a":' * 5000])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    for length in (None, len(text)):
        with pytest.raises(MalformedRequest):
            read(bodied(text), length, OUTPUTS)


def test_bytes_without_the_header_are_no_json() -> None:
    with pytest.raises(MalformedRequest):
        read(bodied(orjson.dumps(request()), BYTES), None, OUTPUTS)
    with pytest.raises(MalformedRequest, match="Inference-Header-Content-Length"):
        taken(request(), None)


@pytest.mark.parametrize("wrong", [-1, 1, 10**9])
def test_a_length_that_is_not_the_jsons_is_refused(wrong: int) -> None:
    head = orjson.dumps(request())
    with pytest.raises(MalformedRequest):
        read(bodied(head, BYTES), len(head) + wrong, OUTPUTS)


@pytest.mark.parametrize("header", ["-1", "+1", "1.0", "1e3", "", " ", "1_0", "0x10", "1, 1", "9" * 20, "²", "\u0661", "many"])
def test_a_length_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(MalformedRequest):
        json_length(header)


def test_a_length_is_a_number_or_is_not_there() -> None:
    assert (json_length("150"), json_length(None)) == (150, None)


@pytest.mark.parametrize("decoy", [{"data": [1, 2]}, {"data": [0] * 300_000}, {"text": '"data": ['}, {"data": "the clips"}])
@pytest.mark.parametrize("first", [False, True])
def test_another_array_of_that_name_is_never_taken_for_the_clips(decoy: Any, *, first: bool) -> None:
    content = in_json(np.full(CLIP_BYTES, 7, np.uint8), 1)
    content = {"extra": decoy, **content} if first else content | {"extra": decoy}
    try:
        assert (taken(content).clips == 7).all()
    except MalformedRequest:
        assert len(orjson.dumps(decoy)) > 100_000


@pytest.mark.parametrize(
    "text", [b'{"inputs":[' + b"[]," * 1_000_000 + b"[]]}", b'{"a":"' + b"x" * 1_000_000 + b'"}', b'"data":[0],' * 300_000]
)
def test_only_the_numbers_of_clips_may_be_long(text: bytes) -> None:
    """A list of it would take 45 times its size, and hold all threads up."""
    with pytest.raises(MalformedRequest):
        read(bodied(text), None, OUTPUTS)


def test_too_much_json_is_not_read() -> None:
    text = b'{"inputs":[' + b"[]," * (MAX_JSON_BYTES // 3) + b"[]]}"
    for length in (None, len(text)):
        with pytest.raises(BodyTooLarge, match="binary data"):
            read(bodied(text), length, OUTPUTS)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every part of a request."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from places(each, (*path, name))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    result = copy.copy(value)
    result[path[0]] = changed(value[path[0]], path[1:], new)
    return result


def test_nothing_in_the_place_of_anything_is_more_than_refused() -> None:
    full = request(
        id="1",
        parameters={"binary_data_output": True, "timeout": 10},
        outputs=[{"name": "fc6", "parameters": {"binary_data": True}}],
    )
    count = 0
    for path in places(full):
        for nasty in NASTY:
            content = changed(full, path, nasty)
            head = json.dumps(content).encode()
            count += 1
            try:
                inference = read(bodied(head, BYTES), len(head), OUTPUTS)
            except MalformedRequest:
                continue
            assert np.array_equal(inference.clips, CLIPS), (path, nasty)
            write(head_of(inference.id), {name: np.zeros((2, 3), np.float32) for name in inference.outputs}, inference.outputs)
    assert count > 500


@pytest.mark.parametrize("seed", range(20))
def test_no_damage_to_the_bytes_is_more_than_refused(seed: int) -> None:
    chance = random.Random(seed)
    head = orjson.dumps(in_json([0, 1, 2]) | {"outputs": [{"name": "fc6", "parameters": {"binary_data": True}}], "id": "a"})
    for _ in range(300):
        body = bytearray(head + bytes(40))
        for _ in range(chance.randint(1, 4)):
            body[chance.randrange(len(body))] = chance.choice(b'{}[]",:0123456789\\u\xff\x00-ntfe ')
        length = chance.choice([None, len(head), chance.randrange(len(body) + 2)])
        with pytest.raises(ServiceError):
            read(bodied(body), length, OUTPUTS)


def write(*about: Any) -> tuple[bytes, bytes]:
    """The JSON of an answer, and what is behind it."""
    return b"".join(json_pieces(*about)), b"".join(binary_pieces(*about[1:]))


def head_of(request_id: str | None) -> InferHead:
    head: InferHead = {"model_name": "c3d", "model_version": "1", "parameters": model_block()}
    return head if request_id is None else {**head, "id": request_id}


def test_an_answer_is_json_with_the_binary_tensors_behind_it() -> None:
    rows = {name: np.random.default_rng(1).random((2, 3), np.float32) for name in OUTPUTS}
    head, behind = write(head_of("7"), rows, {"fc6": True, "fc7": False, "probabilities": True})
    content = json.loads(head)
    assert content["id"] == "7"
    assert [output["name"] for output in content["outputs"]] == list(OUTPUTS)
    assert all((output["datatype"], output["shape"]) == ("FP32", [2, 3]) for output in content["outputs"])
    assert [output.get("parameters") for output in content["outputs"]] == [
        {"binary_data_size": 24},
        None,
        {"binary_data_size": 24},
    ]
    assert np.array_equal(np.array(content["outputs"][1]["data"], np.float32), rows["fc7"].ravel())
    assert behind == rows["fc6"].tobytes() + rows["probabilities"].tobytes()


def test_an_answer_may_be_all_json() -> None:
    head, behind = write(head_of(None), {"fc6": np.ones((1, 2), np.float32)}, {"fc6": False})
    assert (json.loads(head)["outputs"][0]["data"], behind) == ([1.0, 1.0], b"")
