"""From all the arrays that a file holds, the one set of weights of a C3D among them, under whatever prefix it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping

from model_store.formats.canonical import Entry
from model_store.formats.layer_names import WITH_WEIGHTS, split
from model_store.tensors import StoreError

PREFERRED = ("", "state_dict", "model_state_dict", "model", "net", "weights")  # where training scripts put what they serve
# First words of what stands beside weights under the same prefix, and is none.
BESIDE = ("data_preprocessor", "optimizer", "opt_dict", "lr_scheduler", "loss")
NEEDED = {f"{layer}/{variable}" for layer in WITH_WEIGHTS if layer != "fc8" for variable in ("kernel", "bias")}


def weights_among(arrays: Mapping[str, Entry]) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """The weights' arrays under their own names without the prefix, and the names of what is left out.

    Raises StoreError where the file holds several sets of weights and does not tell which one is served, or where an array
    that stands among the weights is none of a C3D's: a network with more in it is another network.
    """
    prefix = _prefix(arrays)
    if prefix is None:
        return _listed(arrays)
    weights: dict[str, Entry] = {}
    beside: dict[str, None] = {}
    for name, entry in arrays.items():
        if prefix and not name.replace("/", ".").startswith(prefix + "."):
            beside[re.split(r"[./]", name)[0]] = None
            continue
        inside = name[len(prefix) + 1 :] if prefix else name
        if inside.startswith(BESIDE) or (split(inside) is None and entry.dtype.kind not in "fV"):
            beside[inside.partition(".")[0] if inside.startswith(BESIDE) else inside] = None
        else:
            weights[inside] = entry
    return weights, tuple(beside)


def _listed(arrays: Mapping[str, Entry]) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """The weights where they are a list in the layers' order, as Lasagne's; else all arrays as they are.

    Such a list is pickled, or written by numpy.savez, which calls its arrays arr_0, arr_1 ...
    """
    lists: dict[str, dict[int, Entry]] = {}
    for name, entry in arrays.items():
        place, _, last = name.rpartition(".")
        if (number := last.removeprefix("arr_")).isdigit():
            lists.setdefault(place, {})[int(number)] = entry
    whole = [place for place, entries in lists.items() if len(entries) in {len(NEEDED), len(NEEDED) + 2}]
    if len(whole) != 1:
        return dict(arrays), ()
    names = [f"{layer}/{variable}" for layer in WITH_WEIGHTS for variable in ("kernel", "bias")]
    beside = {name.partition(".")[0]: None for name in arrays if name.rpartition(".")[0] != whole[0]}
    in_order = [entry for _, entry in sorted(lists[whole[0]].items(), key=lambda numbered: numbered[0])]
    return dict(zip(names, in_order, strict=False)), tuple(beside)


def _prefix(arrays: Mapping[str, Entry]) -> str | None:
    """What stands before the layers' names; None where no array has such a name."""
    found: dict[str, set[str]] = {}
    for name in arrays:
        if parted := split(name):
            found.setdefault(parted[0], set()).add(parted[1])
    whole = [prefix for prefix, names in found.items() if names >= NEEDED]
    if len(whole) > 1:
        preferred = [prefix for prefix in PREFERRED if prefix in whole]
        if not preferred:
            raise StoreError(f"The file holds several sets of weights: {', '.join(whole)}. Save the one to import alone.")
        return preferred[0]
    return next(iter(whole or sorted(found, key=lambda prefix: -len(found[prefix]))), None)
