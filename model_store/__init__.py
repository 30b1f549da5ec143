"""Weights, mean and labels on disk: c3d, store, card, tensors, importer, import_file, pull, standin, calibration, sandbox."""
