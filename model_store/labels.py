"""Labels: one a line, line 1 is class 0."""

from __future__ import annotations

from pathlib import Path

from model_store.tensors import StoreError, check_labels

MAX_BYTES = 1 << 20


def read(path: Path, classes: int) -> tuple[str, ...]:
    """The labels in a UTF-8 text file. Raises StoreError where they are not one for each class, OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES)
    try:
        lines = content.decode("utf-8-sig").rstrip("\r\n").split("\n")
    except UnicodeDecodeError as error:
        raise StoreError(f"{path.name} is no UTF-8 text: labels are one a line, line 1 is class 0.") from error
    labels = tuple(line.strip() for line in lines)
    if "" in labels:
        raise StoreError(f"{path.name}, line {labels.index('') + 1} is empty: labels are one a line, line 1 is class 0.")
    check_labels(labels, classes)
    return labels


def numbered(classes: int) -> tuple[str, ...]:
    """ "class 0", "class 1", ... where nobody knows better."""
    return tuple(f"class {index}" for index in range(classes))
