"""The same network in LitServe, with its batching: https://lightning.ai/docs/litserve/features/batching."""

import os
from typing import Any

import litserve
import numpy as np
from starlette.requests import Request

from bench.contenders import BATCH, configured, store
from bench.inputs import Clips
from bench.servers.decoding import clips_of_bytes
from model_store import c3d
from model_store.store import open_model


class C3D(litserve.LitAPI):  # type: ignore[misc]
    """Requests wait for each other; their clips run together."""

    def setup(self, device: str) -> None:
        """Load the network and run every batch size once."""
        self.model = open_model(store())
        self.run = configured(self.model)
        for size in range(1, BATCH + 1):
            self.run(np.zeros((size, *c3d.CLIP_SHAPE), np.uint8))

    def decode_request(self, request: Request) -> Clips:
        """A form's file becomes its clips."""
        form: Any = request  # LitServe reads the form and hands that on
        return clips_of_bytes(form["file"].file.read(), self.model.card.crop_left)

    def batch(self, inputs: list[Clips]) -> list[Clips]:
        """Videos have different numbers of clips, so they are not stacked."""
        return inputs

    def predict(self, videos: list[Clips]) -> list[Any]:
        """The descriptor of each video; the clips of all of them in batches."""
        clips = np.concatenate(videos)
        fc6 = np.concatenate([self.run(clips[first : first + BATCH])[0] for first in range(0, len(clips), BATCH)])
        ends = np.cumsum([len(video) for video in videos])[:-1]
        means = [rows.mean(axis=0) for rows in np.split(fc6, ends)]
        return [mean / np.linalg.norm(mean) for mean in means]

    def unbatch(self, output: list[Any]) -> list[Any]:
        """One output a request."""
        return output

    def encode_response(self, output: Any) -> Any:
        """As JSON."""
        return {"descriptor": output.tolist()}


if __name__ == "__main__":
    api = C3D(max_batch_size=BATCH, batch_timeout=0.01, api_path="/features")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=int(os.environ["C3D_PORT"]), generate_client_file=False, log_level="warning")
