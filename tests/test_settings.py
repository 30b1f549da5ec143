"""service/settings.py: what the environment may say, and that the docs say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from service.settings import FORMER, Settings, former_names, unknown_names
from tests.conftest import ROOT
from tests.support.pages import page, rows

NAMES = sorted(Settings.model_fields)


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("C3D_"):
            monkeypatch.delenv(name)


def test_the_defaults_are_possible() -> None:
    settings = Settings()
    assert Settings.model_validate(settings.model_dump()) == settings
    assert (settings.port, settings.precision, settings.max_upload_bytes) == (8000, "float32", 512 * 1024**2)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_description_of_one_line(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description
    assert "\n" not in description
    assert description.endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("C3D_PORT", "-1"),
        ("C3D_PORT", "65536"),
        ("C3D_PORT", "eighty"),
        ("C3D_PRECISION", "float8"),
        ("C3D_PRECISION", "FLOAT32"),
        ("C3D_MAX_DECODERS", "0"),
        ("C3D_MAX_DECODERS", "257"),
        ("C3D_MAX_UPLOAD_BYTES", "0"),
        ("C3D_MAX_UPLOAD_BYTES", "512M"),
        ("C3D_DRAIN_TIMEOUT_S", "-1"),
        ("C3D_DRAIN_TIMEOUT_S", "3601"),
        ("C3D_LOG_LEVEL", "loud"),
        ("C3D_API_KEY", "fifteen-letters"),
        ("C3D_API_KEY", "sixteen-letters-,"),
        ("C3D_API_KEY", "sixteen-letters-,,sixteen-letters-"),
        ("C3D_API_KEY", "sixteen letters "),
        ("C3D_API_KEY", "sixteen-letters-\n"),
        ("C3D_API_KEY", "sechzehn-Zeichen-für-uns"),
    ],
)
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("C3D_").lower()):
        Settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("C3D_HOST", "192.0.2.1", "192.0.2.1"),
        ("C3D_PORT", "0", 0),
        ("C3D_MODEL_STORE", "/models", Path("/models")),
        ("C3D_MODEL", "mine", "mine"),
        ("C3D_PRECISION", "tf32", "tf32"),
        ("C3D_MAX_DECODERS", "256", 256),
        ("C3D_MAX_UPLOAD_BYTES", "1", 1),
        ("C3D_SPOOL_DIR", "/spool", Path("/spool")),
        ("C3D_DRAIN_TIMEOUT_S", "3600", 3600),
        ("C3D_LOG_LEVEL", "debug", "debug"),
    ],
)
def test_each_setting_is_taken_from_its_c3d_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv(name.removeprefix("C3D_"), "without the prefix it means nothing")
    assert getattr(Settings(), name.removeprefix("C3D_").lower()) == expected


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_value_is_the_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"C3D_{name.upper()}", "")
    assert getattr(Settings(), name) == Settings.model_fields[name].default


def test_settings_cannot_change() -> None:
    for name in NAMES:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(Settings(), name, 1)


def test_misspelt_names_are_found() -> None:
    environment = ["C3D_PROT", "C3D_PORT", "C3D_", "PATH", "XC3D_PORT", "C3D_MODEL_STORE"]
    assert unknown_names(environment) == ["C3D_", "C3D_PROT"]


def test_a_name_in_lower_case_is_a_setting_if_it_acts_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("c3d_port", "1234")
    assert (Settings().port == 1234) == (unknown_names(["c3d_port"]) == [])
    assert unknown_names(["c3d_prot"]) == ["c3d_prot"]


def test_what_is_not_the_default_is_listed_as_changed() -> None:
    assert Settings().changed() == []
    assert Settings(port=8001, spool_dir=Path("/spool"), max_video_s=7200).changed() == ["C3D_PORT=8001", "C3D_SPOOL_DIR=/spool"]
    assert Settings(api_key=SecretStr("sixteen-letters-")).changed() == ["C3D_API_KEY=**********"]


def test_there_is_one_line_for_each_setting() -> None:
    lines = Settings(spool_dir=Path("/spool"), port=0).lines()
    assert [line.partition("=")[0] for line in lines] == [f"C3D_{name.upper()}" for name in Settings.model_fields]
    assert {"C3D_PORT=0", "C3D_SPOOL_DIR=/spool", "C3D_MODEL="} <= set(lines)


def test_what_the_start_prints_gives_the_same_settings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    for line in settings.lines():
        monkeypatch.setenv(*line.split("=", 1))
    assert Settings() == settings


@pytest.mark.slow
def test_an_impossible_value_ends_the_start_with_a_sentence_and_status_2() -> None:
    environment = {"C3D_PORT": "99999", "C3D_MAX_DECODERS": "none", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "service"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 2
    lines = run.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("C3D_PORT must be")
    assert lines[1].startswith("C3D_MAX_DECODERS must be")


@pytest.mark.slow
def test_a_former_name_ends_the_start_with_what_became_of_it() -> None:
    environment = {"C3D_HEARTBEAT_S": "5", "c3d_decoders": "2", "C3D_CODECS": "", "C3D_PORT": "0", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "service"], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 2
    constant, merged = run.stderr.splitlines()
    assert constant == "C3D_HEARTBEAT_S: this is no longer a setting: it is always 15 s. Remove it."
    assert merged.startswith("c3d_decoders: ")
    assert "C3D_MAX_DECODERS" in merged


def test_a_former_name_is_no_setting_and_its_sentence_is_one_line() -> None:
    assert not FORMER.keys() & {f"C3D_{name.upper()}" for name in NAMES}
    for name, sentence in FORMER.items():
        assert former_names({name: "1"}) == [f"{name}: {sentence}"]
        assert sentence.endswith(".")
        assert "\n" not in sentence
    assert unknown_names(FORMER) == []


def test_keys_are_taken_apart_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().api_keys() == ()
    monkeypatch.setenv("C3D_API_KEY", "the-old-key-of-us,the~new/key+of=us!")
    settings = Settings()
    assert settings.api_keys() == ("the-old-key-of-us", "the~new/key+of=us!")
    assert "key-of-us" not in repr(settings) + "".join(settings.lines())
    assert "C3D_API_KEY=**********" in settings.lines()
    monkeypatch.setenv("C3D_API_KEY", "too-short")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "too-short" not in str(refused.value)


def test_the_docs_list_each_setting() -> None:
    listed = {name for name in rows(page("settings")) if name.startswith("C3D_")}
    assert listed == {f"C3D_{name.upper()}" for name in NAMES}


def test_keys_come_from_a_file_too_and_nowhere_else_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first-key-of-sixteen,second-key-of-sixteen\nthird-key-of-sixteen\n", encoding="ascii")
    settings = Settings(api_key=SecretStr("a-key-of-sixteen-letters"), api_key_file=file)
    assert settings.api_keys() == (
        "a-key-of-sixteen-letters",
        "first-key-of-sixteen",
        "second-key-of-sixteen",
        "third-key-of-sixteen",
    )
    assert f"C3D_API_KEY_FILE={file}" in settings.lines()
    assert not any("of-sixteen" in line for line in settings.lines())


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"short", b"a-key-of-sixteen-letters,short", b"\xff" * 20])
def test_a_file_without_good_keys_refuses_the_start(tmp_path: Path, content: bytes | None) -> None:
    """A service that took it for none would be open to everybody."""
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ValidationError) as caught:
        Settings(api_key_file=tmp_path / "keys")
    assert "short" not in str(caught.value)
