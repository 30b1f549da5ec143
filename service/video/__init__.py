"""A file becomes clips, in processes that may die: pool, process, worker, ring, frames, clock, clips, messages, inline."""
