"""service/addresses.py: which addresses are public, which are private, and which are neither."""

from __future__ import annotations

import ipaddress

import pytest

from service.intake.fetch_policy import SPECIAL, is_private, is_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.0",
    "100.128.0.0",
    "168.63.129.17",
    "223.255.255.255",
]
PUBLIC6 = ["2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::200e", "2001:200::1", "3ffe::1"]
PRIVATE = ["10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "127.0.0.1", "127.255.0.1"]
PRIVATE6 = ["::1", "fc00::1", "fdff::1"]
NEVER = ["0.0.0.0",  # noqa: S104
         "169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "192.0.0.1", "192.0.2.1", "192.88.99.1",
         "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"]  # fmt: skip
NEVER6 = ["::", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808",
          "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
          "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "fd00:ec2::254",
          "fd20:ce::254"]  # fmt: skip
NO_ADDRESS = [
    "",
    "localhost",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "[::1]",
    "1.1.1.1 ",
]


@pytest.mark.parametrize("address", PUBLIC + PUBLIC6)
def test_public(address: str) -> None:
    assert (is_public(address), is_private(address)) == (True, False)


@pytest.mark.parametrize("address", PRIVATE + PRIVATE6)
def test_private(address: str) -> None:
    assert (is_public(address), is_private(address)) == (False, True)


@pytest.mark.parametrize("address", NEVER + NEVER6 + NO_ADDRESS)
def test_neither(address: str) -> None:
    assert (is_public(address), is_private(address)) == (False, False)


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_a_special_network_is_not_public_from_its_first_address_to_its_last(network: ipaddress.IPv4Network) -> None:
    assert not is_public(str(network[0]))
    assert not is_public(str(network[-1]))


def test_nothing_is_public_that_python_does_not_hold_for_global() -> None:
    step = 2**18 + 1
    sampled = [ipaddress.IPv4Address(number) for number in range(0, 2**32, step)]
    assert not [address for address in sampled if is_public(str(address)) and not address.is_global]
