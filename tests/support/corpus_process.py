"""`python -m corpus` with one of `corpus_networks` by its name: python -m tests.support.corpus_process NAME ARGUMENT..."""

from __future__ import annotations

import sys

from corpus.command import main
from tests.support import corpus_networks

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], getattr(corpus_networks, sys.argv[1])))
