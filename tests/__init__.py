"""What guards the code. Its folders mirror those of the code; helpers are in support/."""

import os
import sys

# Before NumPy is imported: tests run side by side, and a matrix of a test is small.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Else each worker, and each process that a test starts, compiles every module again: 4 s of a run of 20.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
