"""Who comes in and how a refusal reads: connection, middleware, admission, problems, request_log, metrics, disconnect."""
