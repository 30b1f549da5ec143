"""manifest.json as types: where the published files are, how to know them, what their licences allow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_store.download import hashes
from model_store.tensors import StoreError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}  # nobody is on the way
SHIPPED = Path(__file__).with_name("manifest.json")


# What a file must be, so that only the one reader of that form sees its bytes.
Form = Literal["keras-hdf5", "caffe", "pytorch", "npz", "binaryproto", "npy", "npy-bz2", "text"]
WEIGHTS: set[Form] = {"keras-hdf5", "caffe", "pytorch", "npz"}
MEANS: set[Form] = {"binaryproto", "npy", "npy-bz2", "text"}


class Source(BaseModel):
    """One published file at one address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="What `--source` calls it.")
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Its name in the store's downloads.")
    url: str = Field(pattern=r"^https?://")
    size_bytes: int | None = Field(default=None, gt=0, description="Where it is published.")
    hash: tuple[hashes.Kind, str] | None = Field(default=None, description="Where one is published: kind, hexadecimal.")
    form: Form = Field(description="What the file is: another one is refused unread.")
    weights_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="`identity` of the tensors, where it is known."
    )
    licence: str
    what: str
    only_when_asked: bool = Field(default=False, description="Used only by `--source NAME`.")

    @model_validator(mode="after")
    def _whole_hash(self) -> Source:
        if self.hash and len(self.hash[1]) != hashes.LENGTHS[self.hash[0]]:
            raise ValueError(f"{self.hash[1]} is not a {self.hash[0]}")
        return self

    @model_validator(mode="after")
    def _http_only_when_asked(self) -> Source:
        """Over plain http anybody on the way can replace a file that no hash proves."""
        proven = self.hash or self.weights_sha256 or not self.url.startswith("http://")
        if not (proven or self.only_when_asked or urlsplit(self.url).hostname in LOOPBACK):
            raise ValueError("http without a hash: set only_when_asked")
        return self


class Manifest(BaseModel):
    """All that `pull` can fetch; the sources of one thing in the order in which they are tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Annotated[tuple[Source, ...], Field(min_length=1)]
    means: dict[str, Annotated[tuple[Source, ...], Field(min_length=1)]]
    labels: Annotated[tuple[Source, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _forms(self) -> Manifest:
        means = [source for sources in self.means.values() for source in sources]
        for sources, forms in ((self.weights, WEIGHTS), (means, MEANS), (self.labels, {"text"})):
            for source in sources:
                if source.form not in forms:
                    raise ValueError(f"{source.name}: {source.form} is not one of {', '.join(sorted(forms))}")
        return self


def load(path: Path = SHIPPED) -> Manifest:
    """Read a manifest. Raises StoreError where it is none, OSError where there is no file."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"{path} is not a manifest: {where or 'it'}: {first['msg']}. Compare it with {SHIPPED}.") from error


def is_source(path: Path, source: Source) -> bool:
    """Whether the file is that of ``source``, by its published hash; without one, nothing can be said: False."""
    if source.hash is None or source.size_bytes not in {None, path.stat().st_size}:
        return False
    kind, expected = source.hash
    return hashes.of_file(path, kind) == expected
