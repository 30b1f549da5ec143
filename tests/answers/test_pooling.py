"""Means, norms and rankings, in the order of the paper."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.answers.pooling import MeanPool, Segments, l2_normalize, top_predictions
from tests.support import reference


def pooled(rows: NDArray[np.float32]) -> MeanPool:
    pool = MeanPool()
    for row in rows:
        pool.add(row)
    return pool


@pytest.fixture
def fc6() -> NDArray[np.float32]:
    """Clips of very different length, where the order of mean and norm shows."""
    random = np.random.default_rng(0)
    lengths = np.array([[1], [9], [2], [30], [1], [5], [100]])
    return np.asarray(np.maximum(random.normal(size=(7, 4096)), 0) * lengths, np.float32)


def test_descriptor_is_the_mean_then_l2(fc6: NDArray[np.float32]) -> None:
    descriptor = l2_normalize(pooled(fc6).mean())
    assert descriptor.dtype == np.float32
    assert np.linalg.norm(descriptor - reference.video_descriptor(fc6)) < 1e-6
    assert np.linalg.norm(descriptor - reference.l2_then_mean(fc6)) > 0.1
    assert abs(np.linalg.norm(descriptor.astype(np.float64)) - 1) < 1e-6


def test_mean_does_not_depend_on_order_or_number(fc6: NDArray[np.float32]) -> None:
    forward, backward = pooled(fc6).mean(), pooled(fc6[::-1]).mean()
    assert np.array_equal(forward, backward)
    many = pooled(np.tile(fc6, (300, 1)))
    assert many.count == 2100
    assert np.allclose(many.mean(), forward, rtol=1e-6)


def test_no_clips_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no clips"):
        MeanPool().mean()


def test_zeros_stay_zeros() -> None:
    assert np.array_equal(l2_normalize(np.zeros(4096, np.float32)), np.zeros(4096))


def test_large_vectors_do_not_overflow() -> None:
    assert np.isclose(np.linalg.norm(l2_normalize(np.full(4096, 1e30, np.float32))), 1)


def test_top_predictions_are_ranked_and_ties_go_to_the_lower_class() -> None:
    scores = np.array([0.1, 0.3, 0.2, 0.3, 0.1], np.float32)
    assert [p.class_id for p in top_predictions(scores, 3)] == [1, 3, 2]
    assert [p.class_id for p in top_predictions(scores, 99)] == [1, 3, 2, 0, 4]
    assert top_predictions(scores, 1)[0].score == pytest.approx(0.3)


def test_segments_end_where_the_best_class_changes_or_is_not_probable_enough() -> None:
    segments = Segments(score_threshold=0.5)
    for index, (class_id, score) in enumerate([(1, 0.6), (1, 0.9), (2, 0.7), (2, 0.4), (2, 0.8), (0, 0.45)]):
        row = np.full(3, (1 - score) / 2, np.float32)
        row[class_id] = score
        segments.add(row, index, index + 2)
    assert [(each.class_id, each.start_sec, each.end_sec, len(each.scores)) for each in segments.found] == [
        (1, 0, 2.5, 2),
        (2, 2.5, 3.5, 1),
        (2, 4.5, 5.5, 1),
    ]
    assert np.allclose(segments.found[0].scores, [0.6, 0.9])
