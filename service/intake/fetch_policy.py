"""Which URLs may be fetched, as far as that can be said before anything is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2

from service.errors import UrlForbidden

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_LENGTH = 8192  # signed URLs reach 2,000
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|[0-9a-f:.]*:[0-9a-f:.]*")  # a name; IPv6, without a zone


@dataclass(frozen=True)
class FetchPolicy:
    """What may be fetched. ``allowed_hosts``: ``example.com`` is that name, ``.example.com`` all below it too, none is any host.

    A named host is held to the same addresses as any other: public ones, and with ``allow_private`` those of intranets.
    """

    max_bytes: int
    timeout_s: float = 120.0
    enabled: bool = True
    allowed_hosts: frozenset[str] = frozenset()
    allowed_ports: frozenset[int] = frozenset(DEFAULT_PORTS.values())
    allow_private: bool = False

    def check(self, url: httpx2.URL) -> None:
        """Raise UrlForbidden for what may not even be looked up."""
        host = host_of(url)
        if url.scheme not in DEFAULT_PORTS:
            raise UrlForbidden("Only http:// and https:// URLs are fetched.")
        if url.userinfo:
            raise UrlForbidden("A URL with a user name or a password in it is not fetched. Give one that needs neither.")
        if not HOST.fullmatch(host):
            raise UrlForbidden("The URL names no host. Write it like https://example.com/clip.mp4.")
        if port_of(url) not in self.allowed_ports:
            raise UrlForbidden(f"URLs are fetched from these ports only: {', '.join(map(str, sorted(self.allowed_ports)))}.")
        if self.allowed_hosts and not self._names(host):
            raise UrlForbidden(f"This service does not fetch from '{host}'. Send the file itself.")

    def _names(self, host: str) -> bool:
        names = {name.lower() for name in self.allowed_hosts}
        return host in names or any(f".{host}".endswith(name) for name in names if name.startswith("."))


def joined(base: httpx2.URL, text: str) -> httpx2.URL:
    """The URL, or where a redirect leads from ``base``; without the dot that may end a host, which no certificate has."""
    try:
        url = base.join(text[: MAX_URL_LENGTH + 1])
        if len(str(url)) <= MAX_URL_LENGTH:
            return url.copy_with(host=host_of(url).removesuffix("."))
    except (httpx2.InvalidURL, ValueError):
        url = base  # what is wrong with it would quote it
    raise UrlForbidden(f"This is no URL, or over {MAX_URL_LENGTH} characters. Write it like https://example.com/clip.mp4.")


def host_of(url: httpx2.URL) -> str:
    """The host in lower case, an international one as the name system knows it (``xn--...``), IPv6 without brackets."""
    return url.raw_host.decode()


def port_of(url: httpx2.URL) -> int:
    """The port, where it is not written that of http or https."""
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port
