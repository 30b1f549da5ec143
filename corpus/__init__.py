"""`python -m corpus LISTING OUT`: features of very many videos into Parquet, on this machine or on a Ray cluster.

Files, in the order of a run: command (options), listing (which videos), out (what is done, and what OUT holds), worker (videos
become rows), parts (rows become files), local (this machine), on_ray (a cluster).
"""
