"""What a corpus keeps on disk: parts that are whole or not there, what is done, whose rows they are, who killed a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c3d_video.commandline import UsageError
from corpus import parts
from corpus.out import Out, batches
from corpus.parts import Row
from corpus.worker import Plan
from model_store import c3d

parquet = pytest.importorskip("pyarrow.parquet")

MODEL = {"weights_sha256": "ab" * 32, "precision": "float32", "backend": "one"}


@pytest.fixture
def out(tmp_path: Path) -> Out:
    return Out(tmp_path / "out", {"clip_stride": 16}, None)


def vector(seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).random(c3d.DESCRIPTOR_SIZE, np.float32)


def write(out: Out, *rows: Row) -> Path:
    part = out.part([row.path for row in rows])
    parts.write(rows, part, out.work, "fc6", with_clips=False)
    return part


def test_a_part_holds_good_rows_and_failed_ones(out: Out) -> None:
    good = Row("a.mp4", id="1", sha256="cd", size=5, clips=2, descriptor=vector(0), warnings=["rotated"], provenance="{}")
    part = write(out, Row("b.mp4", "undecodable_video", "It is no video."), good)
    bad, read = parquet.read_table(part).to_pylist()
    assert (bad["code"], bad["detail"], bad["descriptor"], bad["warnings"]) == ("undecodable_video", "It is no video.", None, [])
    np.testing.assert_array_equal(np.float32(read.pop("descriptor")), vector(0))
    assert read == {
        "path": "a.mp4",
        "code": "ok",
        "detail": None,
        "id": "1",
        "sha256": "cd",
        "size": 5,
        "clips": 2,
        "warnings": ["rotated"],
        "provenance": "{}",
    }
    assert list(out.work.iterdir()) == []


def test_clips_are_lists_of_vectors(out: Out) -> None:
    clips = np.stack([vector(1), vector(2)])
    row = Row("a.mp4", descriptor=vector(0), clip_features=clips, clip_start_sec=np.array([0.0, 0.5]))
    part = out.part(["a.mp4", "b.mp4"])
    parts.write([Row("b.mp4", "empty_file"), row], part, out.work, "fc6", with_clips=True)
    bad, good = parquet.read_table(part).to_pylist()
    np.testing.assert_array_equal(np.float32(good["clip_features"]), clips)
    assert good["clip_start_sec"] == [0.0, 0.5]
    assert not bad["clip_features"]


@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_readers_take_the_parts_as_they_are(out: Out, reader: str) -> None:
    library = pytest.importorskip(reader)
    write(out, Row("a.mp4", descriptor=vector(0)), Row("b.mp4", "empty_file", "No bytes."))
    write(out, Row("c.mp4", descriptor=vector(1)))
    files = f"{out.parts}/*.parquet"
    if reader == "pandas":
        found = library.read_parquet(out.parts)[["path", "descriptor"]].to_numpy().tolist()
    elif reader == "polars":
        found = library.read_parquet(files).select("path", "descriptor").rows()
    else:
        found = library.sql(f"SELECT path, descriptor FROM '{files}'").fetchall()  # noqa: S608 (our own folder)
    vectors = dict(found)
    assert vectors["b.mp4"] is None
    np.testing.assert_array_equal(np.float32(vectors["a.mp4"]), vector(0))
    np.testing.assert_array_equal(np.float32(vectors["c.mp4"]), vector(1))


def test_what_is_in_a_part_is_done_and_what_is_named_twice_is_one(out: Out) -> None:
    write(out, Row("a.mp4"), Row("b.mp4", "empty_file"))
    assert list(out.todo(["a.mp4", "b.mp4", "c.mp4", "c.mp4"], set())) == ["c.mp4"]


def test_retry_takes_the_rows_out_first(out: Out) -> None:
    part = write(out, Row("a.mp4", descriptor=vector(0)), Row("b.mp4", "empty_file"))
    alone = write(out, Row("c.mp4", "empty_file"))
    assert list(out.todo(["a.mp4", "b.mp4", "c.mp4"], {"empty_file"})) == ["b.mp4", "c.mp4"]
    assert parquet.read_table(part)["path"].to_pylist() == ["a.mp4"]
    assert not alone.exists()


def test_other_options_are_refused(out: Out, tmp_path: Path) -> None:
    out.check_model(MODEL)
    out.check_options()
    for other in (Out(tmp_path / "out", {"clip_stride": 8}, None), Out(tmp_path / "out", {"clip_stride": 16}, (1, 4))):
        with pytest.raises(UsageError, match="holds rows made with"):
            other.check_options()


def test_another_model_is_refused_and_another_engine_is_not(out: Out) -> None:
    out.check_model(MODEL)
    out.check_model(MODEL | {"backend": "another"})
    with pytest.raises(UsageError, match="weights_sha256"):
        out.check_model(MODEL | {"weights_sha256": "ef" * 32})


def test_two_runs_at_once_are_refused_and_two_shards_are_not(out: Out, tmp_path: Path) -> None:
    with out.lock(), pytest.raises(UsageError, match="Another process"):
        Out(tmp_path / "out", {"clip_stride": 16}, None).lock()
    one, two = (Out(tmp_path / "shards", {}, (number, 2)) for number in (1, 2))
    with one.lock(), two.lock():
        pass


def test_a_video_that_was_at_work_at_each_death_is_counted(out: Out) -> None:
    batch = ["a.mp4", "poison.mp4"]
    first = out.attempts(batch)
    first.begins("a.mp4")
    first.ended("a.mp4")
    first.begins("poison.mp4")  # and the worker dies
    second = out.attempts(batch)
    assert second.deaths == {"poison.mp4": 1}
    second.begins("poison.mp4")
    assert out.attempts(batch).deaths == {"poison.mp4": 2}
    second.forget()
    assert out.attempts(batch).deaths == {}


def test_batches() -> None:
    assert list(batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize("clips", [True, False])
def test_a_plan_asks_for_what_it_keeps(tmp_path: Path, *, clips: bool) -> None:
    options: dict[str, Any] = {"clip_stride": 16, "layer": "pool5"} | ({"clips": True} if clips else {})
    found = Plan(tmp_path, options, None, 1, allow_stand_in=False).features()
    assert (found.clip_stride, found.layer, found.wants("clips")) == (16, ("pool5",), clips)
    assert found.wants_clip_vectors() == clips


@pytest.mark.parametrize("options", [{"clip_stride": 0}, {"layer": "fc6,fc7"}, {"layer": "fc9"}])
def test_a_plan_that_no_worker_could_follow_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Plan(tmp_path, options, None, 1, allow_stand_in=False).features()
