"""The table of models, and the table of layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_store import __main__ as listing
from model_store import c3d, store
from tests.support import store_fakes


def table(directory: Path, wanted: str = "") -> list[str]:
    return listing.table(listing.models(directory, wanted), directory, wanted)


def marked(directory: Path, wanted: str = "") -> list[str]:
    return [row["name"] for row in listing.models(directory, wanted) if row["served"]]


def test_an_empty_store_says_what_fills_it(tmp_path: Path) -> None:
    [line] = table(tmp_path)
    assert line.startswith(f"There are no models in {tmp_path}. `")
    assert line.endswith(" pull` downloads one.")


@pytest.mark.parametrize("wanted", ["", "sports1m", "mine"])
def test_the_mark_is_at_what_the_service_opens(tmp_path: Path, wanted: str) -> None:
    for name in ("mine", "sports1m", "stand-in"):
        store_fakes.model(tmp_path, name)
    assert marked(tmp_path, wanted) == [store.open_model(tmp_path, wanted).card.name]
    lines = table(tmp_path, wanted)
    assert [line.split()[1] for line in lines[1:4] if line.startswith("*")] == marked(tmp_path, wanted)
    assert lines[-1].startswith("* is what the service serves.")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("", "Several models are in {store}: set C3D_MODEL to one of mine, ours."), ("mime", 'Did you mean "mine"?')],
)
def test_where_nothing_would_be_served_it_says_why(tmp_path: Path, wanted: str, said: str) -> None:
    for name in ("mine", "ours"):
        store_fakes.model(tmp_path, name)
    assert marked(tmp_path, wanted) == []
    assert said.format(store=tmp_path) in table(tmp_path, wanted)[-1]


def test_a_damaged_model_does_not_hide_the_others(tmp_path: Path) -> None:
    store_fakes.model(tmp_path, "mine", num_classes=0)
    (store_fakes.model(tmp_path, "broken").directory / store.LABELS).write_text("one\n")
    lines = table(tmp_path)
    assert any("mine" in line and "descriptors only" in line for line in lines)
    assert "broken cannot be used. The number of labels is 1, the number of classes 487: they must be the same." in lines


def test_columns_stand_below_their_names(tmp_path: Path) -> None:
    for name in ("a", "a-much-longer-name"):
        store_fakes.model(tmp_path, name)
    head, *rest = table(tmp_path)[:3]
    at = head.index("PREPROCESSING")
    assert [line[at:].split()[0] for line in rest] == ["c3d-sports1m"] * 2


def test_the_summary_is_the_papers_table() -> None:
    lines = listing.summary()
    assert lines[-1] == "79,991,015 parameters in float32: 320 MB"
    for layer in c3d.LAYERS:
        [line] = [line for line in lines if line.split()[0] == layer.name]
        assert f" {'x'.join(map(str, layer.output))}" in line
        assert line.endswith(f" {layer.parameters:,}") == bool(layer.parameters)


def test_the_summary_of_a_model_has_its_classes_and_its_pool5() -> None:
    lines = listing.summary(101, "symmetric")
    assert any(line.startswith("fc8") and "101 classes" in line for line in lines)
    assert any(line.startswith("zeropad5") and "1+1 rows" in line for line in lines)
    assert lines[-1].startswith(f"{c3d.NUM_PARAMETERS - 4097 * (487 - 101):,} parameters")
    assert not any(line.startswith("fc8") for line in listing.summary(0))
