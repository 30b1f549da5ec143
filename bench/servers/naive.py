"""What this project's users have today: a FastAPI handler that calls Keras `predict` on one clip after the other.

The handler is a plain function, so that FastAPI runs it in its thread pool, as its documentation advises for what blocks.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import FastAPI, File

from bench.contenders import store
from bench.inputs import Clips
from bench.servers.decoding import clips_of_bytes
from bench.weights import mean_of
from model_store import c3d
from model_store.store import Model, open_model


def layer_of(row: c3d.Layer) -> Any:
    """A row of the layer table in Keras."""
    import keras

    match row.kind:
        case "conv":
            return keras.layers.Conv3D(row.argument, 3, padding="same", activation="relu", name=row.name)
        case "pool":
            return keras.layers.MaxPooling3D(row.argument, name=row.name)
        case "pad":
            return keras.layers.ZeroPadding3D(row.argument, name=row.name)
        case "flatten":
            return keras.layers.Flatten(name=row.name)
        case _:
            return keras.layers.Dense(row.argument, activation="relu", name=row.name)


def network_of(model: Model) -> Any:
    """Mean-subtracted clips in, fc6 out: a Sequential, as the Keras ports have it."""
    import keras

    network = keras.Sequential([keras.Input(c3d.CLIP_SHAPE), *map(layer_of, c3d.layers(model.card.pool5)[:-2])])
    tensors = dict(model.tensors())
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([tensors[f"{layer.name}/kernel"], tensors[f"{layer.name}/bias"]])
    return network


def main() -> None:
    """Serve POST /features until the end."""
    model = open_model(store())
    mean, network = mean_of(model), network_of(model)

    def descriptor(clip: Clips) -> list[float]:
        vector: list[float] = network.predict((clip.astype(np.float32) - mean)[None], verbose=0)[0].tolist()
        return vector

    app = FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/features")
    def features(file: Annotated[bytes, File()]) -> dict[str, list[float]]:
        mean_fc6 = np.mean([descriptor(clip) for clip in clips_of_bytes(file, model.card.crop_left)], axis=0)
        return {"descriptor": (mean_fc6 / np.linalg.norm(mean_fc6)).tolist()}

    descriptor(np.zeros(c3d.CLIP_SHAPE, np.uint8))
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["C3D_PORT"]), log_level="warning")


if __name__ == "__main__":
    main()
