"""The forms of `extract`, each against the rules of those who read it, written down here once more."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.client.conftest import Extract
from tests.support.scripted_service import WIDTH, ScriptedService, rows

ABUSE, NORMAL, TOP = "Abuse/Abuse001_x264.mp4", "Normal/Normal_1.mp4", "v_top.avi"


def matlab_round(number: float) -> int:
    """A half goes up."""
    return int(number + 0.5)


def parts_of(clips: np.ndarray, rounded: object) -> np.ndarray:
    """The original's loop over 32 parts, one at a time, with its places counted from 0."""
    last, found = len(clips) - 1, []
    for part in range(32):
        start, end = (int(rounded(last * each / 32)) for each in (part, part + 1))  # type: ignore[operator]
        mean = clips[start] if end <= start else np.mean([clips[i] for i in range(start, end)], axis=0)
        found.append(mean / np.sqrt(np.sum(mean**2)))
    return np.array(found)


@pytest.mark.parametrize("num_clips", [1, 3, 17, 33, 100])
def test_ucf_crime_reads_32_rows(extract: Extract, out: Path, service: ScriptedService, num_clips: int) -> None:
    service.num_clips = num_clips
    assert extract("--preset", "ucf-crime") == 0
    assert {query["clip_stride"] for _, query in service.asked} == {"16"}
    lines = (out / "Abuse001_x264_C.txt").read_text().splitlines()
    found = np.array([[float(word) for word in line.split()] for line in lines])
    assert found.shape == (32, WIDTH)
    np.testing.assert_allclose(found, parts_of(rows(ABUSE.encode(), num_clips), matlab_round), atol=1e-6)
    assert (out / "v_top_C.txt").exists()


@pytest.mark.parametrize("num_clips", [1, 17, 49])
def test_the_pytorch_version_reads_class_and_name(extract: Extract, out: Path, service: ScriptedService, num_clips: int) -> None:
    service.num_clips = num_clips
    assert extract("--preset", "ucf-crime-pytorch") == 0
    for annotated in ("Abuse/Abuse001_x264.mp4 100 Abuse 3 4", "Normal/Normal_1.mp4 50 Normal -1 -1"):
        video = annotated.split()[0]
        text = (out / f"{video.split('.')[0]}.txt").read_text()
        found = np.array([[float(word) for word in line.split(" ")] for line in text.splitlines()])  # one space, none at the end
        np.testing.assert_allclose(found, parts_of(rows(video.encode(), num_clips), round), rtol=1e-6)


def test_a_dark_video_gives_zeros_and_no_nan() -> None:
    from c3d_video.extract.forms import segments

    assert not segments(np.zeros((5, 4), np.float32), half_to_even=False).any()


def test_activitynet_reads_groups(extract: Extract, out: Path, service: ScriptedService) -> None:
    h5py = pytest.importorskip("h5py")
    assert extract("--preset", "activitynet") == 0
    assert {(query["layer"], query["clip_stride"]) for _, query in service.asked} == {("fc7", "8")}
    with h5py.File(out / "features.hdf5") as file:
        assert sorted(file) == ["v_Abuse001_x264", "v_Normal_1", "v_top"]
        found = file["v_top"]["c3d_features"][:]
        assert json.loads(file["v_top"]["c3d_features"].attrs["provenance"])["model"]["weights"] == "sports1m"
    np.testing.assert_array_equal(found, rows(TOP.encode(), 3))


def test_pca_is_that_of_all_clips(extract: Extract, out: Path, service: ScriptedService) -> None:
    h5py = pytest.importorskip("h5py")
    service.num_clips = 20
    assert extract("--preset", "activitynet", "--pca", "3") == 0
    together = np.concatenate([rows(name.encode(), 20) for name in sorted((ABUSE, NORMAL, TOP))]).astype(np.float64)
    centred = together - together.mean(axis=0)
    expected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:3].T
    with h5py.File(out / "features.hdf5") as file:
        found = np.concatenate([file[group]["c3d_features"][:] for group in ("v_Abuse001_x264", "v_Normal_1", "v_top")])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)  # an axis may point either way


def test_a_later_run_adds_to_the_hdf5_file(extract: Extract, out: Path, videos: Path) -> None:
    h5py = pytest.importorskip("h5py")
    extract("--to", "hdf5")
    (videos / "new.mp4").write_bytes(b"a new one")
    assert extract("--to", "hdf5") == 0
    with h5py.File(out / "features.hdf5") as file:
        assert file["new/c3d_features"].shape == (3, WIDTH)
        assert file["Abuse/Abuse001_x264/c3d_features"].shape == (3, WIDTH)


def test_the_original_tools_files(extract: Extract, out: Path) -> None:
    assert extract("--to", "fc6-1", "--clip-stride", "16") == 0
    folder = out / "Abuse/Abuse001_x264"
    assert sorted(path.name for path in folder.iterdir()) == ["000001.fc6-1", "000017.fc6-1", "000033.fc6-1"]
    content = (folder / "000017.fc6-1").read_bytes()
    assert struct.unpack("<5i", content[:20]) == (1, WIDTH, 1, 1, 1)
    np.testing.assert_array_equal(np.frombuffer(content[20:], "<f4"), rows(ABUSE.encode(), 3)[1])


def test_npy_has_a_row_for_each_clip(extract: Extract, out: Path) -> None:
    assert extract("--to", "npy", "--name", "{class}-{id}.npy") == 0
    np.testing.assert_array_equal(np.load(out / "-top.npy"), rows(TOP.encode(), 3))
    np.testing.assert_array_equal(np.load(out / "Normal-Normal_1.npy"), rows(NORMAL.encode(), 3))


def test_parquet_reads_as_it_is(extract: Extract, out: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert extract("--to", "parquet") == 0
    table = parquet.read_table(out / "features")
    assert table.num_rows == 9
    assert {"video_id", "clip_id", "start_sec", "end_sec", "start_frame", "features", "provenance"} <= set(table.column_names)
    one = parquet.read_table(out / "features/v_top.parquet")
    np.testing.assert_array_equal(np.stack(one["features"].to_numpy()), rows(TOP.encode(), 3))
    assert one["start_sec"].to_pylist() == [0, 0.5, 1]


@pytest.mark.parametrize("options", [("--pca", "3"), ("--to", "hdf5", "--pca", "100")])
def test_pca_where_it_cannot_be_is_refused(extract: Extract, options: tuple[str, ...]) -> None:
    pytest.importorskip("h5py")
    assert extract(*options) == 2


def test_several_layers_are_arrays_by_name(extract: Extract, out: Path, service: ScriptedService) -> None:
    assert extract("--layer", "fc6,fc7") == 0
    assert service.asked[0][1]["layer"] == "fc6,fc7"
    with np.load(out / "v_top.npz") as arrays:
        for layer, factor in (("fc6", 1), ("fc7", 2)):
            np.testing.assert_array_equal(arrays[f"clip_features_{layer}"], rows(TOP.encode(), 3) * factor)
            np.testing.assert_allclose(arrays[f"descriptor_{layer}"], rows(TOP.encode(), 3).mean(axis=0) * factor, rtol=1e-6)
        assert not {"clip_features", "descriptor"} & set(arrays.files)


def test_several_layers_in_the_forms_that_have_room(extract: Extract, out: Path, tmp_path: Path) -> None:
    h5py, parquet = pytest.importorskip("h5py"), pytest.importorskip("pyarrow.parquet")
    assert extract("--layer", "fc6,fc7", "--to", "hdf5", "-o", str(tmp_path / "h")) == 0
    with h5py.File(tmp_path / "h/features.hdf5") as file:
        np.testing.assert_array_equal(file["v_top/c3d_features_fc7"][:], rows(TOP.encode(), 3) * 2)
    assert extract("--layer", "fc6,fc7", "--to", "parquet", "-o", str(tmp_path / "p")) == 0
    table = parquet.read_table(tmp_path / "p/features/v_top.parquet")
    np.testing.assert_array_equal(np.stack(table["features_fc6"].to_numpy()), rows(TOP.encode(), 3))
    assert extract("--layer", "fc6,fc7", "--to", "fc6-1", "-o", str(tmp_path / "f")) == 0
    assert {path.name for path in (tmp_path / "f/v_top").iterdir()} >= {"000001.fc6-1", "000001.fc7-1", "000033.fc7-1"}


@pytest.mark.parametrize("form", ["npy", "txt32"])
def test_several_layers_where_there_is_room_for_one_are_refused(extract: Extract, service: ScriptedService, form: str) -> None:
    assert extract("--layer", "fc6,fc7", "--to", form) == 2
    assert service.asked == []


def test_a_film_longer_than_a_block_is_copied_whole(extract: Extract, out: Path, service: ScriptedService) -> None:
    h5py = pytest.importorskip("h5py")
    service.num_clips = 2500
    assert extract("--to", "hdf5", "--include", "v_top.avi") == 0
    with h5py.File(out / "features.hdf5") as file:
        np.testing.assert_array_equal(file["v_top/c3d_features"][:], rows(TOP.encode(), 2500))


@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_readers_take_the_folder_as_it_is(extract: Extract, out: Path, reader: str) -> None:
    library = pytest.importorskip(reader)
    pytest.importorskip("pyarrow")
    assert extract("--to", "parquet") == 0
    files = f"{out}/features/**/*.parquet"
    if reader == "pandas":
        found = library.read_parquet(out / "features")[["clip_id", "start_sec", "features"]].to_numpy().tolist()
    elif reader == "polars":
        found = library.read_parquet(files).select("clip_id", "start_sec", "features").rows()
    else:
        found = library.sql(f"SELECT clip_id, start_sec, features FROM '{files}'").fetchall()  # noqa: S608 (our own folder)
    expected = [row for name in (ABUSE, NORMAL, TOP) for row in rows(name.encode(), 3)]
    assert len(found) == len(expected) == 9
    assert sorted(tuple(map(float, features)) for _, _, features in found) == sorted(tuple(map(float, row)) for row in expected)
    assert {(clip_id, start) for clip_id, start, _ in found} == {("clip-0", 0.0), ("clip-1", 0.5), ("clip-2", 1.0)}
