"""Start times rise, whatever the file says."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from service.video.clock import Clock, rhythm_of


def run(
    stamps: list[float | None], *, rate: int = 25, by_index: bool = False, tick_sec: float = 0.001
) -> tuple[Clock, list[float]]:
    clock = Clock(Fraction(rate), by_index=by_index, tick_sec=tick_sec)
    return clock, [clock.start_of(stamp, None) for stamp in stamps]


def test_trusts_timestamps_that_rise() -> None:
    clock, times = run([0.0, 0.04, 0.08])
    assert times == [0.0, 0.04, 0.08]
    assert clock.end_sec == pytest.approx(0.12)
    assert not clock.estimated
    assert not clock.rhythm().is_variable


def test_counts_where_there_are_none_to_trust() -> None:
    clock, times = run([0.04, 0.0, 0.16, None], by_index=True)
    assert times == [0.0, 0.04, 0.08, 0.12]
    assert clock.end_sec == pytest.approx(0.16)
    assert clock.estimated


def test_takes_the_timestamp_of_its_index_where_their_order_alone_is_known() -> None:
    clock = Clock(Fraction(25), by_index=True, tick_sec=0.001, starts_sec=[0.0, 0.04, 0.2])
    assert [clock.start_of(stamp, None) for stamp in (0.04, 0.0, 0.04)] == [0.0, 0.04, 0.2]
    assert clock.estimated


@pytest.mark.parametrize("stamps", [[None, None, 0.08], [0.0, 0.0, 0.0], [5.0, 1.0, 2.0], [0.0, None, 0.02]])
def test_a_missing_or_falling_timestamp_is_estimated(stamps: list[float | None]) -> None:
    clock, times = run(stamps)
    assert all(later > earlier for earlier, later in pairwise(times))
    assert clock.estimated


def test_a_duration_is_taken_where_it_is_said() -> None:
    clock = Clock(Fraction(25), by_index=False, tick_sec=0.001)
    clock.start_of(0.0, 0.5)
    assert clock.end_sec == 0.5


@pytest.mark.parametrize(
    ("stamps", "variable"),
    [([0.0, 0.033, 0.067, 0.1], False), ([0.0, 0.033, 0.1], True), ([0.0, 0.04, 0.08, 0.18], True), ([0.0, 0.001, 0.003], False)],
)
def test_a_rate_varies_by_more_than_ticks(stamps: list[float | None], *, variable: bool) -> None:
    assert run(stamps)[0].rhythm().is_variable == variable


def test_a_gap_is_no_variable_rate() -> None:
    stamps: list[float | None] = [number * 0.04 for number in range(100) if not 50 <= number < 75]
    clock, _ = run(stamps)
    assert not clock.rhythm().is_variable
    [(begin, end)] = clock.rhythm().gaps
    assert begin == pytest.approx(49 * 0.04)
    assert end == pytest.approx(75 * 0.04)


def test_many_gaps_are_a_variable_rate() -> None:
    clock, _ = run([number * 0.04 + (number // 5) * 0.5 for number in range(100)])
    assert clock.rhythm().is_variable
    assert clock.rhythm().gaps == []


def test_a_gap_among_uneven_frames_is_part_of_their_unevenness() -> None:
    clock, _ = run([0.0, 0.01, 0.05, 0.06, 0.1, 2.0, 2.01])
    assert clock.rhythm().is_variable
    assert clock.rhythm().gaps == []


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(240)])
def test_the_headers_rate_is_taken_where_the_times_show_it(rate: Fraction) -> None:
    starts = np.round(np.arange(100) / float(rate), 3)  # whole milliseconds, as Matroska has them
    assert rhythm_of(starts, 0.001, [Fraction(4), rate]).fps == float(rate)


def test_a_rate_is_that_of_the_frames_and_not_of_the_gaps() -> None:
    starts = np.arange(100) / 25 + np.where(np.arange(100) >= 50, 30.0, 0.0)
    rhythm = rhythm_of(starts, 0.001, [Fraction(100, 34)])
    assert rhythm.fps == pytest.approx(25)
    assert rhythm.gaps == [[starts[49], starts[50]]]


def test_one_frame_has_the_headers_rate_or_none() -> None:
    assert rhythm_of(np.zeros(1), 0.001, [Fraction(25)]).fps == 25
    assert rhythm_of(np.zeros(1), 0.001).fps is None
