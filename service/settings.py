"""Every limit and path: one line each with its unit, default, range and reason. Read once at start, passed as arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

VERSION = "0.1.0"  # of the service; pyproject.toml says the same
MIB = 1024 * 1024
PREFIX = "C3D_"


class Settings(BaseSettings):
    """Taken from the environment: ``host`` is C3D_HOST, and so on. An unknown or impossible value refuses the start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("0.0.0.0", description="Address to listen on; 127.0.0.1 keeps the service to this machine.")  # noqa: S104
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one and logs it.")
    model_store: Path = Field(Path("model_store/files"), description="Directory of the models.")
    model: str = Field("", description="Name of the model in the store; empty: sports1m, else the only other, else stand-in.")
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        "float32",
        description="What the network computes in. float32 gives the published numbers; the others are faster.",
    )
    decoders: int = Field(
        min(4, os.cpu_count() or 1),
        ge=1,
        le=64,
        description="Videos decoded at the same moment: one per core, at most 4.",
    )
    max_upload_bytes: int = Field(512 * MIB, ge=1, description="Largest request body, in bytes; a larger one is 413.")
    spool_dir: Path | None = Field(None, description="Directory for the videos of running requests; empty: the system's own.")
    drain_timeout_s: int = Field(30, ge=0, le=3600, description="Seconds that running requests get to finish after SIGTERM.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What goes to the log.")

    def lines(self) -> list[str]:
        """``C3D_NAME=value`` for each setting, to be printed at start."""
        return [f"{PREFIX}{name.upper()}={value if value is not None else ''}" for name, value in self]


def unknown_names(environment: Iterable[str]) -> list[str]:
    """Those that look like settings and are none: misspelt ones would otherwise do nothing, in silence."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
