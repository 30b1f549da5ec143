"""`c3d-video evaluate`: the paper's numbers, for those who have the weights and the data.

Files, in the order of a run: command (options), datasets (which videos, labels and splits), vectors (what was extracted), svm,
hits (Sports-1M), measures (intervals and tests), published (others' figures, and what a low result means), report.
"""
