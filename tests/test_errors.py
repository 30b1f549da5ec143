"""service/errors.py: the tree on top of the file is the tree, every code has its status and its row in the docs."""

from __future__ import annotations

import ast
import re

import pytest

from service import errors
from service.errors import ServiceError
from tests.conftest import ROOT
from tests.support.pages import rows, section

STATUS = {  # the design's table of codes, as far as it is built; None: a class that only groups others
    "MalformedRequest": (400, "malformed_request"),
    "NotFound": (404, "not_found"),
    "MethodNotAllowed": (405, "method_not_allowed"),
    "NotAcceptable": (406, "not_acceptable"),
    "BodyTooLarge": (413, "body_too_large"),
    "AnswerTooLarge": (413, "answer_too_large"),
    "UnsupportedMediaType": (415, "unsupported_media_type"),
    "BadInput": (422, None),
    "SourceRequired": (422, "source_required"),
    "SourceConflict": (422, "source_conflict"),
    "InvalidOption": (422, "invalid_option"),
    "EmptyFile": (422, "empty_file"),
    "NoVideoStream": (422, "no_video_stream"),
    "UndecodableVideo": (422, "undecodable_video"),
    "VideoTooLarge": (422, "video_too_large"),
    "VideoTooLong": (422, "video_too_long"),
    "TimeRangeOutsideVideo": (422, "time_range_outside_video"),
    "DecoderFailed": (422, "decoder_failed"),
    "DecodeTimeout": (422, "decode_timeout"),
    "Unauthorized": (401, "unauthorized"),
    "UrlForbidden": (403, "url_forbidden"),
    "UrlFetchFailed": (502, "url_fetch_failed"),
    "UrlFetchTimeout": (504, "url_fetch_timeout"),
    "UploadTimeout": (408, "upload_timeout"),
    "Overloaded": (429, "overloaded"),
    "DeadlineExceeded": (504, "deadline_exceeded"),
    "Internal": (500, "internal"),
    "NonFiniteOutput": (500, "non_finite_output"),
    "NoClassLayer": (501, "no_class_layer"),
    "Unavailable": (503, None),
    "Warming": (503, "warming"),
    "Draining": (503, "draining"),
    "WorkerDown": (503, "worker_down"),
    "WeightsMissing": (503, "weights_missing"),
    "KnownAnswerWrong": (503, "known_answer_wrong"),
    "StartFailed": (503, "start_failed"),
    "DiskFull": (507, "disk_full"),
}
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, ServiceError) and value is not ServiceError
}
CODES = sorted(code for _, code in STATUS.values() if code)


def drawn_tree() -> dict[str, tuple[str | None, int | None]]:
    """Class to parent and status, as the docstring draws them; a status stands for all below it."""
    tree: dict[str, tuple[str | None, int | None]] = {}
    above: list[tuple[int, str, int | None]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"(?P<lead>[ |`-]*)(?P<name>[A-Z]\w+)(?: {2,}(?P<status>\d{3})?.*)?", line)
        if not found or not line.startswith("    "):
            continue
        depth = len(found["lead"])
        above = [each for each in above if each[0] < depth]
        parent, inherited = above[-1][1:] if above else (None, None)
        status = int(found["status"]) if found["status"] else inherited
        tree[found["name"]] = (parent, status)
        above.append((depth, found["name"], status))
    return tree


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    real = {name: (value.__mro__[1].__name__, value.status) for name, value in CLASSES.items()}
    expected = {"ServiceError": (None, None), "PrecisionUnavailable": (None, None), **real}
    assert drawn_tree() == expected


def test_every_class_has_the_status_and_the_code_of_the_design() -> None:
    assert {name: (value.status, STATUS[name][1] and value.code) for name, value in CLASSES.items()} == STATUS


def test_every_class_has_its_own_code_and_title() -> None:
    assert len({value.code for value in CLASSES.values()}) == len(CLASSES)
    assert len({value.title for value in CLASSES.values()}) == len(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_code_and_title_are_words_and_a_sentence_begins(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", CLASSES[name].code)
    assert re.fullmatch(r"[A-Z][^.]+", CLASSES[name].title)


def test_what_passes_by_itself_says_when_to_ask_again() -> None:
    assert {name for name, value in CLASSES.items() if "Retry-After" in value.headers} >= {"Warming", "Draining"}


def notice_codes() -> set[str]:
    """The code of every Notice that the source makes."""
    calls = [
        node
        for path in (ROOT / "service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "VideoWarning"
    ]
    codes = [call.args[0] for call in calls]
    assert all(isinstance(code, ast.Constant) for code in codes)
    return {str(code.value) for code in codes if isinstance(code, ast.Constant)}


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_an_error_has_a_row_with_its_status_in_the_docs(code: str) -> None:
    (status,) = {status for status, other in STATUS.values() if other == code}
    assert str(status) in rows(section("http-api", "Errors"))[code]


def test_every_code_of_a_warning_has_a_row_in_the_docs() -> None:
    assert notice_codes() >= {"stand_in_weights", "short_video_padded"}
    assert notice_codes() - set(rows(section("http-api", "Warnings"))) == set()
