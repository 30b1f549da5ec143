"""Which URLs may be fetched, as far as that can be said before anything is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx2

from service.errors import UrlForbidden
from service.settings import Settings

DEFAULT_PORTS = {"http": 80, "https": 443}
TIMEOUT_S = 120.0  # for a whole file: 512 MiB at 36 Mbit/s, as servers of videos deliver
MAX_URL_LENGTH = 8192  # signed URLs reach 2,000
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|[0-9a-f:.]*:[0-9a-f:.]*")  # a name; IPv6, without a zone


@dataclass(frozen=True)
class FetchPolicy:
    """What may be fetched. ``allowed_hosts``: ``example.com`` is that name, ``.example.com`` all below it too, none is any host.

    A named host is held to the same addresses as any other: public ones, and with ``allow_private`` those of intranets.
    """

    max_bytes: int
    timeout_s: float = TIMEOUT_S
    enabled: bool = True
    allowed_hosts: frozenset[str] = frozenset()
    allowed_ports: frozenset[int] = frozenset(DEFAULT_PORTS.values())
    allow_private: bool = False

    @classmethod
    def of(cls, settings: Settings) -> FetchPolicy:
        """As the settings have it."""
        return cls(
            max_bytes=settings.max_upload_bytes,
            enabled=settings.urls != "off",
            allowed_hosts=frozenset(filter(None, settings.url_hosts.split(","))),
            allowed_ports=frozenset(map(int, settings.url_ports.split(","))),
            allow_private=settings.urls == "private",
        )

    def check(self, url: httpx2.URL) -> None:
        """Raise UrlForbidden for what may not even be looked up."""
        host = host_of(url)
        if url.scheme not in DEFAULT_PORTS:
            raise UrlForbidden("Only http:// and https:// URLs are fetched.")
        if url.userinfo:
            raise UrlForbidden("URLs with a user name or a password are not fetched. Use one without.")
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
        url = base.join(text.strip()[: MAX_URL_LENGTH + 1])
        if len(str(url)) <= MAX_URL_LENGTH:
            return url.copy_with(host=host_of(url).removesuffix("."))
    except (httpx2.InvalidURL, ValueError):
        url = base  # httpx2's error would quote the bad URL
    raise UrlForbidden(
        f"This is not a URL, or it is over {MAX_URL_LENGTH} characters. Write it like https://example.com/clip.mp4."
    )


def host_of(url: httpx2.URL) -> str:
    """The host in lower case, an international one as the name system knows it (``xn--...``), IPv6 without brackets."""
    return url.raw_host.decode()


def port_of(url: httpx2.URL) -> int:
    """The port; that of http or https where the URL has none."""
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port


Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# IANA's registries of special-purpose addresses (RFC 6890), multicast, and other networks that serve no public files.
SPECIAL = _networks(
    "0.0.0.0/8",  # this host
    "10.0.0.0/8",
    "100.64.0.0/10",  # behind a provider's NAT (RFC 6598)
    "127.0.0.0/8",
    "168.63.129.16/32",  # Azure's services for its machines, in a public range
    "169.254.0.0/16",  # link-local: cloud metadata
    "172.16.0.0/12",
    "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is Oracle's metadata
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT relays
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
    "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4: an IPv4 address inside
    "2620:4f:8000::/48",  # AS112
    "3fff::/20",  # documentation
)
UNICAST = _networks("0.0.0.0/0", "2000::/3")
PRIVATE = _networks("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
# Clouds hand out a machine's credentials here: never asked, private networks allowed or not. (169.254.0.0/16 is not PRIVATE.)
METADATA = _networks("100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::/64")


def is_public(address: str) -> bool:
    """Whether everybody on the internet can reach this address, so that fetching from it gives a client nothing new."""
    parsed = _parsed(address)
    return parsed is not None and _in(parsed, UNICAST) and not _in(parsed, SPECIAL)


def is_private(address: str) -> bool:
    """Whether an intranet, or this machine, lives there. Neither metadata services nor link-local addresses count."""
    parsed = _parsed(address)
    return parsed is not None and _in(parsed, PRIVATE) and not _in(parsed, METADATA)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address, and for one with a zone (``fe80::1%eth0``), which is always local."""
    try:
        return None if "%" in address else ip_address(address)
    except ValueError:
        return None


def _in(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
