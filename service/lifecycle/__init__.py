"""Loaded, warm, proven, watched: loading, native_output, readiness, supervisor."""
