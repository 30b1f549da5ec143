"""The service's own endpoints: videos (POST /classify, /features), probes, openapi."""
