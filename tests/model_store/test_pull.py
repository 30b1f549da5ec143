"""From the first source that delivers: through dead, lying and half-hearted ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_store import c3d, pull, store
from model_store.tensors import StoreError, identity
from tests.support import layout_writers, loopback, store_fakes
from tests.support.pulls import LABELS, Case, serving


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with serving(tmp_path) as served:
        yield served


def test_mean_of_each_preprocessing(case: Case) -> None:
    original, ports = case.puller().mean("c3d-sports1m"), case.puller().mean("c3d-ucf101-mean")
    np.testing.assert_array_equal(original.cube, store_fakes.cube())
    np.testing.assert_array_equal(ports.cube, store_fakes.cube(50))
    assert (original.name, ports.name) == ("sports1m", "ucf101")


def test_licence_is_shown_before_the_download(case: Case) -> None:
    case.puller().mean("c3d-sports1m")
    lines = case.out.getvalue().splitlines()
    assert lines[:3] == [
        "mean cube sports1m: the mean, size not published",
        f"  from {case.server.url('/mean')}",
        "  licence: CC BY-NC 3.0",
    ]


def test_what_is_there_is_not_fetched_again(case: Case) -> None:
    case.puller().labels()
    assert case.puller().labels().labels[486] == "sport 486"
    assert case.asked() == ["/labels"]


def test_sources_fall_through(case: Case) -> None:
    case.server.files["/page"] = loopback.File(b"<html><title>Quota exceeded</title>", "text/html")
    case.server.files["/garbage"] = loopback.File(b"garbage")
    case.labels = [
        case.source("dead", url="http://127.0.0.1:9/labels"),  # the discard port: nobody listens
        case.source("gone"),
        case.source("page"),
        case.source("wrong-hash", url=case.server.url("/garbage"), hash=("md5", "0" * 32)),
        case.source("garbage"),
        case.source("labels"),
        case.source("never-asked"),
    ]
    assert case.puller().labels().labels[0] == "sport 0"
    said = case.out.getvalue()
    for reason in (
        "cannot be reached",
        "404 Not Found",
        "Quota exceeded",
        "expected md5 0000",
        "number of labels is 1, the number of classes 487",
    ):
        assert reason in said
    assert sorted(path.name for path in (case.directory / pull.DOWNLOADS).iterdir()) == ["labels.bin"]


def test_source_that_is_there_already_comes_first(case: Case) -> None:
    (case.directory / pull.DOWNLOADS).mkdir()
    (case.directory / pull.DOWNLOADS / "labels.bin").write_bytes(LABELS)
    case.labels = [case.source("gone"), case.source("labels")]
    case.puller().labels()
    assert case.asked() == []


def test_nothing_delivers(case: Case) -> None:
    case.means = [case.source("gone")]
    with pytest.raises(StoreError, match=r"No source delivers the mean cube sports1m \(gone: .*404.*import .*FILE.*--mean FILE"):
        case.puller().model("c3d-sports1m")
    assert case.asked() == ["/gone"]  # neither labels nor 320 MB of weights for nothing


def test_sources_by_name(case: Case) -> None:
    case.weights = [case.source("a"), case.source("b", only_when_asked=True)]
    with pytest.raises(StoreError, match=r"\(a: 127"):
        case.puller().model("c3d-sports1m")
    with pytest.raises(StoreError, match=r"\(b: 127"):
        case.puller().model("c3d-sports1m", "b")
    with pytest.raises(StoreError, match=r'no source "c" of weights\. There are: a, b'):
        case.puller().model("c3d-sports1m", "c")


@pytest.mark.slow
def test_weights_that_are_none_are_fetched_anew(case: Case) -> None:
    case.server.files["/weights"] = loopback.File(b"not weights at all")
    for _ in range(2):
        with pytest.raises(StoreError, match="is not the keras-hdf5 file that its source publishes: it was not read"):
            case.puller().model("c3d-sports1m")
    assert case.asked().count("/weights") == 2


def test_a_mean_of_another_form_than_its_source_publishes_is_not_read(case: Case) -> None:
    case.server.files["/mean"] = loopback.File(b"101, 108, 107")
    case.means = [case.source("mean")]
    with pytest.raises(StoreError, match="is not the binaryproto file that its source publishes"):
        case.puller().mean("c3d-sports1m")


@pytest.mark.slow
def test_what_proved_the_weights_stands_in_the_card(case: Case, tmp_path: Path) -> None:
    """Nothing, a hash of the file, or the identity of the tensors; of other tensors nothing gets into the store."""
    tensors = layout_writers.seeded(c3d.weight_shapes())
    layout_writers.ALL["keras 2"](tensors, tmp_path / "w")
    content = (tmp_path / "w").read_bytes()
    case.server.files["/weights"] = loopback.File(content)
    case.weights = [case.source("weights", weights_sha256="ab" * 32)]
    with pytest.raises(StoreError, match=f"holds other weights \\({identity(tensors)}\\) than its source published"):
        case.puller().model("c3d-sports1m")
    assert store.names(case.directory) == []
    for change, authenticity in (
        ({}, "unauthenticated"),
        ({"hash": ("sha256", hashlib.sha256(content).hexdigest())}, "sha256"),
        ({"weights_sha256": identity(tensors)}, "tensors"),
    ):
        case.weights = [case.source("weights", **change)]
        assert case.puller().model("c3d-sports1m").card.authenticity == authenticity


def test_present(tmp_path: Path) -> None:
    assert pull.present(tmp_path, None) is None
    model = store_fakes.model(tmp_path, "sports1m")
    assert pull.present(tmp_path, None) is None  # its weights are missing
    with (model.directory / store.WEIGHTS).open("wb") as file:
        file.truncate(pull.MODEL_BYTES + 1)
    assert pull.present(tmp_path, None) is not None
    assert pull.present(tmp_path, "c3d-sports1m") is not None
    assert pull.present(tmp_path, "c3d-ucf101-mean") is None
    (model.directory / store.CARD).write_text("{}")
    assert pull.present(tmp_path, None) is None
