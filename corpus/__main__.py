"""`python -m corpus`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from corpus.command import main
    except ModuleNotFoundError as error:
        missing = f"python -m corpus needs {error.name}, which is not installed here."
        print(f"{missing} docs/corpus.md says how to install it.", file=sys.stderr)
        sys.exit(3)  # c3d_video's status where nothing can be computed
    sys.exit(main())
