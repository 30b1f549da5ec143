"""The Open Inference Protocol: routes, body, schemas."""
