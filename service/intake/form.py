"""A multipart/form-data body (RFC 7578) taken apart as it comes: the one file into the spool, the other fields into a list."""

from __future__ import annotations

from functools import partial

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import InvalidOption, MalformedRequest, SourceConflict, SourceRequired, printable
from service.intake.spool import SpoolWriter

MAX_FIELDS = 64  # beside the file
MAX_FIELD_BYTES = 4096
MAX_BOUNDARY_BYTES = 70  # RFC 2046, section 5.1.1
FILE_FIELD = "file"


class Form:
    """A multipart/form-data body (RFC 7578) taken apart as it comes: the one file to ``writer``, the rest into ``fields``."""

    def __init__(self, writer: SpoolWriter, boundary: bytes) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise MalformedRequest("The Content-Type header has no usable boundary. Let your HTTP client set that header.")
        self._writer = writer
        self.fields: list[tuple[str, str]] = []
        self.num_files = 0
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._field: tuple[str, bytearray] | None = None
        self._ended = False
        self._delimiter, self._preamble = b"--" + boundary, bytearray(b"\r\n")  # a boundary begins a line
        self._begun = False
        callbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": partial(self._collect, 0),
            "on_header_value": partial(self._collect, 1),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # it wants its own TypedDict

    def write(self, data: bytes) -> None:
        """Take the next bytes of the body. Raises MalformedRequest, and what a part of it is refused for."""
        if not self._begun:
            data = self._behind_preamble(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MalformedRequest("The multipart body is malformed. Let an HTTP library write it.") from error

    def _behind_preamble(self, data: bytes) -> bytes:
        """From the first boundary on: what precedes it is to be ignored (RFC 2046, section 5.1.1)."""
        first_line = b"\r\n" + self._delimiter
        self._preamble += data
        found = self._preamble.find(first_line)
        if found < 0:
            del self._preamble[: -len(first_line)]  # it may have begun in what is kept
            return b""
        self._begun = True
        return bytes(self._preamble[found + 2 :])

    def finish(self) -> None:
        """Raises MalformedRequest where the body is not whole."""
        if not self._ended:
            raise MalformedRequest("The multipart body ends before its closing boundary. Send it again, whole.")

    def _begin_part(self) -> None:
        self._disposition = b""
        self._field = None

    def _collect(self, which: int, data: bytes, start: int, end: int) -> None:
        self._header[which].extend(data[start:end])

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not name:
            raise MalformedRequest("A part of the form has no name. Let an HTTP library write the form.")
        if name != FILE_FIELD and b"filename" not in options:
            self._field = (name, bytearray())
            return
        if name != FILE_FIELD:
            raise SourceRequired(f"The file is in the field '{printable(name)}'. Put the video into the field 'file'.")
        self.num_files += 1
        if self.num_files > 1:
            raise SourceConflict("The form holds two files. Send one video in a request.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._writer.write(data[start:end])
            return
        self._field[1].extend(data[start:end])
        if len(self._field[1]) > MAX_FIELD_BYTES:
            raise InvalidOption(
                f"The field '{printable(self._field[0])}' is over {MAX_FIELD_BYTES} bytes. No option is that long."
            )

    def _end_part(self) -> None:
        if self._field is not None:
            self.fields.append((self._field[0], self._field[1].decode("utf-8", "replace")))
        if len(self.fields) > MAX_FIELDS:
            raise InvalidOption(f"The form has more than {MAX_FIELDS} fields. There are not that many options.")

    def _end(self) -> None:
        self._ended = True
