"""The pages of the service: page (the one at /), docs (Swagger UI at /docs), files (in page/, what both are made of)."""
