"""Outputs become an answer: answer, result, pooling, growing, json_answer, arrays, lines."""
