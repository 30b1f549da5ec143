"""service/answers/answer.py and the OpenAPI document made of it: everything is described, and real answers are as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from typing_extensions import is_typeddict

from service import errors, options
from service.answers import answer
from service.api import probes
from service.http import problems
from service.v2 import schemas as v2_schemas
from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import fake_app, serving

METHODS = {"get", "post"}
OPTIONS = set(options.ClassifyOptions.model_fields) | set(options.FeaturesOptions.model_fields)
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"))) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    content: dict[str, Any] = client.get("/openapi.json").json()
    return content


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def fields(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of every schema, and every field of every request's form."""
    for name, schema in document["components"]["schemas"].items():
        for field, content in schema.get("properties", {}).items():
            yield f"{name}.{field}", content
    for name, operation in operations(document):
        form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data", {})
        for field, content in form.get("schema", {}).get("properties", {}).items():
            yield f"{name} {field}", content


def refers(schema: dict[str, Any]) -> bool:
    """Whether the schema is another one, or a list of another one, which has the examples."""
    inner = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    return any("$ref" in each or "$ref" in each.get("items", {}) for each in inner)


def shows_values(schema: dict[str, Any]) -> bool:
    """Whether a reader can see what a value looks like."""
    return bool({"examples", "example", "enum", "const", "default"} & set(schema)) or refers(schema) or is_option(schema)


def is_option(schema: dict[str, Any]) -> bool:
    """Whether it is an option, which has no example: Swagger UI would send it, and ask for what nobody has asked for."""
    return {"type": "null"} in schema.get("anyOf", []) or schema.get("title", "").lower().replace(" ", "_") in OPTIONS


def test_every_operation_has_a_summary_and_a_description(document: dict[str, Any]) -> None:
    assert [
        name for name, operation in operations(document) if not (operation.get("summary") and operation.get("description"))
    ] == []


def test_every_operation_has_its_own_id(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)


def test_every_parameter_has_a_description_and_shows_a_value(document: dict[str, Any]) -> None:
    parameters = [(name, each) for name, operation in operations(document) for each in operation.get("parameters", [])]
    assert len(parameters) >= 9
    assert [(name, each["name"]) for name, each in parameters if not each.get("description")] == []
    assert [(name, each["name"]) for name, each in parameters if not shows_values(each["schema"])] == []


def test_every_schema_has_a_description(document: dict[str, Any]) -> None:
    schemas_of_all = document["components"]["schemas"]
    assert [name for name, schema in schemas_of_all.items() if not schema.get("description")] == []


def test_every_field_has_a_description(document: dict[str, Any]) -> None:
    assert [name for name, field in fields(document) if not field.get("description") and "$ref" not in field] == []


def test_every_field_shows_a_value(document: dict[str, Any]) -> None:
    unseen = [name for name, field in fields(document) if not shows_values(field) and field.get("format") != "binary"]
    assert unseen == []


def test_no_option_has_an_example_that_swagger_ui_would_send(document: dict[str, Any]) -> None:
    given = [(name, each["schema"]) for name, operation in operations(document) for each in operation.get("parameters", [])]
    assert [name for name, schema in given if {"examples", "example"} & set(schema) and "/v2" not in name] == []
    forms = {name.split()[2] for name, _ in fields(document) if name.startswith("POST")}
    assert forms == {"file", "url"}, "Swagger UI sends a sample of every field of a form"  # of url an empty one


def test_every_request_body_is_described_with_an_example(document: dict[str, Any]) -> None:
    bodies = {name: operation["requestBody"] for name, operation in operations(document) if name.startswith("POST")}
    # Not JSON, which /classify takes too: openapi-ts would choose it, and its clients could send no file.
    videos = {"multipart/form-data", "application/octet-stream", "video/mp4"}
    assert {name: set(body["content"]) for name, body in bodies.items()} == {
        "POST /classify": videos,
        "POST /features": videos,
        "POST /v2/models/c3d/infer": {"application/octet-stream", "application/json"},
    }
    for body in bodies.values():
        assert body["description"]
        assert all("example" in content for content in body["content"].values())


def test_every_response_has_a_description_and_a_schema(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            forms = {"application/json"} if int(status) < 400 else {"application/problem+json"}
            if name.startswith("POST /v2") and int(status) < 400:
                forms |= {"application/octet-stream"}
            elif name.startswith("POST") and int(status) < 400:
                forms |= {"application/x-ndjson", "application/x-npy", "application/zip"}
            forms = {"text/plain"} if (name, status) == ("GET /metrics", "200") else forms
            assert response["description"], name
            assert set(response["content"]) == forms, name
            assert all(each["schema"] for each in response["content"].values()), name


def test_every_example_of_a_problem_is_one(document: dict[str, Any]) -> None:
    codes = {}
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                example = response["content"]["application/problem+json"]["example"]
                check(example, {"$ref": "#/components/schemas/ProblemOut"}, document)
                assert example["status"] == int(status), name
                assert f"`{example['code']}`" in response["description"], name
                codes[example["code"]] = status
    assert len(codes) >= 8


def test_the_framework_leaves_no_schema_of_its_own(document: dict[str, Any]) -> None:
    everything = [each for module in (answer, v2_schemas, probes, problems) for each in vars(module).items()]
    names = {name for name, value in everything if is_typeddict(value)}
    assert set(document["components"]["schemas"]) <= names | {"Line"}


def check(value: Any, schema: dict[str, Any], document: dict[str, Any], where: str = "$") -> None:
    """The value is as the schema says (the part of JSON Schema that this document uses), and has no field besides."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        schema = next(each for each in schema["anyOf"] if (each.get("type") == "null") == (value is None))
        check(value, schema, document, where)
        return
    kind = schema["type"]
    fits = isinstance(value, TYPES[kind])
    assert fits, (where, kind, value)
    assert isinstance(value, bool) == (kind == "boolean"), where
    assert value in schema.get("enum", [value]), where
    if kind in {"integer", "number"}:
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), where
    if kind == "array":
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        for item in value:
            check(item, schema["items"], document, f"{where}[]")
    if kind == "object" and "properties" in schema:
        assert set(schema.get("required", [])) <= set(value) <= set(schema["properties"]), (where, set(value))
        for name, item in value.items():
            check(item, schema["properties"][name], document, f"{where}.{name}")


def schema_of(document: dict[str, Any], method: str, path: str, answer: Any) -> dict[str, Any]:
    response = document["paths"][path][method]["responses"][str(answer.status_code)]
    schema: dict[str, Any] = response["content"][answer.headers["content-type"]]["schema"]
    return schema


@pytest.mark.parametrize(
    "path",
    [
        *("/livez", "/readyz", "/health", "/info", "/labels"),
        *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/c3d", "/v2/models/c3d/ready"),
    ],
)
def test_a_get_answers_as_the_document_says(client: TestClient, document: dict[str, Any], path: str) -> None:
    answer = client.get(path)
    check(answer.json(), schema_of(document, "get", path, answer), document)


@pytest.mark.parametrize("include", [None, "clips"])
@pytest.mark.parametrize(("path", "kind"), [("/classify", answer.ClassifyAnswer), ("/features", answer.FeaturesAnswer)])
def test_an_answer_is_as_the_schema_and_the_document_say(
    client: TestClient, document: dict[str, Any], clip_mp4: Path, path: str, kind: Any, include: str | None
) -> None:
    params = {"include": include} if include else {}
    given = client.post(path, files={"file": clip_mp4.read_bytes()}, params=params)
    assert given.status_code == 200
    TypeAdapter(kind).validate_json(given.content, strict=True)
    check(given.json(), schema_of(document, "post", path, given), document)


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        ({"content": b""}, 422),
        ({"content": b"x"}, 415),
        ({"files": {"file": b"x"}, "params": {"top_k": "0"}}, 422),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400),
    ],
)
def test_a_problem_is_as_the_schema_and_the_document_say(
    client: TestClient, document: dict[str, Any], request_of: dict[str, Any], status: int
) -> None:
    given = client.post("/classify", **request_of)
    assert given.status_code == status
    TypeAdapter(problems.ProblemOut).validate_json(given.content, strict=True)
    check(given.json(), schema_of(document, "post", "/classify", given), document)


def test_every_code_a_video_can_be_answered_with_is_in_the_document(document: dict[str, Any]) -> None:
    text = str(document["paths"]["/classify"]["post"]["responses"])
    elsewhere = {"not_found", "method_not_allowed"}
    codes = set(errors.BY_CODE)
    assert {code for code in codes - elsewhere if f"`{code}`" not in text} == set()


@pytest.mark.parametrize("field", ["known_answer", "mean_sha256", "crop_left"])
def test_info_shows_the_whole_card(client: TestClient, field: str) -> None:
    assert client.get("/info").json()["model"][field] == getattr(FakeNetwork().card, field)


@pytest.mark.parametrize("value", [["clips,clips"], ["clips", "clips"], ["clips"]])
def test_include_may_be_a_list_or_repeated(value: list[str]) -> None:
    assert set(options.ClassifyOptions.model_validate({"include": value}).include) == {"clips"}


def test_options_default_to_what_the_paper_says() -> None:
    classify, features = options.ClassifyOptions(), options.FeaturesOptions()
    assert (classify.clip_stride, classify.tail, classify.include, classify.top_k) == (8, "drop", [], 5)
    assert (features.layer, features.normalize) == (("fc6",), "l2")
