"""From all the arrays that a file holds, the one set of weights of a C3D among them, under whatever prefix it stands."""

from __future__ import annotations

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
    if len(arrays) in {len(NEEDED), len(NEEDED) + 2} and all(name.isdigit() for name in arrays):
        pairs = [f"{layer}.{variable}" for layer in WITH_WEIGHTS for variable in ("weight", "bias")]
        return dict(zip(pairs, arrays.values(), strict=False)), ()  # a list in the layers' order
    prefix = _prefix(arrays)
    weights: dict[str, Entry] = {}
    beside: dict[str, None] = {}
    for name, entry in arrays.items():
        inside = name.removeprefix(prefix + ".") if prefix else name
        if prefix and inside == name:
            beside[name.partition(".")[0]] = None
        elif inside.startswith(BESIDE) or (split(inside) is None and entry.dtype.kind not in "fV"):
            beside[inside.partition(".")[0] if inside.startswith(BESIDE) else inside] = None
        else:
            weights[inside] = entry
    return weights, tuple(beside)


def _prefix(arrays: Mapping[str, Entry]) -> str:
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
    return (whole or sorted(found, key=lambda prefix: -len(found[prefix])) or [""])[0]
