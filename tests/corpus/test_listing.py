"""Which videos a corpus has: folders, manifests, object stores, shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from c3d_video.commandline import UsageError
from corpus import listing

pytest.importorskip("pyarrow")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three videos and a note."""
    for name in ("a.mp4", "below/b.avi", "below/c.mkv", "below/note.txt"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "videos"


def named(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("a.mp4", "below/b.avi", "below/c.mkv")]


def test_a_folder_gives_absolute_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert list(listing.sources("videos", folder.parent / "out")) == named(folder)


def write_parquet(file: Path, **columns: list[str]) -> None:
    from pyarrow import parquet, table

    parquet.write_table(table(columns), file)


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
def test_a_manifest_gives_paths_from_its_folder_and_addresses(folder: Path, kind: str) -> None:
    entries = ["a.mp4", "below/b.avi", "https://example.com/far.mp4", "s3://bucket/far.mp4"]
    path = folder / f"list.{kind}"
    if kind == "txt":
        path.write_text("# a comment\n" + "\n".join(entries) + "\n\n")
    elif kind == "csv":
        path.write_text("label,path\n" + "".join(f"x,{entry}\n" for entry in entries))
    else:
        write_parquet(path, label=["x"] * 4, path=entries)
    assert list(listing.sources(str(path), folder / "out")) == [*named(folder)[:2], *entries[2:]]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_may_be_named(folder: Path, kind: str) -> None:
    path = folder / f"list.{kind}"
    if kind == "csv":
        path.write_text("name\na.mp4\n")
    else:
        write_parquet(path, name=["a.mp4"])
    assert list(listing.sources(f"{path}:name", folder / "out")) == named(folder)[:1]
    for wrong in (str(path), f"{path}:nothing"):
        with pytest.raises(UsageError, match="it has name"):
            list(listing.sources(wrong, folder / "out"))


def test_a_store_is_listed_by_its_address_and_read(folder: Path) -> None:
    found = list(listing.sources(f"file://{folder}", folder / "out"))
    assert found == [f"file://{name}" for name in named(folder)]
    assert all(listing.is_in_store(each) for each in found)
    system, path = listing.opened(found[0])
    with system.open_input_stream(path) as stream:
        assert stream.read() == b"x"


@pytest.mark.parametrize("wrong", ["nothing", "nothing.csv:path", "nothing://x/y"])
def test_what_is_no_listing_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UsageError):
        list(listing.sources(str(tmp_path / wrong) if "://" not in wrong else wrong, tmp_path / "out"))


def test_shards_part_the_videos_and_stay() -> None:
    videos = [f"/videos/{number}.mp4" for number in range(200)]
    shards = [list(listing.shard(videos, number, 4)) for number in (1, 2, 3, 4)]
    assert sorted(video for part in shards for video in part) == sorted(videos)
    assert all(30 < len(part) < 70 for part in shards)
    assert list(listing.shard([*videos, "/videos/new.mp4"], 1, 4))[: len(shards[0])] == shards[0]
