"""Weights files written by the tools themselves, for tests/model_store/formats/real_files.tar.xz.

Run it where the tool is installed, once for each tool; the tests need none of them:

    python -m tests.support.real_files {torch,mmengine,safetensors,chainer,lasagne,tensorflow,keras,numpy} OUT [--full]

All write the same numbers: multiples of 1/8, which float16 and bfloat16 hold exactly. Without --full, the network is
`layout_writers.small_shapes`. "lasagne" needs a Python 2.7 with Theano and Lasagne, named by PYTHON2.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import layout_writers, torch_writer
from tests.support.layout_writers import Tensors, as_pytorch


def eighths(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Float32 tensors of these shapes."""
    random = np.random.default_rng(18)
    return {name: (random.integers(-8, 9, shape) / 8).astype(np.float32) for name, shape in shapes.items()}


def _module(tensors: Tensors) -> Any:
    """DavideA's network: a module of a class that only the one who saved it has."""
    torch = importlib.import_module("torch")
    place = sys.modules["C3D_model"] = types.ModuleType("C3D_model")

    class C3D(torch.nn.Module):  # type: ignore[name-defined, misc]
        pass

    C3D.__module__, C3D.__qualname__ = "C3D_model", "C3D"
    place.C3D = C3D  # type: ignore[attr-defined]
    net = C3D()
    for layer, (weight, bias) in as_pytorch(tensors).items():
        make = torch.nn.Conv3d if weight.ndim == 5 else torch.nn.Linear
        more = {"kernel_size": 3, "padding": 1} if weight.ndim == 5 else {}
        made = make(weight.shape[1], weight.shape[0], **more)
        made.load_state_dict({"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())})
        net.add_module(layer, made)
    net.add_module("dropout", torch.nn.Dropout(0.5))
    return net


def _trained(net: Any) -> Any:
    """An optimizer that has taken a step of no length, so that it has a state for each parameter."""
    torch = importlib.import_module("torch")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def write_torch(tensors: Tensors, out: Path) -> None:
    """torch.save of all that people save."""
    torch = importlib.import_module("torch")
    net = _module(tensors)
    state, optimizer = net.state_dict(), _trained(net).state_dict()
    jfzhang95 = {name: torch.from_numpy(array.copy()) for name, array in torch_writer.jfzhang95(as_pytorch(tensors)).items()}
    saved = {
        "state_dict": state,
        "whole_module": net,
        "data_parallel": torch.nn.DataParallel(net).state_dict(),
        "whole_data_parallel": torch.nn.DataParallel(net),
        "training": {"epoch": 40, "state_dict": state, "opt_dict": optimizer},
        "jfzhang95": jfzhang95,
        "float16": {name: value.half() for name, value in state.items()},
        "bfloat16": {name: value.bfloat16() for name, value in state.items()},
        "float64": {name: value.double() for name, value in state.items()},
        "mixed": {name: value.half() if "fc" in name else value for name, value in state.items()},
        "parameters": dict(net.named_parameters()),
    }
    for name, content in saved.items():
        torch.save(content, out / f"torch_{name}.pth")
        torch.save(content, out / f"torch_{name}_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state, out / "torch_protocol_4.pth", pickle_protocol=4)
    torch.jit.script(torch.nn.Linear(2, 2)).save(out / "torch_script.pt")


def write_mmengine(tensors: Tensors, out: Path) -> None:
    """What mmengine's Runner saves: state, optimizer, schedulers, log buffers, and numpy's scalars in meta."""
    torch = importlib.import_module("torch")
    checkpoint, logging = importlib.import_module("mmengine.runner.checkpoint"), importlib.import_module("mmengine.logging")
    arrays = {name: torch.from_numpy(array.copy()) for name, array in torch_writer.mmaction2(as_pytorch(tensors)).items()}
    arrays["data_preprocessor.mean"], arrays["data_preprocessor.std"] = torch.zeros(3, 1, 1, 1), torch.ones(3, 1, 1, 1)
    hub = logging.MessageHub.get_instance("run")
    for step in range(5):
        hub.update_scalar("train/loss", np.float64(1 / (step + 1)))
        hub.update_scalar("train/lr", 0.001)
    hub.update_info("iter", 5)
    net = _module(tensors)
    content = {
        "meta": {"epoch": 45, "iter": np.int64(5), "seed": np.int64(7), "best": np.float32(0.83), "time": "20261125",
                 "dataset_meta": {"classes": ("a",)}, "cfg": "model = dict()", "hook_msgs": {"last_ckpt": "x.pth"}},
        "state_dict": arrays,
        "message_hub": hub.state_dict(),
        "optimizer": _trained(net).state_dict(),
        "param_schedulers": [{"base_values": [0.001], "last_step": 5, "_global_step": np.int64(6), "milestones": {20: 1}}],
    }  # fmt: skip
    checkpoint.save_checkpoint(content, str(out / "mmengine.pth"))


def write_safetensors(tensors: Tensors, out: Path) -> None:
    """safetensors.torch.save_file, in three types."""
    torch, library = importlib.import_module("torch"), importlib.import_module("safetensors.torch")
    state = {name: torch.from_numpy(array.copy()) for name, array in torch_writer.davidea(as_pytorch(tensors)).items()}
    library.save_file(state, out / "safetensors.safetensors", metadata={"format": "pt"})
    library.save_file({name: value.bfloat16() for name, value in state.items()}, out / "safetensors_bfloat16.safetensors")
    library.save_file({name: value.half() for name, value in state.items()}, out / "safetensors_float16.safetensors")


def write_chainer(tensors: Tensors, out: Path) -> None:
    """chainer.serializers.save_npz and save_hdf5 of a Chain, and save_npz of a trainer's optimizer, beside it."""
    chainer, links = importlib.import_module("chainer"), importlib.import_module("chainer.links")
    chain = chainer.Chain()
    with chain.init_scope():
        for layer, (weight, bias) in as_pytorch(tensors).items():
            if weight.ndim == 5:
                link = links.ConvolutionND(3, weight.shape[1], weight.shape[0], 3, pad=1)
            else:
                link = links.Linear(weight.shape[1], weight.shape[0])
            link.W.array[...], link.b.array[...] = weight, bias
            setattr(chain, layer, link)
    serializers = importlib.import_module("chainer.serializers")
    serializers.save_npz(str(out / "chainer.npz"), chain)
    serializers.save_npz(str(out / "chainer_plain.npz"), chain, compression=False)
    serializers.save_npz(str(out / "chainer_classifier.npz"), links.Classifier(chain))
    serializers.save_hdf5(str(out / "chainer.h5"), chain)


LASAGNE = """
import cPickle, pickle, sys
import numpy as np
import lasagne

arrays = np.load(sys.argv[1])
names = [name for name in open(sys.argv[2]).read().split()]

class Layer(lasagne.layers.Layer):
    def __init__(self, incoming, W, b):
        super(Layer, self).__init__(incoming)
        self.W, self.b = self.add_param(W, W.shape, name="W"), self.add_param(b, b.shape, name="b")

    def get_output_for(self, input, **kwargs):
        return input

net = lasagne.layers.InputLayer((None, 3, 16, 112, 112))
for name in names:
    net = Layer(net, arrays[name + ".W"], arrays[name + ".b"])
values = lasagne.layers.get_all_param_values(net)
out = sys.argv[3]
for protocol in (0, 1, 2):
    cPickle.dump(values, open(out + "/lasagne_protocol_%d.pkl" % protocol, "wb"), protocol)
pickle.dump(values, open(out + "/lasagne_python.pkl", "wb"))
recipe = {"param values": values, "synset words": ["a", "b"], "mean image": np.zeros(3)}
cPickle.dump(recipe, open(out + "/lasagne_recipe.pkl", "wb"), 2)
np.savez(out + "/lasagne.npz", *values)
named = dict((name + "." + end, arrays[name + "." + end]) for name in names for end in "Wb")
for protocol in (0, 1, 2):
    cPickle.dump(named, open(out + "/python2_dict_%d.pkl" % protocol, "wb"), protocol)
np.save(out + "/python2_dict.npy", named)
"""


def write_lasagne(tensors: Tensors, out: Path) -> None:
    """lasagne.layers.get_all_param_values, pickled by Python 2, whose text is bytes."""
    arrays: dict[str, Any] = {}
    for layer, pair in layout_writers.as_pytorch(tensors).items():
        weight = pair[0] if pair[0].ndim == 5 else pair[0].T  # DenseLayer's W is (inputs, outputs)
        arrays |= {f"{layer}.W": weight, f"{layer}.b": pair[1]}
    np.savez(out / "in.npz", allow_pickle=False, **arrays)
    (out / "in.txt").write_text("\n".join(layout_writers.layers(tensors)))
    command = [os.environ["PYTHON2"], "-c", LASAGNE, str(out / "in.npz"), str(out / "in.txt"), str(out)]
    subprocess.run(command, check=True)
    for name in ("in.npz", "in.txt"):
        (out / name).unlink()


SHORT = {"conv1": "c1", "conv2": "c2", "fc6": "d1", "fc7": "d2", "fc8": "out"}


def write_tensorflow(tensors: Tensors, out: Path) -> None:
    """tf.compat.v1.train.Saver of hx173149's variables, in both versions, with an optimizer's beside them."""
    tf = importlib.import_module("tensorflow").compat.v1
    tf.disable_eager_execution()
    made = []
    with tf.variable_scope("var_name"):
        for layer in layout_writers.layers(tensors):
            kernel = tensors[f"{layer}/kernel"]
            kernel = layout_writers.channel_rows(kernel) if layer == "fc6" else kernel
            short = SHORT.get(layer, layer.replace("conv", "c"))
            for name, value in ((f"w{short}", kernel), (f"b{short}", tensors[f"{layer}/bias"])):
                made.append(tf.get_variable(name, initializer=tf.constant(value), use_resource=False))
                made.append(tf.get_variable(f"{name}/Adam", initializer=tf.zeros(value.shape), use_resource=False))
    step = tf.get_variable("global_step", initializer=tf.constant(7, tf.int64), use_resource=False)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for version in (1, 2):
            saver = tf.train.Saver([*made, step], write_version=version)
            saver.save(session, str(out / f"tensorflow_v{version}.ckpt"), write_meta_graph=version == 2, write_state=False)


def write_keras(tensors: Tensors, out: Path) -> None:
    """Keras's own writers: weights, a whole model, and .keras."""
    keras = importlib.import_module("keras")
    x = clips = keras.Input((16, 32, 32, 3))
    for layer in layout_writers.layers(tensors):
        outputs = tensors[f"{layer}/bias"].size
        if "conv" in layer:
            x = keras.layers.Conv3D(outputs, 3, padding="same", name=layer)(x)
            continue
        if layer == "fc6":
            x = keras.layers.Flatten()(keras.layers.AveragePooling3D((16, 8, 8))(x))
        x = keras.layers.Dense(outputs, name=layer)(x)
    model = keras.Model(clips, x)
    for layer in layout_writers.layers(tensors):
        model.get_layer(layer).set_weights([tensors[f"{layer}/kernel"], tensors[f"{layer}/bias"]])
    model.compile("sgd", "mse")
    model.save_weights(out / "keras.weights.h5")
    model.save(out / "keras_whole.h5")
    model.save(out / "keras.keras")
    model.export(out / "keras_saved_model", verbose=False)


def write_numpy(tensors: Tensors, out: Path) -> None:
    """A dict of arrays, pickled by Python 3 in each of its protocols."""
    named = {f"{layer}/{v}": array for layer, pair in as_pytorch(tensors).items() for v, array in zip("Wb", pair, strict=True)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (out / f"python3_dict_{protocol}.pkl").write_bytes(pickle.dumps(named, protocol))


WRITERS: dict[str, Callable[[Tensors, Path], None]] = {
    "torch": write_torch, "mmengine": write_mmengine, "safetensors": write_safetensors, "chainer": write_chainer,
    "lasagne": write_lasagne, "tensorflow": write_tensorflow, "keras": write_keras,
    "numpy": write_numpy,
}  # fmt: skip


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=list(WRITERS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--full", action="store_true", help="a whole C3D: some 300 MB a file")
    options = parser.parse_args()
    if options.full:
        from model_store import c3d

        shapes = c3d.weight_shapes()
    else:
        shapes = layout_writers.small_shapes()
    options.out.mkdir(parents=True, exist_ok=True)
    WRITERS[options.tool](eighths(shapes), options.out)


if __name__ == "__main__":
    main()
