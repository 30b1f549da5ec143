"""One writer at a time, and what a killed one leaves."""

from __future__ import annotations

import threading
from pathlib import Path

from model_store import store
from tests.support import store_fakes


def test_second_writer_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    told, order = threading.Event(), []

    def say(line: str) -> None:
        said.append(line)
        told.set()

    def second() -> None:
        with store.hold(tmp_path, say):
            order.append("second")

    thread = threading.Thread(target=second)
    with store.hold(tmp_path, say):
        thread.start()
        assert told.wait(30)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert said == [f"Another command is writing to {tmp_path}; waiting for it to end."]


def test_left_overs_go_and_models_stay(tmp_path: Path) -> None:
    store_fakes.model(tmp_path, "kept")
    (tmp_path / f"{store.NEW}abc").mkdir()
    (tmp_path / f"{store.NEW}abc" / store.WEIGHTS).write_bytes(b"half")
    (tmp_path / f"{store.OLD}def" / "kept").mkdir(parents=True)
    with store.hold(tmp_path, print):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [store.LOCK, "kept"]
    assert store.names(tmp_path) == ["kept"]


def test_model_taken_away_and_not_replaced_comes_back(tmp_path: Path) -> None:
    store_fakes.model(tmp_path / f"{store.OLD}def", "mine")
    assert store.names(tmp_path) == []
    with store.hold(tmp_path, print):
        assert store.names(tmp_path) == ["mine"]
    assert store.open_model(tmp_path).card.name == "mine"
