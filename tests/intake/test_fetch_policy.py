"""service/intake/fetch_policy.py: which URLs are refused by their looks."""

from __future__ import annotations

import httpx2
import pytest

from service.errors import UrlForbidden
from service.intake.fetch_policy import MAX_URL_LENGTH, FetchPolicy, host_of, joined, port_of

SECRET = "s3cret"  # noqa: S105


def parsed(text: str) -> httpx2.URL:
    return joined(httpx2.URL(), text)


def refusal(text: str, policy: FetchPolicy) -> str:
    """Why the URL is refused."""
    with pytest.raises(UrlForbidden) as caught:
        policy.check(parsed(text))
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "clip.mp4", "/etc/passwd", "file:///etc/passwd", "ftp://a.example/x", "gopher://a.example/", "data:video/mp4,x",
        "HTTP", "http", "http:", "http://", "http:///x", "http:a.example", "http:/a.example", "//a.example/x", "https://?x",
        "http://a.example\n/", "http://a.example/\r\nX: y", "http://a.example\x00/", "http://a b/",
        "http://a.example:x/", "http://a.example:99999/", "http://a.example:0/", "http://a.example:-80/", "http://a.example:22/",
        "http://[::1/", "http://::1/", "http://[::1]x/", "http://[fe80::1%25eth0]/", "http://[v1.x]/", "http://a.example%2f/",
        "http://a.example\\@b.example/", "http://a.example\\b/", "http://.a.example/", "http://a..example/", "http://a.example../",
        "http://-.\u2044/", "http://\uff41.example/", f"http://{'a' * 64}.example/", f"http://{'a.' * 127}example/",
        f"http://user:{SECRET}@a.example/", f"http://{SECRET}@a.example/", "http://:@a.example/", f"http://a.example:{SECRET}/",
        "http://0177.0.0.1/", "http://127.0.0.1.:8/", "http://256.1.1.1/", "http://a.example/" + "x" * MAX_URL_LENGTH,
        "http://a.example/" + "\u00fc" * (MAX_URL_LENGTH // 2), "http://" + "\u00fc" * 5000 + "/",
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_refused(text: str) -> None:
    assert SECRET not in refusal(text, FetchPolicy(1))


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("http://a.example/clip.mp4?x=1#y", "a.example", 80),
        ("HTTPS://A.Example/", "a.example", 443),
        (" \thttps://a.example/\n", "a.example", 443),
        ("https://a.example:80", "a.example", 80),
        ("http://a.example.:80/", "a.example", 80),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example", 80),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example", 80),
        ("http://a_b.example/", "a_b.example", 80),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("http://2130706433/", "2130706433", 80),
    ],
)
def test_what_is_looked_up_and_connected_to(text: str, host: str, port: int) -> None:
    url = parsed(text)
    FetchPolicy(1).check(url)
    assert (host_of(url), port_of(url)) == (host, port)


@pytest.mark.parametrize("host", ["a.example", "A.EXAMPLE.", "b.example", "x.b.example", "y.x.b.example"])
def test_named_hosts_are_allowed(host: str) -> None:
    FetchPolicy(1, allowed_hosts=frozenset({"A.example", ".b.Example"})).check(parsed(f"http://{host}/"))


@pytest.mark.parametrize("host", ["x.a.example", "xa.example", "xb.example", "b.example.org", "example", "127.0.0.1", "[::1]"])
def test_where_hosts_are_named_no_other_is_allowed(host: str) -> None:
    assert "Send the file" in refusal(f"http://{host}/", FetchPolicy(1, allowed_hosts=frozenset({"a.example", ".b.example"})))


def test_other_ports_have_to_be_named() -> None:
    FetchPolicy(1, allowed_ports=frozenset({8080})).check(parsed("https://a.example:8080/"))
    assert "8080, 8443." in refusal("http://a.example/", FetchPolicy(1, allowed_ports=frozenset({8443, 8080})))


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b", "http://a.example/b"),
        ("b?c", "http://a.example/x/b?c"),
        ("//B.example/", "http://b.example/"),
        ("https://b.example.", "https://b.example"),
    ],
)
def test_a_redirect_may_be_relative(location: str, leads_to: str) -> None:
    assert str(joined(parsed("http://a.example/x/y"), location)) == leads_to
