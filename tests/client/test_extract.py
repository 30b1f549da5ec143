"""`c3d-video extract` against a scripted service: what is sent, written, tried again, told and gone on from."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.client.conftest import Extract
from tests.support.http_helpers import fake_app, serving
from tests.support.scripted_service import MODEL, ScriptedService, broken, failed, refused, rows

NAMES = ["Abuse/Abuse001_x264.mp4", "Normal/Normal_1.mp4", "v_top.avi"]
NOW = {"Retry_After": "0"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_becomes_files_and_an_index(extract: Extract, out: Path, service: ScriptedService) -> None:
    assert extract("--clip-stride", "16") == 0
    assert all(query == {"encoding_format": "base64", "include": "clips", "clip_stride": "16"} for _, query in service.asked)
    with np.load(out / "Abuse/Abuse001_x264.npz") as arrays:
        np.testing.assert_array_equal(arrays["clip_features"], rows(NAMES[0].encode(), 3))
        np.testing.assert_array_equal(arrays["start_sec"], [0, 0.5, 1])
        assert json.loads(str(arrays["provenance"]))["model"]["weights_sha256"] == MODEL["weights_sha256"]
    about, *videos = lines(out / "index.jsonl")
    assert (about["options"]["clip_stride"], about["model"]["weights_sha256"]) == (16, MODEL["weights_sha256"])
    assert sorted(each["name"] for each in videos) == NAMES
    fields = {"name", "size", "mtime_ns", "sha256", "id", "output", "clips", "seconds", "warnings"}
    assert all(set(each) == fields for each in videos)
    assert (out / "failed.jsonl").read_text() == ""
    assert not list(out.rglob("*.part"))


def test_a_second_run_asks_for_nothing_but_what_changed(
    extract: Extract, out: Path, videos: Path, service: ScriptedService
) -> None:
    extract()
    service.asked.clear()
    assert extract() == 0
    assert service.asked == []
    (videos / "v_top.avi").write_bytes(b"longer than before")
    (out / "Normal/Normal_1.npz").unlink()
    assert extract() == 0
    assert sorted(body for body, _ in service.asked) == [b"Normal/Normal_1.mp4", b"longer than before"]


def test_overwrite_does_all_again(extract: Extract, service: ScriptedService) -> None:
    extract()
    assert extract("--overwrite") == 0
    assert len(service.asked) == 6


def test_another_time_of_the_same_bytes_is_done(extract: Extract, videos: Path, out: Path, service: ScriptedService) -> None:
    import hashlib

    extract()
    path = out / "index.jsonl"
    digest = hashlib.sha256(b"v_top.avi").hexdigest()
    path.write_text(path.read_text().replace("cd" * 32, digest))
    os.utime(videos / "v_top.avi", (1, 1))
    service.asked.clear()
    assert extract() == 0
    assert service.asked == []


def test_a_torn_last_line_is_done_again(extract: Extract, out: Path, service: ScriptedService) -> None:
    extract()
    index = out / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-20])
    service.asked.clear()
    assert extract() == 0
    assert len(service.asked) == 1
    assert len(lines(index)) == 4


def test_what_is_the_services_state_is_tried_again(extract: Extract, out: Path, service: ScriptedService) -> None:
    causes = [
        (429, "overloaded"),
        (503, "warming"),
        (503, "draining"),
        (502, "replica_lost"),
        (504, "deadline_exceeded"),
        (503, "no_replica"),
        (507, "disk_full"),
    ]
    service.script = [refused(status, code, **NOW) for status, code in causes]
    assert extract("-j", "1") == 0
    assert len(service.asked) == 3 + len(causes)
    assert (out / "failed.jsonl").read_text() == ""


@pytest.mark.slow
def test_a_lost_connection_leaves_nothing_half_done(extract: Extract, out: Path, service: ScriptedService) -> None:
    service.script = [broken(2)]
    assert extract("-j", "1") == 0
    for name in NAMES:
        with np.load((out / name).with_suffix(".npz")) as arrays:
            np.testing.assert_array_equal(arrays["clip_features"], rows(name.encode(), 3))


def test_a_busy_services_deadline_is_no_failure_of_the_video(extract: Extract, out: Path, service: ScriptedService) -> None:
    service.script = [failed("deadline_exceeded", 504)]
    assert extract("-j", "1") == 0
    assert lines(out / "failed.jsonl") == []


@pytest.mark.parametrize("answer", [refused(422, "undecodable_video"), failed("decoder_failed"), refused(500, "internal")])
def test_a_videos_own_failure_is_told_and_not_tried_again(
    extract: Extract, out: Path, service: ScriptedService, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    service.script = [answer]
    assert extract("-j", "1") == 1
    (failure,) = lines(out / "failed.jsonl")
    assert set(failure) == {"name", "code", "detail", "status", "request_id"}
    assert failure["name"] in capsys.readouterr().err
    service.asked.clear()
    assert extract() == 1
    assert service.asked == []
    assert extract("--retry-failed") == 0
    assert [body for body, _ in service.asked] == [failure["name"].encode()]
    assert (out / "failed.jsonl").read_text() == ""


def test_fail_fast_stops(extract: Extract, service: ScriptedService) -> None:
    service.script = [refused(422, "undecodable_video")]
    assert extract("-j", "1", "--fail-fast") == 1
    assert len(service.asked) == 1


def test_other_options_or_another_model_are_refused_before_a_video_is_sent(
    extract: Extract, service: ScriptedService, capsys: pytest.CaptureFixture[str]
) -> None:
    extract()
    service.asked.clear()
    assert extract("--layer", "fc7") == 2
    assert "layer" in capsys.readouterr().err
    service.info = {**service.info, "model": {**MODEL, "weights_sha256": "ef" * 32}}
    assert extract("--overwrite") == 2
    assert "weights_sha256" in capsys.readouterr().err
    assert service.asked == []


def test_a_server_that_changes_its_model_stops_the_run(extract: Extract, out: Path, service: ScriptedService) -> None:
    service.model = {"weights_sha256": "ef" * 32}
    assert extract() == 3
    assert len(lines(out / "index.jsonl")) == 1


def test_stand_ins_are_refused_unless_allowed(extract: Extract, service: ScriptedService) -> None:
    service.info = {**service.info, "model": {**MODEL, "weights": "stand-in"}}
    assert extract() == 3
    assert service.asked == []
    assert extract("--allow-stand-in") == 0


def test_an_option_that_the_service_does_not_know_is_one_line(
    extract: Extract, service: ScriptedService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.script = [refused(422, "invalid_option")] * 3
    assert extract("--fps", "30", "-j", "1") == 2
    assert len(service.asked) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_service_is_one_line(extract: Extract, capsys: pytest.CaptureFixture[str], videos: Path, out: Path) -> None:
    from c3d_video.__main__ import main

    assert main(["extract", str(videos), "-o", str(out), "--server", "http://127.0.0.1:1"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_the_size_is_checked_before_a_byte_is_sent(extract: Extract, out: Path, service: ScriptedService) -> None:
    service.info = {**service.info, "limits": {"max_upload_bytes": 10}}
    assert extract() == 1
    assert [body for body, _ in service.asked] == [b"v_top.avi"]
    assert {each["code"] for each in lines(out / "failed.jsonl")} == {"body_too_large"}


def test_the_limit_is_read_where_the_service_writes_it(
    extract: Extract, out: Path, service: ScriptedService, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    with serving(fake_app(tmp_path / "spool", max_upload_bytes=10)) as client:
        service.info = {**service.info, "limits": client.get("/info").json()["limits"]}
    assert extract() == 1
    assert [body for body, _ in service.asked] == [b"v_top.avi"]
    assert {each["code"] for each in lines(out / "failed.jsonl")} == {"body_too_large"}


@pytest.mark.parametrize("code", ["weights_missing", "start_failed", "unauthorized", "not_found"])
def test_what_every_video_would_meet_ends_the_run(
    extract: Extract, out: Path, service: ScriptedService, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    service.script = [refused(503, code)]
    assert extract("-j", "1") == 3
    assert len(service.asked) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (out / "failed.jsonl").read_text() == ""


def test_two_inputs_with_one_output_are_refused(
    extract: Extract, service: ScriptedService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract("--name", "{ext}.npz") == 2
    assert "mp4.npz" in capsys.readouterr().err
    assert service.asked == []


@pytest.mark.parametrize("pattern", ["{what}.npz", "{", "../{stem}.npz"])
def test_a_wrong_pattern_is_refused(extract: Extract, pattern: str) -> None:
    assert extract("--name", pattern) == 2


def test_two_writers_are_refused(extract: Extract, out: Path) -> None:
    extract()
    with (out / ".c3d-video/lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert extract() == 2
    assert extract() == 0


def test_lists_and_columns(extract: Extract, videos: Path, service: ScriptedService) -> None:
    (videos / "list.txt").write_text("Abuse/Abuse001_x264.mp4\nhttps://example.com/far.mp4\n")
    assert extract("--dry-run", paths=(f"@{videos}/list.txt",)) == 0
    assert service.asked == []
    assert extract(paths=(f"@{videos}/list.txt",)) == 0
    (videos / "list.csv").write_text("label,path\n1,v_top.avi\n")
    assert extract(paths=(f"@{videos}/list.csv:path",)) == 0
    assert extract(paths=(f"@{videos}/list.csv:nothing",)) == 2
    assert [body for body, _ in service.asked][-1] == b"v_top.avi"


def test_shards_part_the_videos(extract: Extract, service: ScriptedService) -> None:
    for number in (1, 2, 3):
        assert extract("--shard", f"{number}/3", "--include", "*") in {0, 2}
    assert sorted(body.decode() for body, _ in service.asked) == NAMES


def test_include_and_exclude(extract: Extract, service: ScriptedService) -> None:
    assert extract("--include", "*.mp4", "--exclude", "Normal/*") == 0
    assert [body for body, _ in service.asked] == [NAMES[0].encode()]


def test_json_lines(extract: Extract, capsys: pytest.CaptureFixture[str], service: ScriptedService) -> None:
    service.script = [refused(422, "empty_file")]
    assert extract("--json", "-j", "1") == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.get("code") for each in said] == ["empty_file", None, None, None]
    assert (said[-1]["summary"]["done"], said[-1]["summary"]["failed"]) == (2, 1)


def test_a_file_that_cannot_be_read_is_its_own_failure(extract: Extract, videos: Path, out: Path) -> None:
    (videos / "gone.mp4").symlink_to("nowhere")
    assert extract() == 1
    assert [each["code"] for each in lines(out / "failed.jsonl")] == ["unreadable_file"]
