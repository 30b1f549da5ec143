"""Who comes in and how a refusal reads: connection, middleware, endpoints, admission, problems, request_log, metrics,
compression, disconnect."""
