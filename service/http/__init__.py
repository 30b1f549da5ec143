"""Who comes in and how a refusal reads: connection, turns, middleware, endpoints, admission, accept, problems, request_log,
log_writer, metrics, compression, disconnect."""
