"""The shipped manifest says what is known of the published files, and other files are recognised by it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from model_store.download import manifest
from model_store.formats import mean
from model_store.preprocessing import PRESETS
from model_store.tensors import StoreError
from tests.conftest import SHARED


def test_shipped_manifest() -> None:
    shipped = manifest.load()
    assert [source.name for source in shipped.weights] == ["google-drive", "github-adamcasson", "dartmouth", "openmmlab"]
    assert [source.name for source in shipped.weights if source.only_when_asked] == ["dartmouth", "openmmlab"]
    assert set(shipped.means) == {preset.mean for preset in PRESETS.values() if "," not in preset.mean}
    sources = [*shipped.weights, *shipped.labels, *(source for sources in shipped.means.values() for source in sources)]
    assert len({source.file for source in sources}) == len(sources)
    assert all(source.licence for source in sources)
    assert [source.hash for source in sources if source.url.startswith("http://")] == [None]  # nothing there to check by


def test_files_at_hand_are_those_of_the_manifest() -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is not here")
    shipped = manifest.load()
    for source in (*shipped.labels, shipped.means["ucf101"][0]):
        assert manifest.is_source(SHARED / source.file, source)
    cube = mean.read(SHARED / shipped.means["ucf101"][0].file)
    assert mean.identify(cube) == "ucf101"


def test_is_source(tmp_path: Path) -> None:
    source = {"name": "n", "file": "f", "url": "https://h.test/f", "form": "caffe", "licence": "l", "what": "w"}
    file = tmp_path / "anything"
    file.write_bytes(b"hello")
    sha256 = hashlib.sha256(b"hello").hexdigest()
    for changes, right in (
        ({"hash": ["sha256", sha256]}, True),
        ({"hash": ["sha256", sha256], "size_bytes": 5}, True),
        ({"hash": ["sha256", sha256], "size_bytes": 6}, False),
        ({"hash": ["sha256", "0" * 64]}, False),
        ({"size_bytes": 5}, False),  # a size proves nothing
    ):
        assert manifest.is_source(file, manifest.Source.model_validate({**source, **changes})) is right


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": "../outside"}, "weights.0.file"),
        ({"url": "file:///etc/passwd"}, "weights.0.url"),
        ({"hash": ["md5", "abc"]}, "abc is not a md5"),
        ({"colour": "red"}, "weights.0.colour"),
        ({"form": "exe"}, "weights.0.form"),
        ({"form": "binaryproto"}, "google-drive: binaryproto is not one of caffe, keras-hdf5, npz, pytorch"),
        ({"weights_sha256": "ab"}, "weights.0.weights_sha256"),
        ({"url": "http://vlg.test/w"}, "http without a hash: set only_when_asked"),
    ],
)
def test_wrong_manifest_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    content = json.loads(manifest.SHIPPED.read_text())
    content["weights"][0] |= change
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match=said):
        manifest.load(tmp_path / "m.json")


def test_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("<html>")
    with pytest.raises(StoreError, match="is not a manifest"):
        manifest.load(tmp_path / "m.json")
