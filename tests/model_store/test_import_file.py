"""What `import` was given, and what stands in for what it was not. Without weights: those are test_importer's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from model_store import import_file, pull, store
from model_store.download import manifest
from model_store.download.manifest import Manifest
from model_store.download.web import Web
from model_store.tensors import StoreError
from tests.support import layout_writers, loopback, store_fakes


def offline(directory: Path) -> tuple[pull.Puller, Manifest, io.StringIO]:
    """A puller whose sources are all gone."""
    known, out = manifest.load(), io.StringIO()
    source = known.labels[0].model_copy(update={"url": "http://127.0.0.1:9/gone"})  # the discard port: nobody listens
    known = known.model_copy(update={"labels": (source,), "means": dict.fromkeys(known.means, (source,))})
    return pull.Puller(directory, known, Web(), out), known, out


def take(directory: Path, given: import_file.Given) -> store.Model:
    puller, known, _ = offline(directory)
    return import_file.take(directory, given, puller, known)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Small weights: the last thing that is refused."""
    layout_writers.npz(layout_writers.seeded(layout_writers.small_shapes()), tmp_path / "w.npz")
    return tmp_path / "w.npz"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "Big"}, '"Big" cannot be a model\'s name'),
        ({"name": "../up"}, '"../up" cannot be a model\'s name'),
        ({"name": "stand-in"}, '"stand-in" cannot be a model\'s name'),
        ({"mean": "101,108,108"}, "conv1/kernel has the shape"),
    ],
)
def test_refusals(given: dict[str, str], said: str, tmp_path: Path, file: Path) -> None:
    with pytest.raises(StoreError, match=said):
        take(tmp_path, import_file.Given(file, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.npy", "--mean nowhere.npy is neither a file nor three numbers B,G,R"),
        (None, "No source delivers the mean cube sports1m .* Or give a mean with --mean: a Caffe binaryproto"),
    ],
)
def test_no_mean(given: str | None, said: str, tmp_path: Path) -> None:
    puller, known, _ = offline(tmp_path)
    with pytest.raises(StoreError, match=said):
        import_file.mean_of(given, "c3d-sports1m", puller, known)


def test_three_numbers_are_in_the_order_of_the_network(tmp_path: Path) -> None:
    """A port's need no source to be fetched from; in the store the cube is B, G, R."""
    puller, known, _ = offline(tmp_path)
    for given in (None, "104,117,128"):
        mean = import_file.mean_of(given, "mmaction2", puller, known)
        assert (mean.name, mean.cube[:, 3, 50, 60].tolist()) == ("104,117,128 (RGB)", [128, 117, 104])


def test_a_cube_for_a_network_that_subtracts_behind_the_crop(tmp_path: Path) -> None:
    """hx173149's crop_mean.npy is UCF101's cube behind the crop, subtracted from RGB as it is."""
    puller, known, _ = offline(tmp_path)
    cube = store_fakes.cube()
    np.save(tmp_path / "cube.npy", cube)
    np.save(tmp_path / "crop_mean.npy", cube[:, :, 8:120, 29:141].transpose(1, 2, 3, 0))
    for name in ("cube.npy", "crop_mean.npy"):
        mean = import_file.mean_of(str(tmp_path / name), "c3d-tensorflow", puller, known)
        np.testing.assert_array_equal(mean.cube, cube[::-1, :, 8:120, 29:141])


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no file"):
        take(tmp_path, import_file.Given(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["sports1m.npz", "Stand-In.h5"])
def test_a_files_name_claims_nothing(name: str, tmp_path: Path) -> None:
    assert import_file.name_of(import_file.Given(tmp_path / name)) == "my-" + name.lower().rsplit(".", 1)[0]
    assert import_file.name_of(import_file.Given(tmp_path / name, name="sports1m")) == "sports1m"


def test_means(tmp_path: Path) -> None:
    puller, known, _ = offline(tmp_path)
    np.save(tmp_path / "my_mean.npy", store_fakes.cube())
    from_file = import_file.mean_of(str(tmp_path / "my_mean.npy"), "c3d-sports1m", puller, known)
    np.testing.assert_array_equal(from_file.cube, store_fakes.cube())
    numbers = import_file.mean_of("101,108,107", "c3d-sports1m", puller, known)
    assert (from_file.name, numbers.name) == ("my_mean.npy", "101,108,107 (BGR)")
    assert numbers.cube[:, 3, 50, 60].tolist() == [101, 108, 107]


def test_labels(tmp_path: Path) -> None:
    puller, known, out = offline(tmp_path)
    (tmp_path / "l.txt").write_text("a\nb\nc\n")
    assert import_file.labels_of(tmp_path / "l.txt", 3, puller, known) == (("a", "b", "c"), "l.txt")
    assert import_file.labels_of(None, 2, puller, known) == (("class 0", "class 1"), "numbered")
    assert import_file.labels_of(tmp_path / "l.txt", 0, puller, known) == ((), "none")
    assert out.getvalue() == ""
    assert import_file.labels_of(None, 487, puller, known).name == "numbered"
    assert "The classes are numbered instead; --labels FILE names them." in out.getvalue()


def test_487_classes_are_labelled_as_sports1m(tmp_path: Path) -> None:
    content = "".join(f"sport {i}\n" for i in range(487)).encode()
    with loopback.serve({"/labels": loopback.File(content)}) as server:
        known = manifest.load()
        source = known.labels[0].model_copy(update={"url": server.url("/labels"), "hash": None, "size_bytes": None})
        known = known.model_copy(update={"labels": (source,)})
        labels = import_file.labels_of(None, 487, pull.Puller(tmp_path, known, Web(), io.StringIO()), known)
    assert (labels.labels[486], labels.name) == ("sport 486", "sports1m")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_classes": 0}, "Note: there is no class layer"),
        ({"mean": "ucf101"}, "Note: the mean is UCF101's cube, with the crop from column 29."),
    ],
)
def test_notes(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    assert import_file.notes(store_fakes.model(tmp_path / "plain", "mine", known_answer=184)) == []
    (note,) = import_file.notes(store_fakes.model(tmp_path, "mine", **changes))
    assert note.startswith(said)
