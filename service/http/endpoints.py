"""The paths of the service, each written once: routes, the log, the metrics and the keys take them from here."""

from __future__ import annotations

OTHER = "other"

CLASSIFY, FEATURES = "/classify", "/features"
LIVEZ, READYZ, HEALTH, STARTUPZ = "/livez", "/readyz", "/health", "/startupz"
METRICS, INFO, LABELS = "/metrics", "/info", "/labels"
PAGE, DOCS, OPENAPI = "/", "/docs", "/openapi.json"
DOCS_FOLDER = f"{DOCS}/"  # where people go too
DOCS_FILES = frozenset(f"{DOCS}/{name}" for name in ("start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"))

V2 = "/v2"
V2_LIVE, V2_READY = f"{V2}/health/live", f"{V2}/health/ready"
V2_MODEL = f"{V2}/models/c3d"
V2_MODEL_READY, V2_INFER = f"{V2_MODEL}/ready", f"{V2_MODEL}/infer"
V2_CONFIG, V2_STATS = f"{V2_MODEL}/config", f"{V2_MODEL}/stats"
V2_VERSION = f"{V2_MODEL}/versions/1"  # the only version: with or without it, the path means the same
V2_OTHER = f"{V2}/other"  # below /v2, and none of these

INFERENCE = (CLASSIFY, FEATURES, V2_INFER)
PROBES = frozenset({LIVEZ, READYZ, HEALTH, STARTUPZ, METRICS, V2_LIVE, V2_READY})
# What needs no key: load balancers have none, and a browser loads a page without one. None of it tells about a video.
OPEN = PROBES | {PAGE, DOCS, DOCS_FOLDER, OPENAPI} | DOCS_FILES
PATHS = (
    frozenset({*INFERENCE, *PROBES, INFO, LABELS, PAGE, DOCS, OPENAPI, V2, V2_MODEL, V2_MODEL_READY, V2_CONFIG, V2_STATS})
    | DOCS_FILES
)


def served_path(target: str) -> str:
    """The path that a request's target means: without the scheme and host of the absolute form, and without a last slash."""
    if target.startswith(("http://", "https://")):
        target = "/" + target.partition("://")[2].partition("/")[2]
    shorter = target.removesuffix("/")
    known = shorter.replace(V2_VERSION, V2_MODEL)
    return shorter if known in PATHS and known != DOCS else target  # links of the page at DOCS are relative


def endpoint_of(path: str) -> str:
    """The endpoint of a request's path. Any other path is a client's text, which may hold anything, and becomes "other"."""
    known = path.replace(V2_VERSION, V2_MODEL)
    return known if known in PATHS else V2_OTHER if path.startswith(f"{V2}/") else OTHER
