"""Pages for a browser: docs (Swagger UI)."""
