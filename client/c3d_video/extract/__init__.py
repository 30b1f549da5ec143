"""`c3d-video extract`: a folder of videos in, features out.

Files, in the order of a run: command (options), presets, job (one run), videos (which videos, and their names), index (what is
done), servers (who computes), run (the work), rows (vectors on their way to disk), forms (npz, npy, txt32, fc6-1), parquet, hdf5,
report.
"""
