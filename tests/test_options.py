"""Options from the query, a form or JSON, judged alike."""

from __future__ import annotations

import pytest

from service.errors import InvalidOption
from service.options import ClassifyOptions, FeaturesOptions, Options, read_options


def test_defaults_are_the_papers() -> None:
    options = read_options(FeaturesOptions, [])
    assert (options.clip_stride, options.layer, options.normalize, options.tail) == (8, ("fc6",), "l2", "drop")
    assert (options.start_sec, options.end_sec, options.max_clips, options.include) == (0, None, None, [])
    assert read_options(ClassifyOptions, []).top_k == 5


@pytest.mark.parametrize("given", [[("top_k", "3")], [("top_k", "3"), ("top_k", "3")]])
def test_the_same_twice_is_once(given: list[tuple[str, str]]) -> None:
    assert read_options(ClassifyOptions, given).top_k == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([("top_k", "3"), ("top_k", "4")], "top_k was given twice"),
        ([("top_k", "0")], "top_k must be greater than or equal to 1."),
        ([("top_k", "488")], "top_k must be less than or equal to 487."),
        ([("top_k", "three")], "top_k must be a valid integer."),
        ([("layer", "fc7")], "layer is about features. Add include=features."),
        ([("start_sec", "nan")], "start_sec must be a finite number."),
        ([("start_sec", "-1")], "start_sec must be "),
        ([("end_sec", "inf")], "end_sec must be "),
        ([("start_sec", "2"), ("end_sec", "2")], "end_sec must be after start_sec"),
        ([("max_clips", "0")], "max_clips must be "),
        ([("clip_stride", "0")], "clip_stride must be "),
        ([("include", "clips,frames")], "include must be 'clips', 'segments', 'features' or 'pictures'."),
        ([("tail", "keep")], "tail must be 'drop' or 'pad'."),
        ([("x\nforged", "1")], "There is no option x?forged."),
        ([("topk", "3")], "There is no option topk. Did you mean top_k?"),
        ([("stride", "3")], "There is no option stride. Did you mean clip_stride?"),
        ([("color", "3")], "There is no option color."),
    ],
)
def test_what_is_no_option_is_told_by_its_name(given: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_options(ClassifyOptions, given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_faults_are_named_and_the_others_counted() -> None:
    with pytest.raises(InvalidOption) as caught:
        read_options(ClassifyOptions, [(f"option_{number}", "1") for number in range(10)])
    assert str(caught.value).count("There is no option ") == 3
    assert str(caught.value).endswith("And 7 more.")


@pytest.mark.parametrize("value", ["clips," * 1000, "x," * 1000, ",clips" * 17])
def test_no_list_is_longer_than_there_are_parts(value: str) -> None:
    with pytest.raises(InvalidOption, match="not that many") as caught:
        read_options(ClassifyOptions, [("include", value)])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "given", [[("include", "clips")], [("include", "clips,clips")], [("include", "clips"), ("include", "clips")]]
)
def test_include_is_a_list(given: list[tuple[str, str]]) -> None:
    assert set(read_options(Options, given).include) == {"clips"}
