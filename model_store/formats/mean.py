"""The mean that is subtracted: whatever form it has, recognised by its content, becomes the cube of Caffe.

The cube is float32 (3, 16, 128, 171): channel (B, G, R), frame, row, column; grey levels. Where a network has it behind the
crop, it is (3, 16, 112, 112). A file's channels are in the order of the network's.
"""

from __future__ import annotations

import bz2
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from model_store.download.manifest import Form
from model_store.download.page import Page, is_page
from model_store.formats import caffe
from model_store.preprocessing import ChannelOrder
from model_store.store import MEAN
from model_store.tensors import Float32, StoreError, check_mean, tensor_sha256

MAX_TEXT_BYTES = 256  # three numbers
MAX_BYTES = 1 << 27  # the largest cube that exists, in float64, has 8.4 MB
FORMS = "a Caffe binaryproto, .npy, .npy.bz2, or three numbers in the channels' order"
# tensor_sha256({"mean.npy": cube}) of the cube that Keras and PyTorch ports use, from any of its three published files.
UCF101_SHA256 = "33009179d3b2ccadf3a0caefddf90f5686231c4c95b28eb189b81058ef61dc08"


def read(path: Path, channel_order: ChannelOrder = "BGR", form: Form | None = None) -> Float32:
    """The cube in the file, whose channels are in this order.

    Raises StoreError where there is none, or the file is not of the one form that is asked for; OSError where it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES)
    if form not in {None, _form(content)}:
        raise StoreError(f"{path.name} is not the {form} file that its source publishes: it was not read.")
    try:
        array = _array(content)
    except (OSError, EOFError, ValueError) as error:
        raise StoreError(f"{path.name} is damaged ({error}): get it again.") from error
    if array is None:
        page = f'a web page ("{Page(content, "").title}")' if is_page("", content[:64]) else "no mean that can be read"
        raise StoreError(f"{path.name} is {page}: it must be {FORMS}.")
    return cube(array, channel_order)


def cube(array: NDArray[Any], channel_order: ChannelOrder = "BGR") -> Float32:
    """The cube from an array whose axes (3, 16, 128, 171) or (3, 16, 112, 112) stand in any order, or from three numbers.

    Axes of length 1 are left out, rows come before columns. float64 is rounded to float32. Raises StoreError where it is no
    mean of C3D.
    """
    array = array.squeeze()
    if array.dtype.kind not in "fiu":
        raise StoreError(f"The mean is {array.dtype}, not numbers: it must be {FORMS}.")
    if array.shape == (3,):
        array = np.broadcast_to(array.reshape(3, 1, 1, 1), c3d.MEAN_SHAPE)
    shapes = (c3d.MEAN_SHAPE, c3d.MEAN_CROP_SHAPE)
    wanted = next((shape for shape in shapes if sorted(array.shape) == sorted(shape)), None)
    if wanted is None:
        raise StoreError(f"The mean has the axes {array.shape}; it needs {c3d.MEAN_SHAPE} in any order, or three numbers.")
    axes = sorted(range(array.ndim), key=lambda axis: wanted.index(array.shape[axis]))  # two of a length stay as they stand
    array = array.transpose(axes)
    made = np.ascontiguousarray(array[::-1] if channel_order == "RGB" else array, np.float32)
    check_mean(made)
    return made


def three_numbers(text: str, channel_order: ChannelOrder = "BGR") -> Float32 | None:
    """The cube from "101.4, 97.7, 90.3" and the like, in the channels' order; None where the text is something else."""
    words = re.split(r"[\s,;]+", text.strip().strip("[]()"))
    try:
        numbers = np.array([float(word) for word in words if word], np.float64)
        return cube(numbers, channel_order) if len(words) == 3 else None
    except ValueError:
        return None


def cropped(made: Float32) -> Float32:
    """A cube's part behind the original's crop, (3, 16, 112, 112); what is no cube of whole frames, as it is."""
    rows = slice(c3d.CROP_TOP, c3d.CROP_TOP + c3d.CROP_SIZE)
    columns = slice(c3d.CROP_LEFT, c3d.CROP_LEFT + c3d.CROP_SIZE)
    return np.ascontiguousarray(made[:, :, rows, columns]) if made.shape == c3d.MEAN_SHAPE else made


def identify(made: Float32) -> str | None:
    """ "ucf101" for the cube that the ports use; None for another."""
    return "ucf101" if sha256(made) == UCF101_SHA256 else None


def sha256(made: Float32) -> str:
    """The card's ``mean_sha256``: `tensor_sha256` of the cube under the name that `Model` checks it by."""
    return tensor_sha256({MEAN: made})


def _form(content: bytes) -> Form:
    if content.startswith(b"BZh"):
        return "npy-bz2"
    if content.startswith(b"\x93NUMPY"):
        return "npy"
    is_text = len(content) < MAX_TEXT_BYTES and content.isascii() and three_numbers(content.decode()) is not None
    return "text" if is_text else "binaryproto"


def _array(content: bytes) -> NDArray[Any] | None:
    form = _form(content)
    if form == "npy-bz2":
        content = bz2.BZ2Decompressor().decompress(content, MAX_BYTES)
    if content.startswith(b"\x93NUMPY"):
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
        return array
    return three_numbers(content.decode()) if form == "text" else caffe.mean(content)
