"""service/errors.py: the classes are the table that docs/ are generated from; so are the warnings."""

from __future__ import annotations

import ast
import errno
import inspect
import re

import pytest

from service import errors
from service.errors import At, raised_at
from service.video.messages import WARNINGS
from tests.conftest import ROOT

CLASSES = sorted(errors.BY_CODE.values(), key=lambda error: error.code)
by_code = pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.code)


@by_code
def test_an_error_says_when_it_happens(error: type[errors.ServiceError]) -> None:
    """Its docstring is its row in the documents."""
    assert re.fullmatch(r"[A-Z].+\.", " ".join((inspect.getdoc(error) or "").split()))


@by_code
def test_code_and_title_are_words_and_a_sentence_begins(error: type[errors.ServiceError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert re.fullmatch(r"[A-Z][^.]+", error.title)
    assert 400 <= error.status <= 599


def test_every_class_has_its_own_code_and_title() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ServiceError)]
    assert len({each.code for each in classes if each is not errors.ServiceError}) == len(classes) - 1 == len(CLASSES)
    assert len({each.title for each in CLASSES}) == len(CLASSES)


def test_an_error_is_found_where_it_can_be_raised() -> None:
    assert errors.UrlForbidden in raised_at(At.VIDEO)
    assert errors.UrlForbidden not in raised_at(At.TENSORS)
    assert errors.WorkerDown in raised_at(At.LIVE)
    assert errors.Warming not in raised_at(At.LIVE)
    assert set(raised_at(At.READY)) < set(raised_at(At.VIDEO)) & set(raised_at(At.TENSORS)) | {errors.Unauthorized}


def test_a_temporary_state_of_the_service_says_when_to_ask_again() -> None:
    assert "Retry-After" in errors.Warming.headers
    assert "Retry-After" in errors.Draining.headers


def warning_codes() -> set[str]:
    """The code of every VideoWarning that the source makes."""
    calls = [
        node
        for path in (ROOT / "service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "VideoWarning"
    ]
    codes = [call.args[0] for call in calls]
    assert all(isinstance(code, ast.Constant) for code in codes)
    return {str(code.value) for code in codes if isinstance(code, ast.Constant)}


def test_every_warning_has_its_meaning_and_every_meaning_its_warning() -> None:
    assert warning_codes() == WARNINGS.keys()
    for meaning in WARNINGS.values():
        assert re.fullmatch(r"(`|[A-Z]).+\.", meaning)


@pytest.mark.parametrize(
    "cause",
    [OSError(errno.EMFILE, "x"), BlockingIOError(errno.EAGAIN, "x"), MemoryError(), RuntimeError("can't start new thread")],
    ids=repr,
)
def test_what_the_system_lacks_is_a_state_of_the_service(cause: Exception) -> None:
    error = errors.unforeseen(cause)
    assert (error.status, error.code, error.__cause__) == (503, "shortage", cause)
    assert "Retry-After" in error.headers


@pytest.mark.parametrize("cause", [OSError(errno.EIO, "x"), RuntimeError("x"), KeyError("x")], ids=repr)
def test_anything_else_is_a_fault_of_the_service(cause: Exception) -> None:
    assert errors.unforeseen(cause).code == "internal"
