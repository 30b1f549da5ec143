"""Outputs become an answer: result, pooling, json_answer, arrays, lines."""
