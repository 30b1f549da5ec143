"""A file becomes clips, in processes that may die.

In order: pool, memory, process, worker, sandbox, ring; container, sniff, headers, timeline, decoder, picture, clock, thumbnails,
frames; clips, messages, inline.
"""
