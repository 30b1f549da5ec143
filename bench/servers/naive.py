"""What this project's users have today: a FastAPI handler that calls Keras `predict` on one clip after the other.

The handler is a plain function, so that FastAPI runs it in its thread pool, as its documentation advises for what blocks.
"""

from __future__ import annotations

import os
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, File

from bench.engines import store
from bench.inputs import Clips
from bench.servers.decoding import clips_of_bytes
from bench.weights import mean_of
from model_store.store import open_model
from service import c3d


def main() -> None:
    """Serve POST /features until the end."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    model = open_model(store())
    mean = mean_of(model)
    layers: list[object] = [keras.Input(c3d.CLIP_SHAPE)]
    for layer in c3d.LAYERS[:-2]:  # down to fc6
        match layer.kind:
            case "conv":
                layers.append(keras.layers.Conv3D(layer.argument, 3, padding="same", activation="relu", name=layer.name))
            case "pool":
                layers.append(keras.layers.MaxPooling3D(layer.argument, name=layer.name))
            case "pad":
                layers.append(keras.layers.ZeroPadding3D(layer.argument, name=layer.name))
            case "flatten":
                layers.append(keras.layers.Flatten(name=layer.name))
            case "dense":
                layers.append(keras.layers.Dense(layer.argument, activation="relu", name=layer.name))
    network = keras.Sequential(layers)
    tensors = dict(model.tensors())
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([tensors[f"{layer.name}/kernel"], tensors[f"{layer.name}/bias"]])

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
