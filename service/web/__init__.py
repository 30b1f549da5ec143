"""The pages of the service: page (the one at /, made of the files in page/) and docs (Swagger UI at /docs)."""
