"""The JSON objects of the Open Inference Protocol, with the descriptions and examples that become the OpenAPI document.

https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. Parameters are those of Triton's
extensions for binary tensors and for timeouts. An unknown field is ignored, unless it would change the answer.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator
from typing_extensions import TypedDict

from model_store import c3d
from service.answers.answer import seen_as
from service.lifecycle.readiness import ModelOut

INPUT = "clips"
DIMENSIONS = 1 + len(c3d.CLIP_SHAPE)
JSON_LENGTH = "Inference-Header-Content-Length"
BINARY = {"type": "string", "format": "binary", "description": "JSON, then the tensors that it announces."}


# Parameters that would change the answer if they were obeyed. All other unknown ones are ignored, as the protocol has it:
# MLServer's clients always send a content_type, and users of KServe and Triton their own.
CHANGE_THE_ANSWER = frozenset(
    {
        *("sequence_id", "sequence_start", "sequence_end", "priority", "classification"),
        *("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"),
    }
)


class _Parameters(BaseModel):
    model_config = ConfigDict(strict=True, json_schema_extra={"additionalProperties": True})

    @model_validator(mode="before")
    @classmethod
    def _ask_for_what_there_is(cls, value: Any) -> Any:
        given = sorted(name for name in value.keys() & CHANGE_THE_ANSWER if value[name]) if isinstance(value, dict) else []
        if given:
            known = ", ".join(cls.model_fields)
            raise ValueError(f"{given[0]} is not supported. The parameters that are known here are {known}")
        return value


class RequestParameters(_Parameters):
    """How the whole request is answered."""

    binary_data_output: bool = Field(default=False, description="Outputs as binary data, where they do not say otherwise.")
    timeout: int = Field(0, ge=0, description="Microseconds the request may take, if less than the server's; 0: the server's.")


class InputParameters(_Parameters):
    """How the tensor comes."""

    binary_data_size: int | None = Field(
        None, ge=0, description="Its size in bytes, where it comes after the JSON.", examples=[602112]
    )


class OutputParameters(_Parameters):
    """How the tensor is wanted."""

    binary_data: bool | None = Field(None, description="As binary data after the JSON, or in it.", examples=[True])


class InputTensor(BaseModel):
    """The clips: 16 frames each, resized to 171x128, cropped to 112x112, blue, green and red, without the mean subtracted."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="Always `clips`.", json_schema_extra={"const": INPUT})
    shape: list[int] = Field(
        min_length=DIMENSIONS,
        max_length=DIMENSIONS,
        description="Clips, frames, rows, columns, channels.",
        examples=[[1, *c3d.CLIP_SHAPE]],
    )
    datatype: str = Field(description="Always `UINT8`.", json_schema_extra={"const": "UINT8"})
    parameters: InputParameters = Field(InputParameters(), description="`binary_data_size`, unless there is `data`.")
    data: Annotated[list[Any], SkipValidation] | None = Field(
        None, description="Row by row, flat or nested like the shape.", examples=[[0, 127, 255]]
    )


class RequestedOutput(BaseModel):
    """A tensor that is wanted."""

    model_config = ConfigDict(strict=True)

    name: str = Field(
        description="`probabilities` only where the weights have a class layer.",
        json_schema_extra={"enum": [*c3d.ClipOutputs._fields]},
    )
    parameters: OutputParameters = Field(OutputParameters(), description="`binary_data`.")


class InferRequest(BaseModel):
    """Clips, and which outputs of the network are wanted of them."""

    model_config = ConfigDict(strict=True)

    id: str | None = Field(None, max_length=1000, description="Comes back with the answer.", examples=["42"])
    parameters: RequestParameters = Field(RequestParameters(), description="`binary_data_output`, `timeout`.")
    inputs: list[InputTensor] = Field(min_length=1, max_length=1, description="The clips.")
    outputs: list[RequestedOutput] = Field(
        [], max_length=len(c3d.ClipOutputs._fields), description="None asks for all there are."
    )


class BinaryData(TypedDict):
    """How the tensor comes."""

    binary_data_size: Annotated[int, Field(ge=0, description="Its size in bytes, after the JSON.", examples=[16384])]


class OutputTensor(TypedDict):
    """One output, a row for each clip."""

    name: Annotated[str, Field(description="As in the model's metadata.", examples=["fc6"])]
    datatype: Annotated[str, Field(description="Always `FP32`.", examples=["FP32"])]
    shape: Annotated[list[int], Field(description="Clips, numbers of each.", examples=[[1, c3d.DESCRIPTOR_SIZE]])]
    parameters: NotRequired[Annotated[BinaryData, Field(description="Its size, where it comes as binary data after the JSON.")]]
    data: NotRequired[
        Annotated[
            NDArray[np.float32],
            seen_as(list[float]),
            Field(description="Row by row, where it comes in the JSON.", examples=[[0.0, 1.52, 0.31]]),
        ]
    ]


class InferHead(TypedDict):
    """What computed the outputs."""

    model_name: Annotated[str, Field(description="Always `c3d`.", examples=["c3d"])]
    model_version: Annotated[str, Field(description="Always `1`.", examples=["1"])]
    id: NotRequired[Annotated[str, Field(description="As in the request.", examples=["42"])]]
    parameters: Annotated[ModelOut, Field(description="What computed it, as `model` in other answers.")]


class InferAnswer(InferHead):
    """What the network computed of the clips."""

    outputs: Annotated[list[OutputTensor], Field(description="In the order in which they were asked for.")]


class TensorMetadata(TypedDict):
    """What a tensor is."""

    name: Annotated[str, Field(description="By which requests name it.", examples=["fc6"])]
    datatype: Annotated[str, Field(description="Of its elements, as the protocol names it.", examples=["FP32"])]
    shape: Annotated[list[int], Field(description="-1: as many as there are clips.", examples=[[-1, c3d.DESCRIPTOR_SIZE]])]


class ModelMetadata(TypedDict):
    """What the model takes and gives."""

    name: Annotated[str, Field(description="Always `c3d`.", examples=["c3d"])]
    versions: Annotated[list[str], Field(description="Always `1`; which weights it has, GET /info says.", examples=[["1"]])]
    platform: Annotated[str, Field(description="The engine, its version and the device.", examples=["tensorflow 2.21.0 on cpu"])]
    inputs: Annotated[list[TensorMetadata], Field(description="The clips.")]
    outputs: Annotated[list[TensorMetadata], Field(description="`pool5`, `fc6`, `fc7` and, with a class layer, `probabilities`.")]


class TensorConfig(TypedDict):
    """A tensor, as Triton's model configuration has it: without the dimension of the batch."""

    name: Annotated[str, Field(description="By which requests name it.", examples=["fc6"])]
    data_type: Annotated[str, Field(description="Of its elements, in Triton's words.", examples=["TYPE_FP32"])]
    dims: Annotated[list[int], Field(description="Of one clip.", examples=[[c3d.DESCRIPTOR_SIZE]])]


class ModelConfig(TypedDict):
    """Triton's extension "model_configuration", as far as its tools read it."""

    name: Annotated[str, Field(description="Always `c3d`.", examples=["c3d"])]
    platform: Annotated[str, Field(description="The engine, its version and the device.", examples=["tensorflow 2.21.0 on cpu"])]
    backend: Annotated[str, Field(description="The engine.", examples=["tensorflow"])]
    max_batch_size: Annotated[int, Field(description="Clips that a request may hold.", examples=[891])]
    input: Annotated[list[TensorConfig], Field(description="The clips.")]
    output: Annotated[list[TensorConfig], Field(description="`pool5`, `fc6`, `fc7` and, with a class layer, `probabilities`.")]


class Duration(TypedDict):
    """How often something happened, and how long it took in all."""

    count: Annotated[int, Field(description="How often.", examples=[42])]
    ns: Annotated[int, Field(description="Nanoseconds in all.", examples=[17_000_000_000])]


class InferenceStatistics(TypedDict):
    """Of requests, whichever endpoint they came to. Stages of one request overlap."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(TypedDict):
    """Of the batches of one size."""

    batch_size: Annotated[int, Field(description="Clips in each.", examples=[4])]
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(TypedDict):
    """What the model has done since the service was started."""

    name: Annotated[str, Field(description="Always `c3d`.", examples=["c3d"])]
    version: Annotated[str, Field(description="Always `1`.", examples=["1"])]
    last_inference: Annotated[int, Field(description="When the last batch ended: milliseconds in Unix time.", examples=[0])]
    inference_count: Annotated[int, Field(description="Clips that were run.", examples=[168])]
    execution_count: Annotated[int, Field(description="Batches that were run.", examples=[42])]
    inference_stats: InferenceStatistics
    batch_stats: Annotated[list[BatchStatistics], Field(description="By size.")]


class Statistics(TypedDict):
    """Triton's extension "statistics"."""

    model_stats: Annotated[list[ModelStatistics], Field(description="Of the one model.")]


class ServerMetadata(TypedDict):
    """What the server is."""

    name: Annotated[str, Field(description="Of this service.", examples=["c3d-service"])]
    version: Annotated[str, Field(description="Of this service.", examples=["0.1.0"])]
    extensions: Annotated[list[str], Field(description="Of the protocol.", examples=[["binary_tensor_data"]])]


class LiveOut(TypedDict):
    """A probe's answer."""

    live: Annotated[bool, Field(description="Always true: else the answer is a problem.", examples=[True])]


class ReadyOut(TypedDict):
    """A probe's answer."""

    ready: Annotated[bool, Field(description="Always true: else the answer is a problem.", examples=[True])]


class ModelReadyOut(ReadyOut):
    """A probe's answer."""

    name: Annotated[str, Field(description="Always `c3d`.", examples=["c3d"])]


def infer_body() -> dict[str, Any]:
    """The body of /infer in OpenAPI. It is declared, not parsed, by FastAPI: hundreds of MB go into one buffer."""
    tensor = {"name": INPUT, "shape": [1, *c3d.CLIP_SHAPE], "datatype": "UINT8", "data": [0, 127, 255]}
    example = {"id": "42", "inputs": [tensor], "outputs": [{"name": "fc6", "parameters": {"binary_data": False}}]}
    header = {"in": "header", "name": JSON_LENGTH, "schema": {"type": "integer", "minimum": 0, "examples": [150]}}
    document = InferRequest.model_json_schema()
    return {
        "parameters": [{**header, "description": "How many bytes of JSON a body with binary data begins with."}],
        "requestBody": {
            "required": True,
            "description": "JSON with the clips in it (the example shows three of a clip's 602,112 numbers), or before them.",
            "content": {
                "application/json": {"schema": _inlined(document, document["$defs"]), "example": example},
                "application/octet-stream": {"schema": BINARY, "example": "JSON and the bytes of the clips"},
            },
        },
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema that refers to nothing: OpenAPI keeps definitions elsewhere than JSON Schema."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    definition = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else {}
    return {name: _inlined(each, definitions) for name, each in {**definition, **schema}.items() if name not in {"$ref", "$defs"}}
