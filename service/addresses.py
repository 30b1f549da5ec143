"""Which addresses a URL's host may have. Pure data and two questions about it.

``ipaddress.is_global`` of Python 3.11 is not enough: it lets through translated, tunnelled and multicast addresses, and the
address at which Azure answers its own machines. So IPv6 is an allow-list (all that is assigned lies in 2000::/3, and no
address that carries an IPv4 one does but 6to4 and Teredo), and IPv4 a complete list of what is special.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# IANA's registries of special-purpose addresses (RFC 6890), multicast, and what else no stranger's file is served from.
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
    """Whether anybody on the internet can reach what this address names, so that we give nobody a reach he lacks."""
    parsed = _parsed(address)
    return parsed is not None and _in(parsed, UNICAST) and not _in(parsed, SPECIAL)


def is_private(address: str) -> bool:
    """Whether an intranet, or this machine, lives there. Neither metadata services nor link-local addresses count."""
    parsed = _parsed(address)
    return parsed is not None and _in(parsed, PRIVATE) and not _in(parsed, METADATA)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address, and for one with a zone (``fe80::1%eth0``), which is never far away."""
    try:
        return None if "%" in address else ip_address(address)
    except ValueError:
        return None


def _in(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
