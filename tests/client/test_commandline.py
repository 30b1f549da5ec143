"""A mistyped command or option of c3d-video, and of what shares its command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from c3d_video.__main__ import main as client
from corpus.command import main as corpus

Main = Callable[[Sequence[str]], int]


@pytest.mark.parametrize(
    ("main", "given", "said"),
    [
        (client, ["clasify", "a.mp4"], "Did you mean classify?"),
        (client, ["extract", "videos", "-o", "out", "--srver", "x"], "Did you mean --server?"),
        (client, ["extract", "videos", "--ouput", "x"], "Did you mean --out?"),
        (client, ["evaluate", "compare", "a", "b", "--ful"], "unrecognized arguments: --ful"),
        (corpus, ["videos", "out", "--max-erors=3"], "Did you mean --max-errors?"),
        (corpus, ["videos", "out", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_it_ends_with_what_it_may_have_meant(main: Main, given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(given)
    assert capsys.readouterr().err.rstrip().endswith(said)
