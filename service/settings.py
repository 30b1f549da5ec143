"""Every limit and path: one line each with its unit, default, range and reason. Read once at start, passed as arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_store.wording import did_you_mean

VERSION = "0.1.0"  # of the service; pyproject.toml reads it here
MIB = 1024 * 1024
PREFIX = "C3D_"
KEY = re.compile(r"[!-+\--~]{16,}")  # what a header can carry and nobody can guess; a comma separates keys


def _keys_in(path: Path) -> list[str]:
    """Raises ValueError where there is none."""
    try:
        keys = path.read_text(encoding="ascii").replace(",", "\n").split()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"the file cannot be read: {getattr(error, 'strerror', None) or 'it is not ASCII text'}") from None
    if not keys:
        raise ValueError("the file holds no key")
    return keys


class Settings(BaseSettings):
    """Taken from the environment: ``host`` is C3D_HOST, and so on. An unknown or impossible value refuses the start."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    _keys: tuple[str, ...] = PrivateAttr(())

    host: str = Field(
        "127.0.0.1", description="Address to listen on. `0.0.0.0` opens the service to other machines, `::` over IPv6 too."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 takes a free one and logs it.")
    model_store: Path = Field(Path("model_store/files"), description="Directory of the models.")
    model: str = Field(
        "",
        description="Name of the model in the store; NAME@HASH pins its card. Empty: `sports1m`, else the only other "
        "one, else `stand-in`.",
    )
    engine: Literal["auto", "winograd", "tensorflow", "jax", "torch", "openvino"] = Field(
        "auto",
        description="What runs the network, where it is [installed](engines.md). `auto`: TensorFlow on a GPU, `winograd` on a "
        "CPU that can run it, in float32, else TensorFlow.",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto",
        description="Where the network runs. `auto`: on a GPU where the engine finds one, else on the CPU. `gpu`: on a GPU, and "
        "the start ends where there is none. `cpu`: never on a GPU.",
    )
    precision: Literal["float32", "tf32", "bfloat16", "float16", "int8"] = Field(
        "float32",
        description="What the network computes in. float32 gives the published numbers. `tf32` and `float16` need a GPU, `int8` "
        "needs OpenVINO and a calibration.",
    )
    api_key: SecretStr = Field(
        SecretStr(""),
        description="Keys with commas between them, each of 16 characters or more. A request must carry one of them as "
        "`Authorization: Bearer KEY`. Empty: none is needed.",
    )
    api_key_file: Path | None = Field(
        None,
        description="File with further keys, with commas or line breaks between them, as a secret of Docker or Kubernetes: "
        "then no key stands in the environment. Read once at start.",
    )
    cors_origins: str = Field(
        "",
        pattern=r"^(\*|https?://[^/,\s*]+(,https?://[^/,\s*]+)*)?$",
        description="Origins whose web pages may send requests and read answers, as `https://app.example`, with commas. `*`: "
        "any. Empty: only pages of the service itself. Cookies are never allowed: keys go into the header.",
    )
    page: Literal["on", "off"] = Field("on", description="Whether `/` is the page to try videos on, or nothing.")
    max_decoders: int = Field(
        64,
        ge=1,
        le=256,
        description="Decoder processes at once. One per core is kept, at most 4. More are started only where those are busy for "
        "long.",
    )
    sandbox: Literal["require", "auto", "off"] = Field(
        "auto",
        description="Whether decoders lock themselves in, by Landlock and a seccomp filter: `auto` as far as the kernel can, "
        "`require` refuses the start where it cannot do both, `off` is for debugging.",
    )
    max_pixels: int = Field(4096 * 2304, ge=1, description="Largest frame, in pixels: 4096x2304.")
    max_video_s: float = Field(7200, gt=0, description="Longest video, in seconds.")
    max_upload_bytes: int = Field(512 * MIB, ge=1, description="Largest request body, in bytes. A larger one is 413.")
    max_requests: int = Field(64, ge=1, le=100_000, description="Requests at once. One more is 429 at once.")
    max_requests_per_client: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Requests at once from one address, uploads and downloads included. One more is 429. 0: no limit. "
        "Behind a proxy set `FORWARDED_ALLOW_IPS` too, or all requests seem to come from the proxy.",
    )
    request_timeout_s: float = Field(300, gt=0, le=86400, description="Seconds a request may take once its body is here.")
    keep_alive_s: int = Field(
        75,
        ge=1,
        le=3600,
        description="Seconds an idle connection is kept. It has to be longer than the load balancer in front keeps its own: ALB "
        "and ingress-nginx keep 60 s.",
    )
    upload_idle_s: float = Field(
        30, gt=0, le=3600, description="Seconds without a byte: of a request's head or body, or of the answer to it."
    )
    urls: Literal["public", "private", "off"] = Field(
        "public",
        description='Whether `{"url": ...}` is fetched: from public addresses only, from those of private networks and this '
        "machine too (never link-local ones or cloud metadata), or not at all.",
    )
    url_hosts: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.:-]*(,[A-Za-z0-9_.:-]+)*$",
        description="The only hosts that may be fetched from, with commas. `.example.com` is that name and all below it. Empty: "
        "any. It opens no addresses: for a host of an intranet set `C3D_URLS` too.",
    )
    url_ports: str = Field(
        "80,443", pattern=r"^[0-9]{1,5}(,[0-9]{1,5})*$", description="Ports that may be fetched from, with commas."
    )
    max_spool_bytes: int = Field(
        4096 * MIB,
        ge=1,
        description="Bytes of all running requests' videos, and of clips under /v2, which are in memory. One more is 507.",
    )
    spool_dir: Path | None = Field(None, description="Directory for the videos of running requests. Empty: the system's own.")
    drain_delay_s: float = Field(
        5,
        ge=0,
        le=3600,
        description="Seconds between SIGTERM, when /readyz turns 503, and the drain: the load balancer's time to notice.",
    )
    drain_timeout_s: int = Field(25, ge=1, le=3600, description="Seconds that running requests get to finish in the drain.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What goes to the log.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="One JSON object a line, or text for people. `auto`: text where stderr is a terminal, else JSON."
    )

    @field_validator("api_key")
    @classmethod
    def _are_keys(cls, value: SecretStr) -> SecretStr:
        keys = value.get_secret_value()
        if keys and not all(KEY.fullmatch(key) for key in keys.split(",")):
            raise ValueError("each key has at least 16 characters, visible ASCII without commas")
        return value

    @field_validator("api_key_file")
    @classmethod
    def _has_keys(cls, value: Path | None) -> Path | None:
        if value is not None and not all(map(KEY.fullmatch, _keys_in(value))):
            raise ValueError("each key in the file has at least 16 characters, visible ASCII without commas")
        return value

    @model_validator(mode="after")
    def _read_keys(self) -> Self:
        from_file = _keys_in(self.api_key_file) if self.api_key_file else []
        self._keys = (*filter(None, self.api_key.get_secret_value().split(",")), *from_file)
        return self

    def api_keys(self) -> tuple[str, ...]:
        """The keys of ``api_key``, and then those of ``api_key_file``."""
        return self._keys

    def allowed_origins(self) -> tuple[str, ...]:
        """The origins of ``cors_origins``."""
        return tuple(filter(None, self.cors_origins.split(",")))

    def lines(self) -> list[str]:
        """``C3D_NAME=value`` for each setting, to be printed; of a secret, only that there is one."""
        return [f"{PREFIX}{name.upper()}={value if value is not None else ''}" for name, value in self]

    def changed(self) -> list[str]:
        """Those of `lines` whose value is not the default."""
        default = [field.default for field in type(self).model_fields.values()]
        return [line for line, (_, value), usual in zip(self.lines(), self, default, strict=True) if value != usual]


# What became of settings that there were. A service that ignored one would run otherwise than its owner thinks.
_CONSTANT = "this is no longer a setting: it is always {}. Remove it."
FORMER = {
    "C3D_API_KEY_FOR_PROBES": "this is no longer a setting: probes and metrics never need a key. Remove it, and keep them from "
    "strangers in the proxy in front.",
    "C3D_CODECS": _CONSTANT.format("the list in service/video/messages.py"),
    "C3D_COLOR_TAGS": "it belongs to the model now. Remove it; for the colours of OpenCV up to 4.12 import the model again with "
    "--color-tags ignore.",
    "C3D_CONTAINERS": _CONSTANT.format("the list in service/video/messages.py"),
    "C3D_DECODERS": "this is no longer a setting: one decoder process per core is kept, at most 4. Remove it; C3D_MAX_DECODERS "
    "bounds how many run at once.",
    "C3D_DECODER_MEMORY_BYTES": _CONSTANT.format("1.5 GiB of address space"),
    "C3D_DECODER_TIMEOUT_S": _CONSTANT.format("20 s"),
    "C3D_HEARTBEAT_S": _CONSTANT.format("15 s"),
    "C3D_MAX_DRIFT": "it belongs to the calibration now. Remove it, and give --max-drift to `python -m service calibrate`.",
    "C3D_MAX_FPS": _CONSTANT.format("240 frames a second, once past 1,000 frames"),
    "C3D_MAX_JSON_BYTES": _CONSTANT.format("32 MiB"),
    "C3D_MAX_WAITING_CLIPS": _CONSTANT.format("512. C3D_MAX_REQUESTS bounds the requests"),
    "C3D_STREAM_IDLE_S": _CONSTANT.format("60 s"),
    "C3D_UPLOAD_TIMEOUT_S": _CONSTANT.format("600 s. C3D_UPLOAD_IDLE_S bounds the time without a byte"),
    "C3D_URL_TIMEOUT_S": _CONSTANT.format("120 s"),
    "C3D_WORKER_TIMEOUT_S": _CONSTANT.format("60 s"),
}


def former_names(environment: Mapping[str, str]) -> list[str]:
    """For each variable of ``environment`` that was a setting once: its name and what became of it. Empty values are ignored."""
    names = sorted(name for name, value in environment.items() if value and name.upper() in FORMER)
    return [f"{name}: {FORMER[name.upper()]}" for name in names]


def unknown_names(environment: Iterable[str]) -> list[str]:
    """Variables that look like settings and are not: a misspelt one would otherwise do nothing, in silence."""
    return sorted(
        name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in _names() | FORMER.keys()
    )


def about_unknown(name: str) -> str:
    """What to say of a name that is no setting."""
    sentences = [
        f"There is no setting {name}.",
        did_you_mean(name.upper(), _names(), quote=""),
        "docs/settings.md lists them all.",
    ]
    return " ".join(filter(None, sentences))


def _names() -> set[str]:
    return {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
