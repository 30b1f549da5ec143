"""Weights, mean and labels on disk: c3d, preprocessing, wording, card, store, tensors, importer, import_file, pull,
standin, calibration.
"""
