"""Video inference with C3D. In the order of a request: http, intake, video, inference, answers.

``__main__``, ``server`` and ``app`` start and wire; ``settings``, ``errors`` and ``options`` say what there is; ``pipeline``
knows the order of the stages; ``lifecycle`` watches; ``api``, ``v2`` and ``commands`` are the ways in.
"""
