"""The same network in Ray Serve, clips of all requests batched by @serve.batch:
https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html."""

import asyncio
import os
import signal
from typing import Annotated, Any

import numpy as np
import ray
from fastapi import FastAPI, File
from ray import serve

from bench.contenders import BATCH, configured, store
from bench.inputs import Clips
from bench.servers.decoding import clips_of_bytes
from model_store import c3d
from model_store.store import open_model

app = FastAPI()


@serve.deployment(ray_actor_options={"num_cpus": os.cpu_count()}, max_ongoing_requests=64)
@serve.ingress(app)
class C3D:
    """One replica, which has all cores: one network to a machine."""

    def __init__(self) -> None:
        """Load the network and run every batch size once."""
        self.model = open_model(store())
        self.run = configured(self.model)
        for size in range(1, BATCH + 1):
            self.run(np.zeros((size, *c3d.CLIP_SHAPE), np.uint8))

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.01)  # type: ignore[untyped-decorator]
    async def fc6(self, clips: list[Clips]) -> list[Any]:
        """Rows of fc6 for clips of any requests."""
        return list((await asyncio.to_thread(self.run, np.stack(clips)))[0])

    @app.get("/health")
    async def health(self) -> str:
        """Once the replica is there."""
        return "ok"

    @app.post("/features")
    async def features(self, file: Annotated[bytes, File()]) -> dict[str, list[float]]:
        """The descriptor of a video."""
        clips = await asyncio.to_thread(clips_of_bytes, file, self.model.card.crop_left)
        mean = np.mean(await asyncio.gather(*(self.fc6(clip) for clip in clips)), axis=0)
        return {"descriptor": (mean / np.linalg.norm(mean)).tolist()}


if __name__ == "__main__":
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}  # it would leave a token in the home directory
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["C3D_PORT"])})
    deployment: Any = C3D
    serve.run(deployment.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
