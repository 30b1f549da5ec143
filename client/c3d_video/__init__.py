"""C3D features and labels of videos, from a C3D inference service.

    answer = Client("http://localhost:8000").features("clip.mp4")
    answer.descriptor  # float32 (4096,)

Files, in the order of a request: protocol, errors, retry, answers, client, async_client. Commands: extract, classify, evaluate.
"""

from c3d_video.answers import Answer, Clip, Event, Opened, Prediction, Segment, Warned
from c3d_video.async_client import AsyncClient
from c3d_video.client import Client
from c3d_video.errors import C3DError

__all__ = ["Answer", "AsyncClient", "C3DError", "Client", "Clip", "Event", "Opened", "Prediction", "Segment", "Warned"]
__version__ = "0.1.0"
