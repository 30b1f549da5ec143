"""One identity whatever the file: every form, written here, read by content, gives the same bits."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store import c3d
from model_store.formats import layouts, wrapped
from model_store.tensors import StoreError, tensor_sha256
from tests.conftest import ROOT
from tests.support import layout_writers

SMALL = layout_writers.seeded(layout_writers.small_shapes())
DESCRIPTORS_ONLY = {name: tensor for name, tensor in SMALL.items() if "fc8" not in name}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file whose name lies, whatever is in it."""
    return tmp_path / "weights.avi"


@pytest.mark.parametrize("form", layout_writers.ALL)
@pytest.mark.parametrize("tensors", [SMALL, DESCRIPTORS_ONLY], ids=["classes", "descriptors only"])
def test_all_forms_give_the_same_bits(form: str, tensors: layout_writers.Tensors, path: Path) -> None:
    layout_writers.ALL[form](tensors, path)
    read = layouts.read(path, layout_writers.small_shapes)
    assert list(read.tensors) == list(tensors)
    for name, tensor in tensors.items():
        assert read.tensors[name].dtype == np.float32
        assert read.tensors[name].flags.c_contiguous
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)
    assert tensor_sha256(read.tensors) == tensor_sha256(tensors)
    assert form.partition(",")[0].partition(" ")[0] in read.form


def test_fc6_rows_at_full_size() -> None:
    """Row (h * 4 + w) * 512 + c of Keras's fc6 is column c * 16 + h * 4 + w of Caffe's."""
    rows, _ = c3d.weight_shapes()["fc6/kernel"]
    kernel = np.arange(rows, dtype=np.float32).reshape(rows, 1)
    moved = layout_writers.channel_rows(kernel)[:, 0]
    h, w, c = 2, 3, 77
    assert moved[c * 16 + h * 4 + w] == (h * 4 + w) * 512 + c


@pytest.mark.parametrize("form", layout_writers.ALL)
def test_half_a_file_is_refused(form: str, path: Path) -> None:
    layout_writers.ALL[form](SMALL, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError):
        layouts.read(path, layout_writers.small_shapes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not in a format"),
        (b"\n <!DOCTYPE html><title>Quota\nexceeded</title>", 'a web page \\("Quota exceeded"\\)'),
        (b"hello, I am a text", "is not in a format"),
        (b"\x80\x02K\x01.", "is not in a format|damaged"),
        (b"PK\x03\x04 and then nothing", "damaged"),
        (b"\x89HDF\r\n\x1a\n and then nothing", "damaged"),
        (bytes(range(256)) * 40, "is not in a format"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer.*git lfs pull"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "is a MATLAB file: .*numpy.savez"),
        (b"\x04\x00\x00\x00\x01\x00\x00\x00", "is a Torch 7 file"),
    ],
)
def test_other_files_are_refused(content: bytes, said: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=said):
        layouts.read(path)


def test_random_damage_is_refused_or_read(path: Path) -> None:
    """Whatever bytes are wrong, the answer is tensors or a StoreError, never something else."""
    dice, outcomes = random.Random(5), []
    for writer in layout_writers.ALL.values():
        writer(SMALL, path)
        content = bytearray(path.read_bytes())
        for _ in range(4):
            content[dice.randrange(len(content) // 4)] = dice.randrange(256)
        path.write_bytes(content)
        try:
            outcomes.append(layouts.read(path, layout_writers.small_shapes).form)
        except StoreError:
            outcomes.append("refused")
    assert "refused" in outcomes


@pytest.mark.slow
@pytest.mark.parametrize("form", ["keras 2", "keras 1, theano", "keras 3 weights", "caffe", "npz", "pytorch zip, mmaction2"])
def test_full_size(form: str, path: Path, full: dict[str, NDArray[np.float32]]) -> None:
    layout_writers.ALL[form](full, path)
    assert tensor_sha256(layouts.read(path).tensors) == tensor_sha256(full)


@pytest.fixture(scope="module")
def full() -> dict[str, NDArray[np.float32]]:
    return layout_writers.seeded(c3d.weight_shapes())


MEMORY = """
import resource, sys
from pathlib import Path
from model_store.formats import layouts, wrapped
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layouts.read(Path(sys.argv[1]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["caffe", "keras 1, theano", "pytorch zip, DavideA", "pytorch legacy, jfzhang95"])
def test_never_more_than_two_copies_in_memory(form: str, tmp_path: Path) -> None:
    layout_writers.ALL[form](layout_writers.seeded(c3d.weight_shapes()), tmp_path / "w")
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "w")]
    peak = int(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    assert peak < 2 * 4 * c3d.NUM_PARAMETERS


@pytest.mark.parametrize("form", ["keras 2", "caffe", "pytorch zip, DavideA"])
def test_a_file_in_a_zip_or_gzip(form: str, tmp_path: Path) -> None:
    layout_writers.ALL[form](SMALL, tmp_path / "w")
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "w", "../../folder/w.h5")
        archive.writestr("README.txt", "weights")
    (tmp_path / "gz").write_bytes(gzip.compress((tmp_path / "w").read_bytes()))
    before = sorted(tmp_path.iterdir())
    for name in ("zip", "gz"):
        assert tensor_sha256(layouts.read(tmp_path / name, layout_writers.small_shapes).tensors) == tensor_sha256(SMALL)
    assert sorted(tmp_path.iterdir()) == before


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrapped, "MAX_BYTES", 1000)
    (tmp_path / "gz").write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(StoreError, match="more than weights have: refused"):
        layouts.read(tmp_path / "gz")
    assert [path.name for path in tmp_path.iterdir()] == ["gz"]
