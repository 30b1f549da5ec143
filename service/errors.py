"""What can go wrong, as a tree.

    ServiceError                        what a client is told: status, code, title and a sentence that says what to do
    |-- MalformedRequest          400
    |-- Unauthorized              401
    |-- UrlForbidden              403
    |-- NotFound                  404
    |-- MethodNotAllowed          405
    |-- NotAcceptable             406
    |-- UploadTimeout             408
    |-- BodyTooLarge              413
    |-- AnswerTooLarge            413
    |-- UnsupportedMediaType      415
    |-- BadInput                  422   the request was understood, and there is nothing to compute
    |   |-- SourceRequired
    |   |-- SourceConflict
    |   |-- InvalidOption
    |   |-- EmptyFile
    |   |-- NoVideoStream
    |   |-- UndecodableVideo
    |   |-- VideoTooLarge
    |   |-- VideoTooLong
    |   |-- TimeRangeOutsideVideo
    |   |-- DecoderFailed
    |   `-- DecodeTimeout
    |-- Overloaded                429
    |-- Internal                  500
    |   `-- NonFiniteOutput
    |-- NoClassLayer              501
    |-- UrlFetchFailed            502
    |-- Unavailable               503   ask again later, or ask another replica
    |   |-- Warming
    |   |-- Draining
    |   |-- WorkerDown
    |   |-- WeightsMissing
    |   |-- KnownAnswerWrong
    |   `-- StartFailed
    |-- UrlFetchTimeout           504
    |-- DeadlineExceeded          504
    `-- DiskFull                  507

    PrecisionUnavailable                the start is refused: this device cannot compute so

Every class has its own code; the message is for the client and never holds a path, a stack or a foreign exception's text:
that is what ``__cause__`` is for, which goes to the log. What is odd about a video but stops no answer is a `video.VideoWarning`.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Self


class ServiceError(Exception):
    """Base of all that a client is told. ``str(error)`` is the problem's detail (RFC 9457)."""

    status: int = 500
    code: str = "internal"
    title: str = "Internal error"
    headers: Mapping[str, str] = MappingProxyType({})


# A table, hence one empty line between its rows.
# fmt: off
class MalformedRequest(ServiceError):
    status, code, title = 400, "malformed_request", "Malformed request"


class Unauthorized(ServiceError):
    status, code, title = 401, "unauthorized", "No valid key"
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})

class UrlForbidden(ServiceError):
    status, code, title = 403, "url_forbidden", "The URL may not be fetched"

class NotFound(ServiceError):
    status, code, title = 404, "not_found", "Not found"

class MethodNotAllowed(ServiceError):
    status, code, title = 405, "method_not_allowed", "Method not allowed"

class NotAcceptable(ServiceError):
    status, code, title = 406, "not_acceptable", "No such form of the answer"

class UploadTimeout(ServiceError):
    status, code, title = 408, "upload_timeout", "The upload took too long"
    headers = MappingProxyType({"Connection": "close"})  # or the rest would be waited for

class BodyTooLarge(ServiceError):
    status, code, title = 413, "body_too_large", "Body too large"

class AnswerTooLarge(ServiceError):
    status, code, title = 413, "answer_too_large", "The answer is too large for JSON"

class UnsupportedMediaType(ServiceError):
    status, code, title = 415, "unsupported_media_type", "Unsupported media type"

class BadInput(ServiceError):
    status, code, title = 422, "bad_input", "Bad input"

class SourceRequired(BadInput):
    code, title = "source_required", "No video in the request"

class SourceConflict(BadInput):
    code, title = "source_conflict", "More than one video in the request"

class InvalidOption(BadInput):
    code, title = "invalid_option", "Invalid option"

class EmptyFile(BadInput):
    code, title = "empty_file", "Empty file"

class NoVideoStream(BadInput):
    code, title = "no_video_stream", "No video in the file"

class UndecodableVideo(BadInput):
    code, title = "undecodable_video", "The file cannot be decoded"

class VideoTooLarge(BadInput):
    code, title = "video_too_large", "Too many pixels"

class VideoTooLong(BadInput):
    code, title = "video_too_long", "Too long, or too many frames"

class TimeRangeOutsideVideo(BadInput):
    code, title = "time_range_outside_video", "No frame in the part asked for"

class DecoderFailed(BadInput):
    code, title = "decoder_failed", "The decoder gave up on this file"

class DecodeTimeout(BadInput):
    code, title = "decode_timeout", "The decoder got stuck in this file"

class Overloaded(ServiceError):
    status, code, title = 429, "overloaded", "Too much at once"

class Internal(ServiceError):
    """The default: 500 internal."""

    @classmethod
    def because(cls, cause: Exception) -> Self:
        """For what nobody foresaw."""
        error = cls("Something went wrong here, not in your request. Report it with the request id.")
        error.__cause__ = cause
        return error

class NonFiniteOutput(Internal):
    code, title = "non_finite_output", "The network gave numbers that are not finite"

class NoClassLayer(ServiceError):
    status, code, title = 501, "no_class_layer", "The loaded weights have no class layer"

class UrlFetchFailed(ServiceError):
    status, code, title = 502, "url_fetch_failed", "The URL could not be fetched"

class Unavailable(ServiceError):
    status, code, title = 503, "unavailable", "Unavailable"

class Warming(Unavailable):
    code, title = "warming", "The network is warming up"
    headers = MappingProxyType({"Retry-After": "5"})

class Draining(Unavailable):
    code, title = "draining", "The service is shutting down"
    headers = MappingProxyType({"Retry-After": "1"})

class WorkerDown(Unavailable):
    code, title = "worker_down", "The worker is down"

class WeightsMissing(Unavailable):
    code, title = "weights_missing", "There are no weights"

class KnownAnswerWrong(Unavailable):
    code, title = "known_answer_wrong", "The weights give a wrong answer"

class StartFailed(Unavailable):
    code, title = "start_failed", "The network could not be loaded"

class DeadlineExceeded(ServiceError):
    status, code, title = 504, "deadline_exceeded", "Not done in time"

class UrlFetchTimeout(ServiceError):
    status, code, title = 504, "url_fetch_timeout", "The URL took too long to fetch"

class DiskFull(ServiceError):
    status, code, title = 507, "disk_full", "No room for the upload"

# fmt: on


class PrecisionUnavailable(Exception):
    """This device cannot compute in the precision asked for; the message says what can."""


def printable(text: str, length: int = 64) -> str:
    """A client's text as it may stand in an answer and in a line of the log: short, and without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text[:length])


def invalid_option(found: Iterable[Any]) -> InvalidOption:
    """What pydantic found wrong, in one sentence for each option."""
    sentences = []
    for each in found:
        name = next((part for part in each["loc"] if isinstance(part, str) and part not in {"query", "body"}), "option")
        reason = "there is no such option" if each["type"] == "extra_forbidden" else each["msg"].removeprefix("Value error, ")
        sentences.append(f"{printable(name)}: {reason}.")
    return InvalidOption(" ".join(sentences))
