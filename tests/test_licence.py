"""Everybody may use the code, and every place that names its licence names the same one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from service.settings import VERSION
from tests.conftest import ROOT

LICENCE = "Apache-2.0"
CONTRIBUTING_LINES = 30


def test_the_text_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert re.findall(r"^ {3}(\d)\. ", text, flags=re.MULTILINE) == list("123456789")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert (ROOT / "client" / "LICENSE").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("directory", [ROOT, ROOT / "client"], ids=["service", "client"])
def test_both_distributions_name_it(directory: Path) -> None:
    project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == LICENCE
    assert [(directory / name).exists() for name in project["license-files"]] == [True]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "LICENCES.md"])
def test_pages_name_it_and_lead_to_it(name: str) -> None:
    assert f"[{LICENCE}](LICENSE)" in (ROOT / name).read_text(encoding="utf-8")


def test_the_image_is_labelled_with_it() -> None:
    assert f'licenses="{LICENCE}"' in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}  # what the format requires
    assert (citation["type"], citation["version"], citation["license"]) == ("software", VERSION, LICENCE)
    [paper] = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Tran", "Bourdev", "Fergus", "Torresani", "Paluri"]
    assert paper["identifiers"][0]["value"] == "arXiv:1412.0767"


def test_contributing_is_one_screen() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= CONTRIBUTING_LINES
