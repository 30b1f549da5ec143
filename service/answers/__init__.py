"""Outputs become an answer: answer, result, pooling, json_answer, arrays, lines."""
