"""Loaded, warm, proven, watched: loading, readiness, supervisor."""
