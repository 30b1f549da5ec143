"""The Open Inference Protocol: routes, body, numbers, schemas."""
