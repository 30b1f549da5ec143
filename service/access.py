"""Who may ask: whoever sends one of the keys (RFC 6750), if there are any. Probes and metrics are open unless told otherwise."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any

from service.errors import Unauthorized

PROBES = frozenset({"/livez", "/readyz", "/health", "/startupz", "/metrics", "/v2/health/live", "/v2/health/ready"})
SCHEME = {"type": "http", "scheme": "bearer", "description": "One of the keys in C3D_API_KEY, where the service has any."}


class Access:
    """``keys``: each of them opens; without any all is open. ``probes_too``: whether PROBES are guarded like the rest."""

    def __init__(self, keys: Iterable[str], *, probes_too: bool) -> None:
        self._keys = [key.encode() for key in keys]
        self._open: frozenset[str] = frozenset() if probes_too else PROBES

    def check(self, path: str, authorization: bytes) -> None:
        """Raises Unauthorized where the path is guarded and the Authorization header holds no key; b"" is none."""
        scheme, _, given = authorization.partition(b" ")
        found = [hmac.compare_digest(given.strip(b" "), key) for key in self._keys]  # all: how long it takes tells nothing
        if self._guards(path) and not (any(found) and scheme.lower() == b"bearer"):
            raise Unauthorized("The service asks for a key. Send one as the header 'Authorization: Bearer KEY'.")

    def describe(self, document: dict[str, Any]) -> None:
        """Say in an OpenAPI document what needs a key."""
        document["components"]["securitySchemes"] = {"key": SCHEME}
        for path, operations in document["paths"].items():
            for operation in operations.values() if self._guards(path) else ():
                operation["security"] = [{"key": []}]

    def _guards(self, path: str) -> bool:
        return bool(self._keys) and path not in self._open
