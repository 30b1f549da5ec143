"""bench/: its statistics are right, its commands say what they do, its figures find their place. Nothing is timed here."""

from __future__ import annotations

import importlib
import json
import math
import random
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import claims, inputs, ladder, load, parts, processes, rounds, stats, usage
from bench.__main__ import CLAIMS, kept
from bench.claims import Aim, Claim, Table
from bench.report import BEGIN, END, markdown, put
from bench.rounds import Sample
from bench.stats import Interval
from model_store.store import Model
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions
from tests.conftest import ROOT
from tests.support.pages import page

MACHINE: dict[str, Any] = {
    "date": "2026-11-23", "cpu": {"name": "A CPU", "number": "family 1, model 2", "flags": ["avx2"]}, "cores": 2,
    "memory_gib": 24, "python": "3.11.7", "versions": {"keras": "3.15.1"}, "weights": "stand-in", "rounds": 5, "commit": "abc12",
    "load_average_at_start": 0.0,
}  # fmt: skip


def test_the_interval_is_students() -> None:
    """By hand: mean 2, standard deviation 1, t of 2 degrees of freedom 4.303, over the root of 3."""
    assert stats.mean_interval([1, 2, 3]) == pytest.approx((2, 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)))


def test_one_value_says_nothing_of_its_spread() -> None:
    assert stats.mean_interval([5]) == (5, -math.inf, math.inf)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = random.Random(1)
    found = [stats.mean_interval([generator.gauss(10, 3) for _ in range(5)]) for _ in range(4000)]
    assert statistics.fmean(each.low <= 10 <= each.high for each in found) == pytest.approx(0.95, abs=0.01)


def test_what_is_common_to_a_round_cancels() -> None:
    base = [10.0, 5.0, 20.0, 1.0, 7.0]
    assert stats.paired_ratio([0.9 * each for each in base], base) == pytest.approx((0.9, 0.9, 0.9))
    with pytest.raises(ValueError, match="longer"):
        stats.paired_ratio(base[:4], base)


def test_a_ratio_and_its_inverse_agree() -> None:
    mine, base = [1.0, 2.0, 4.0], [2.0, 3.0, 5.0]
    there, back = stats.paired_ratio(mine, base), stats.paired_ratio(base, mine)
    assert (there.value, there.low, there.high) == pytest.approx((1 / back.value, 1 / back.high, 1 / back.low))


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1, 100), (0.001, 1)])
def test_percentiles(share: float, expected: float) -> None:
    assert stats.percentile([float(value) for value in range(100, 0, -1)], share) == expected


def test_a_line_and_what_is_off_it() -> None:
    assert stats.fit_line([10, 20, 40], [5, 10, 20]) == pytest.approx((0.5, 0, 0))
    assert stats.fit_line([0, 1, 2], [0, 1.3, 2])[2] > 0.05


def test_every_round_has_all_in_another_order() -> None:
    names = ["E", "B", "H", "V"]
    orders = [rounds.rotated(names, number) for number in range(4)]
    assert all(sorted(order) == sorted(names) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_what_others_are_held_against_runs_before_between_and_behind_them() -> None:
    order: list[str] = []

    def turn(name: str) -> Sample:
        order.append(name)
        return Sample(4, 0.5, 1.0, [0.5])

    found = rounds.between("E", {name: partial(turn, name) for name in "EBHV"}, 2)
    assert "".join(order) == "EBEHEVE" + "EBEVEHE"
    assert found["E"] == [Sample(16, 2.0, 4.0, [0.5] * 4)] * 2
    assert all(found[name] == [Sample(4, 0.5, 1.0, [0.5])] * 2 for name in "BHV")


def test_a_summary_is_of_all_rounds() -> None:
    mine = [Sample(10, 2.0, 3.0, [0.5], 5, 1.5), Sample(10, 4.0, 5.0, [0.7], 5, 3.0)]
    base = [Sample(20, 2.0, 3.0), Sample(20, 4.0, 5.0)]
    found = rounds.summary(mine, base)
    assert found.clips_per_s_by_round == [5.0, 2.5]
    assert found.ratio.value == pytest.approx(0.5)
    assert (found.cpu_s_per_clip, found.clips_per_batch, found.latency(0.5), found.busy) == (0.4, 2.0, "0.50", 0.75)


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (Interval(0.96, 0.94, 0.98), True),
        (Interval(0.96, 0.92, 1.00), False),  # may be worse than it looks
        (Interval(0.94, 0.939, 0.941), False),
    ],
)
def test_an_aim_is_met_by_value_and_interval(found: Interval, met: bool) -> None:  # noqa: FBT001
    assert claims.at_least("V/E", 0.95, found).met is met


def test_a_videos_clips_are_those_of_the_service(clip_mp4: Path) -> None:
    assert inputs.clips_of(clip_mp4).shape == (4, 16, 112, 112, 3)


def test_a_repeated_video_is_as_long_as_it_says(tmp_path: Path) -> None:
    piece = inputs.make_video(tmp_path / "piece.mp4", 10)
    again = inputs.repeat_video(piece, tmp_path / "again.mp4", 3)
    blocks = [message for message in read_video(again, ReadOptions(tail="pad")) if isinstance(message, FrameBlock)]
    times = np.concatenate([block.start_sec for block in blocks])
    assert times == pytest.approx(np.arange(30) / inputs.RATE)


@pytest.mark.slow
def test_parts_of_a_long_video_are_timed(tmp_path: Path) -> None:
    claim = parts.measure(claims.Options(1, Path("none"), long=False), tmp_path, times=2)
    assert claim.figures.keys() == {"begin_s", "end_s", "max_clips_s", "whole_s"}
    assert all(value > 0 for value in claim.figures.values())


def test_what_a_process_uses_is_seen() -> None:
    before = usage.family_cpu_s(usage.SELF)
    while usage.family_cpu_s(usage.SELF) <= before:
        sum(range(100_000))
    assert usage.peak_mib(usage.SELF) > 10


@pytest.mark.slow
def test_the_ladders_rungs_share_one_network(
    stand_in: Model, clip_mp4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real service with the bare loop in its process: what the loop and the batcher run is no clip of the service's."""
    monkeypatch.setenv("C3D_MODEL_STORE", str(stand_in.directory.parent))
    np.save(tmp_path / "clips.npy", inputs.clips_of(clip_mp4))
    with processes.serving_worker("bench.servers.looped", str(tmp_path / "clips.npy")) as (child, (_, port)):
        assert ladder.bare(child)(1).clips == ladder.LOOP
        assert child.ask(batcher=1, requests=1, clips=4)["clips"] == 4
        assert ladder.counted(port)[0] == 0  # neither passed through the service
        load.drive(port, [load.video_upload(clip_mp4.read_bytes(), 4)], 1, 1)
        assert ladder.counted(port)[0] == 4


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_claim_is_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(CLAIMS[name].__module__)
    assert f"python -m {module.__name__}" in (module.__doc__ or "")
    with pytest.raises(SystemExit) as ended:
        claims.run(CLAIMS[name], module.__doc__, ["--help"])
    assert ended.value.code == 0
    assert "--rounds" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("module", ["bench", "bench.report"])
def test_the_commands_around_them(module: str) -> None:
    run = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_figures_come_from_the_json_into_their_place() -> None:
    claim = Claim("ladder", [Table("A table", ("what", "clips/s"), [["V", "6.1"]])], {}, [Aim("V/E", "0.95", "0.97", met=True)])
    text = markdown(json.loads(json.dumps({"machine": MACHINE, "claims": [claim.content()]})))
    assert "| V | 6.1 |" in text
    assert "| V/E | 0.95 | 0.97 | yes |" in text
    assert "A CPU" in text
    assert "BUSY" not in text
    filled = put(text, f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert filled.startswith("before\n")
    assert filled.endswith("after\n")
    assert "old" not in filled
    assert put(text, filled) == filled


def test_single_claims_leave_the_others_where_the_cpu_is_the_same() -> None:
    results = {"machine": MACHINE, "claims": [{"name": "ladder"}, {"name": "engines"}]}
    assert kept(results, {**MACHINE["cpu"]}, ["engines"]) == [{"name": "ladder"}]
    assert kept(results, {**MACHINE["cpu"], "name": "Another CPU"}, ["engines"]) == []
    assert kept({}, {**MACHINE["cpu"]}, ["engines"]) == []


def test_a_claim_of_another_commit_says_so() -> None:
    when = {"date": "2026-11-24", "commit": "older", "load_average_at_start": 0.25}
    claim = {**Claim("ladder", [], {}).content(), "when": when}
    assert "ladder: measured on 2026-11-24 at commit older, load 0.2." in markdown({"machine": MACHINE, "claims": [claim]})
    assert "ladder" not in markdown({"machine": {**MACHINE, "commit": "older"}, "claims": [claim]})


def test_the_docs_have_a_place_for_figures() -> None:
    assert put("figures", page("performance"))
