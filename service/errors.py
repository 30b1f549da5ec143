"""What can go wrong: one class for each error, and in it all there is to know of it.

A class has the HTTP status, the stable code, the title, and the requests that it can end (`At`). Its docstring says when that
happens, which is its row in the documented table of errors. The OpenAPI document, the metrics and the decoder processes find
the classes by `raised_at` and `BY_CODE`: a new error is a class here, the line that raises it, and a row of the documents.

The message is for the client and holds no path, no stack and no text of a foreign exception: these are the ``__cause__``,
which goes to the log. What is odd about a video but stops no answer is a `video.messages.VideoWarning`.
"""

import errno
from collections.abc import Iterable, Mapping, Sequence
from enum import Flag, auto
from types import MappingProxyType
from typing import Any

from model_store.wording import did_you_mean


class At(Flag):
    """The requests that an error can end."""

    NOTHING = 0  # but a request to a path or with a method that does not exist
    VIDEO = auto()  # POST /classify and /features
    TENSORS = auto()  # POST /v2/models/c3d/infer
    READY = auto()  # readiness, and what describes the model
    LIVE = auto()  # liveness
    OTHER = auto()  # everything else
    INFERENCE = VIDEO | TENSORS
    NEEDS_MODEL = VIDEO | TENSORS | READY
    ANY = VIDEO | TENSORS | READY | LIVE | OTHER


class ServiceError(Exception):
    """Base of all errors that a client gets. ``str(error)`` is the problem's detail (RFC 9457)."""

    status: int
    code: str
    title: str
    at: At
    headers: Mapping[str, str] = MappingProxyType({})


# The classes are the rows of a table, hence one empty line between them.
# fmt: off
class MalformedRequest(ServiceError):
    """The body does not match its headers, or under /v2 not the protocol or the model."""

    status, code, title, at = 400, "malformed_request", "Malformed request", At.INFERENCE

class Unauthorized(ServiceError):
    """The service needs a key (`C3D_API_KEY`), and the request carries none."""

    status, code, title, at = 401, "unauthorized", "No valid key", At.ANY
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})

class UrlForbidden(ServiceError):
    """The URL, or one that it redirects to, may not be fetched: its form, port, host or address, or `C3D_URLS` is `off`."""

    status, code, title, at = 403, "url_forbidden", "The URL may not be fetched", At.VIDEO

class CrossSiteRequest(ServiceError):
    """A web page of another site sent the request, and its origin is not in `C3D_CORS_ORIGINS`."""

    status, code, title, at = 403, "cross_site_request", "Not allowed from this web page", At.INFERENCE

class NotFound(ServiceError):
    """There is nothing at this path."""

    status, code, title, at = 404, "not_found", "Not found", At.NOTHING

class MethodNotAllowed(ServiceError):
    """The path does not accept this method."""

    status, code, title, at = 405, "method_not_allowed", "Method not allowed", At.NOTHING

class NotAcceptable(ServiceError):
    """The header `Accept` names no form that the service can answer in."""

    status, code, title, at = 406, "not_acceptable", "Unsupported form of the answer", At.VIDEO

class UploadTimeout(ServiceError):
    """The body arrived too slowly: no byte for `C3D_UPLOAD_IDLE_S`, under 4 KiB a second, or not all of it in 600 s."""

    status, code, title, at = 408, "upload_timeout", "The upload took too long", At.INFERENCE
    headers = MappingProxyType({"Connection": "close"})  # or the server would wait for the rest of the body

class BodyTooLarge(ServiceError):
    """The body, or the file behind the URL, is over `C3D_MAX_UPLOAD_BYTES`."""

    status, code, title, at = 413, "body_too_large", "Body too large", At.INFERENCE

class AnswerTooLarge(ServiceError):
    """The answer is over 32 MiB as JSON.

    A stream, arrays or, under /v2, binary data may have any size.
    """

    status, code, title, at = 413, "answer_too_large", "The answer is too large for JSON", At.INFERENCE

class UnsupportedMediaType(ServiceError):
    """The body is neither a form nor a raw video; curl's `--data-binary` needs a Content-Type header.

    Under /v2: it is compressed.
    """

    status, code, title, at = 415, "unsupported_media_type", "Unsupported media type", At.INFERENCE

class SourceRequired(ServiceError):
    """There is no video in the request."""

    status, code, title, at = 422, "source_required", "No video in the request", At.VIDEO

class SourceConflict(ServiceError):
    """There is more than one video in the request."""

    status, code, title, at = 422, "source_conflict", "More than one video in the request", At.VIDEO

class InvalidOption(ServiceError):
    """An option is unknown, out of range, or given twice with different values."""

    status, code, title, at = 422, "invalid_option", "Invalid option", At.VIDEO

class EmptyFile(ServiceError):
    """The file has no bytes."""

    status, code, title, at = 422, "empty_file", "Empty file", At.VIDEO

class NoVideoStream(ServiceError):
    """The file holds only sound, or a still picture."""

    status, code, title, at = 422, "no_video_stream", "No video in the file", At.VIDEO

class UndecodableVideo(ServiceError):
    """The file is not a video, or no frame of it can be decoded."""

    status, code, title, at = 422, "undecodable_video", "The file cannot be decoded", At.VIDEO

class VideoTooLarge(ServiceError):
    """The video has more pixels than the limit."""

    status, code, title, at = 422, "video_too_large", "Too many pixels", At.VIDEO

class VideoTooLong(ServiceError):
    """The video has more seconds than the limit, or for long more frames a second."""

    status, code, title, at = 422, "video_too_long", "Too long, or too many frames", At.VIDEO

class TimeRangeOutsideVideo(ServiceError):
    """No frame starts between `start_sec` and `end_sec`."""

    status, code, title, at = 422, "time_range_outside_video", "No frame in the part asked for", At.VIDEO

class DecoderFailed(ServiceError):
    """The file made the decoder crash or run out of memory."""

    status, code, title, at = 422, "decoder_failed", "The decoder gave up on this file", At.VIDEO

class DecodeTimeout(ServiceError):
    """The decoder worked for 20 s without finding a frame."""

    status, code, title, at = 422, "decode_timeout", "The decoder got stuck in this file", At.VIDEO

class Overloaded(ServiceError):
    """Too many requests or clips are waiting. `Retry-After` is computed from the queue."""

    status, code, title, at = 429, "overloaded", "Too much at once", At.INFERENCE

class Internal(ServiceError):
    """Something failed in the service. Its log has the cause."""

    status, code, title, at = 500, "internal", "Internal error", At.INFERENCE


class Shortage(ServiceError):
    """The service has no thread, process, file descriptor, memory or processor time left for the request."""

    status, code, title, at = 503, "shortage", "The service is out of resources", At.INFERENCE
    headers = MappingProxyType({"Retry-After": "5"})

class NonFiniteOutput(Internal):
    """The network gave numbers that are not finite."""

    status, code, title, at = 500, "non_finite_output", "The network gave numbers that are not finite", At.INFERENCE

class NoClassLayer(ServiceError):
    """The request asks for labels, and the weights give descriptors only."""

    status, code, title, at = 501, "no_class_layer", "The loaded weights have no class layer", At.VIDEO

class UrlFetchFailed(ServiceError):
    """The URL's host was not found, refused, closed the connection early, or answered with an error or a web page."""

    status, code, title, at = 502, "url_fetch_failed", "The URL could not be fetched", At.VIDEO

class Warming(ServiceError):
    """The network is being loaded."""

    status, code, title, at = 503, "warming", "The network is warming up", At.NEEDS_MODEL
    headers = MappingProxyType({"Retry-After": "5"})

class Draining(ServiceError):
    """The service is shutting down."""

    status, code, title, at = 503, "draining", "The service is shutting down", At.NEEDS_MODEL
    headers = MappingProxyType({"Retry-After": "1"})

class WorkerDown(ServiceError):
    """The thread that runs the network has stopped, or the network fails again and again."""

    status, code, title, at = 503, "worker_down", "The worker is down", At.NEEDS_MODEL | At.LIVE

class WeightsMissing(ServiceError):
    """The model store is empty."""

    status, code, title, at = 503, "weights_missing", "There are no weights", At.NEEDS_MODEL

class KnownAnswerWrong(ServiceError):
    """The weights give the wrong class for a clip of zeros: they are not what they claim to be."""

    status, code, title, at = 503, "known_answer_wrong", "The weights give a wrong answer", At.NEEDS_MODEL

class StartFailed(ServiceError):
    """The network could not be loaded; the log says why."""

    status, code, title, at = 503, "start_failed", "The network could not be loaded", At.NEEDS_MODEL

class DeadlineExceeded(ServiceError):
    """JSON took over `C3D_REQUEST_TIMEOUT_S`, a stream or arrays made no progress for 60 s, or `timeout_s` passed."""

    status, code, title, at = 504, "deadline_exceeded", "Not finished in time", At.INFERENCE

class UrlFetchTimeout(ServiceError):
    """The file did not arrive within 120 s."""

    status, code, title, at = 504, "url_fetch_timeout", "The URL took too long to fetch", At.VIDEO

class DiskFull(ServiceError):
    """The service has no room for the upload."""

    status, code, title, at = 507, "disk_full", "No room for the upload", At.INFERENCE

# fmt: on


SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS})
NO_THREAD = "can't start new thread"  # CPython's whole message; the class is RuntimeError


def unforeseen(cause: Exception) -> ServiceError:
    """The error for a failure that nobody foresaw: Shortage where the system lacks something, else Internal."""
    is_shortage = (
        isinstance(cause, MemoryError)
        or (isinstance(cause, OSError) and cause.errno in SHORTAGES)
        or (isinstance(cause, RuntimeError) and str(cause) == NO_THREAD)
    )
    error = (
        Shortage("The service is out of memory, threads or open files. Try again in a few seconds, or ask another instance.")
        if is_shortage
        else Internal("Something failed in the service, not in your request. Report it with the request id.")
    )
    error.__cause__ = cause
    return error


def _rows(base: type[ServiceError]) -> Iterable[type[ServiceError]]:
    for each in base.__subclasses__():
        yield each
        yield from _rows(each)


BY_CODE: Mapping[str, type[ServiceError]] = MappingProxyType({each.code: each for each in _rows(ServiceError)})


def raised_at(at: At) -> tuple[type[ServiceError], ...]:
    """The errors that can end these requests."""
    return tuple(each for each in BY_CODE.values() if each.at & at)


class PrecisionUnavailable(Exception):
    """This device cannot compute in the precision asked for; the message says what can. It refuses the start."""


class DeviceUnavailable(Exception):
    """The device asked for is not here; the message says what to do. It refuses the start."""


def printable(text: str, length: int = 64) -> str:
    """A client's text as it may stand in an answer and in a line of the log: short, and without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text[:length])


MAX_FAULTS = 3  # of the options, in one answer: who mends these sees the others


def invalid_option(found: Sequence[Any], known: Iterable[str]) -> InvalidOption:
    """What pydantic found wrong: a sentence for each of the first options, and how many more there are.

    ``known`` are the options that there are.
    """
    sentences = [_about_option(each, known) for each in found[:MAX_FAULTS]]
    if len(found) > MAX_FAULTS:
        sentences.append(f"And {len(found) - MAX_FAULTS} more.")
    return InvalidOption(" ".join(sentences))


def _about_option(found: Any, known: Iterable[str]) -> str:
    name = next((part for part in found["loc"] if isinstance(part, str) and part not in {"query", "body"}), "")
    if found["type"] == "extra_forbidden":
        meant = did_you_mean(name[:64], known, quote="")
        return f"There is no option {printable(name)}.{f' {meant}' if meant else ''}"
    return about_value(name, found["msg"])


def about_value(name: str, found: str) -> str:
    """What pydantic ``found`` wrong with the value of this option or setting, as a sentence; of none where ``name`` is empty."""
    reason = found.removeprefix("Value error, ").partition(", unable to parse")[0]
    if not name:
        return f"{reason}."
    if reason.startswith("Input should be "):
        return f"{name} must be {reason.removeprefix('Input should be ')}."
    return f"{name}: {reason}."
