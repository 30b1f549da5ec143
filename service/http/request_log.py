"""The log: one line a record, whatever is in it; one line a request; and for each failure its cause."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, get_args

from pythonjsonlogger.json import JsonFormatter

from service.http.endpoints import OTHER, V2, endpoint_of
from service.http.log_writer import LogWriter
from service.settings import Settings

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
Stage = Literal["fetch", "decode", "queue", "model"]
STAGES: tuple[Stage, ...] = get_args(Stage)
MAX_FIELD = 2000  # characters of any field of a line; some hold what a client sent
MAX_STACK = 16_000  # of an exception
IDS = ("request_id", "trace_id")  # what any line may carry, by logging's ``extra``
# Whose lines are written from `log_level` on. Other libraries' are from warnings on: below, they write URLs and headers.
OURS = ("service", "model_store")
# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace, span, flags. Version 00 ends there, at 55 characters;
# later ones may go on behind a hyphen.
TRACEPARENT = re.compile(
    r"(?!ff)(?!00.{54})[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)


@dataclass
class RequestRecord:
    """What the log says of one request; filled while it is served. None is what was never known, and is left out.

    ``endpoint`` is given as the request's path. An unknown path or method becomes "other".
    """

    request_id: str
    method: str
    endpoint: str
    trace_id: str | None = None
    client: str | None = None  # its address
    key: int | None = None  # which of the keys it used, counted from 1
    source_kind: Literal["form", "raw", "url", "tensors", "none"] = "none"
    size_bytes: int | None = None  # of the video, or of the body with the clips
    container: str | None = None
    codec: str | None = None
    num_frames: int | None = None  # decoded
    num_clips: int | None = None
    warnings: Sequence[str] = ()  # the codes of the answer's
    stages_ms: Mapping[str, float] = field(default_factory=dict)  # by the names in STAGES
    status: int | None = None  # none where the client left before its answer
    code: str | None = None  # "ok", an error's code, or "client_left"
    reason: str | None = None  # of a refusal: its sentence for the client, and the cause
    seconds: float | None = None  # from its head to the end of its answer

    def __post_init__(self) -> None:
        self.method = self.method if self.method in METHODS else OTHER
        self.endpoint = endpoint_of(self.endpoint)

    def is_v2(self) -> bool:
        """Whether the client speaks the Open Inference Protocol."""
        return self.endpoint.startswith(V2)

    def ids(self) -> dict[str, str]:
        """``extra`` for any other line about this request."""
        return {"request_id": self.request_id} | ({"trace_id": self.trace_id} if self.trace_id else {})

    def fields(self) -> dict[str, object]:
        """As they are written; the stages as ``fetch_ms`` and so on."""
        apart = {"stages_ms", "warnings"}
        known = {name: _cut(value) for name, value in vars(self).items() if value is not None and name not in apart}
        if self.warnings:
            known["warnings"] = ",".join(self.warnings)
        if self.seconds is not None:
            known["seconds"] = round(self.seconds, 4)
        return known | {f"{stage}_ms": round(self.stages_ms[stage], 1) for stage in STAGES if stage in self.stages_ms}

    def write(self, log: logging.Logger) -> None:
        """One line, at level INFO."""
        status = "-" if self.status is None else self.status
        log.info("%s %s %s %s", self.method, self.endpoint, status, self.code or "-", extra={"request_record": self})


class JsonLines(JsonFormatter):
    """A record as one line of JSON. It is ASCII only, so that no control character of any script can begin another line."""

    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=True)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """``timestamp``, ``level``, ``logger``, ``message``, the ids or the request's fields, and ``exc`` where there is one."""
        log_data |= {"timestamp": _timestamp(record), "level": record.levelname, "logger": record.name}
        log_data |= {"message": _cut(record.getMessage())} | _extras(record)
        if trouble := _trouble(self, record):
            log_data["exc"] = trouble


class TextLines(logging.Formatter):
    """A record as a line to be read by people; a stack follows it, each of its lines indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without control characters."""
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items())
        line = f"{_timestamp(record)} {record.levelname} {record.name}: {_cut(record.getMessage())}{extras}"
        return "\n    ".join(map(_visible, [line, *_trouble(self, record).splitlines()]))


def configure(settings: Settings) -> None:
    """Have everything that logs in this process, uvicorn included, write to stderr, in the format and from the level set.

    uvicorn needs ``log_config=None``, or it configures its own lines again.
    """
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    handler = _handler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # should its own configuration have been there first
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)  # Python's own, which would be lines of their own making


def _handler(stream: TextIO) -> logging.Handler:
    """What writes there without ever waiting for a reader. A stream without a descriptor is in memory, and waits for none."""
    try:
        return LogWriter(stream.fileno())
    except io.UnsupportedOperation:
        return logging.StreamHandler(stream)


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace that a request belongs to, 32 hexadecimal digits, by its W3C ``traceparent``; None where that is not valid."""
    match = TRACEPARENT.fullmatch(traceparent or "")
    return match["trace_id"] if match else None


def server_timing(stages_ms: Mapping[str, float]) -> str:
    """The value of a ``Server-Timing`` header: milliseconds by stage, ``fetch;dur=2.1, decode;dur=38.4``."""
    return ", ".join(f"{stage};dur={milliseconds:.1f}" for stage, milliseconds in stages_ms.items())


def _extras(record: logging.LogRecord) -> dict[str, object]:
    """Of what a record was given beside its message only what is known to hold no secret."""
    whole = getattr(record, "request_record", None)
    if isinstance(whole, RequestRecord):
        return whole.fields()
    return {name: _cut(str(value)) for name in IDS if (value := getattr(record, name, None)) is not None}


def _timestamp(record: logging.LogRecord) -> str:
    """ISO 8601, UTC, with milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The exception and the stack, where the record has them."""
    found = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    whole = "\n".join([*found, *([formatter.formatStack(record.stack_info)] if record.stack_info else [])])
    return whole if len(whole) <= MAX_STACK else f"{whole[: MAX_STACK // 2]}\n...\n{whole[-MAX_STACK // 2 :]}"


def _cut(value: Any) -> Any:
    """A text's first characters, and how many more it has; anything else as it is."""
    if not isinstance(value, str) or len(value) <= MAX_FIELD:
        return value
    return f"{value[:MAX_FIELD]}... ({len(value) - MAX_FIELD} characters more)"


def _visible(line: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
