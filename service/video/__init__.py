"""A file becomes clips, in processes that may die.

In order: pool, process, worker, ring, frames, thumbnails, clock, clips, messages, inline.
"""
