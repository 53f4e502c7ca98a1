"""Where deliveries may go: the internet by HTTPS, and the operator's own list; never to this network by a trick."""

import asyncio
import base64
import hashlib
import hmac
import socket

import pytest

from afina import deliveries
from afina.deliveries import Policy, Undelivered
from afina.errors import InvalidRequest

DEFAULT = Policy.read("public")
LISTED = Policy.read("hooks.clinic.local, 10.0.0.7:8443")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hooks",
        "https://example.com:443/a?b=c",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
    ],
)
def test_what_is_on_the_internet_may_be_called(url):
    DEFAULT.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://example.com:22/",
        "https://example.com:6379/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://10.0.0.7/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::a00:7]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1]/",
        "https://user:secret@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/#@127.0.0.1/",
        "https://exa mple.com/",
        "https://example。com/",
        "https:///hooks",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://example.com/\n",
        "https://[::1/",
        "https://example.com/" + "a" * 2048,
        "",
    ],
)
def test_what_is_refused_when_it_is_written_down(url):
    with pytest.raises(InvalidRequest) as refused:
        DEFAULT.check(url)
    assert (refused.value.param, refused.value.code) == ("url", "invalid_value")


@pytest.mark.parametrize(
    "url", ["http://hooks.clinic.local/", "https://hooks.clinic.local:9000/", "https://10.0.0.7:8443/"]
)
def test_the_operator_lists_hosts_of_the_own_network(url):
    LISTED.check(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/", "https://10.0.0.7/", "https://not.hooks.clinic.local/"]
)
def test_a_list_without_public_is_all_there_is(url):
    with pytest.raises(InvalidRequest, match="AFINA_WEBHOOK_HOSTS"):
        LISTED.check(url)


def answers(*addresses: str):
    """A name server that says this."""

    async def getaddrinfo(self, host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::ffff:10.0.0.1",), ("100.64.0.1",)]
)
async def test_a_name_that_leads_into_this_network_is_not_called(monkeypatch, addresses):
    called = []
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answers(*addresses))
    monkeypatch.setattr(deliveries, "send", lambda *_: called.append(_))
    with pytest.raises(Undelivered):
        await deliveries.post("https://rebound.example/", b"{}", {}, policy=DEFAULT)
    assert called == []


async def test_the_address_that_was_judged_is_the_one_that_is_called(monkeypatch):
    """The second look-up of a name that changes its mind never happens."""
    called = []

    async def send(url, address, body, headers):
        called.append((url.host, address))
        return 204

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answers("8.8.8.8"))
    monkeypatch.setattr(deliveries, "send", send)
    assert await deliveries.post("https://example.com/", b"{}", {}, policy=DEFAULT) == 204
    assert called == [("example.com", "8.8.8.8")]


async def test_who_drips_its_answer_is_not_waited_for(monkeypatch):
    """Each byte comes in time, the answer never does."""
    monkeypatch.setattr(deliveries, "SECONDS", 0.3)

    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except (ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Undelivered):
        await deliveries.post(f"http://127.0.0.1:{port}/", b"{}", {}, policy=Policy.read("127.0.0.1"))
    server.close()


async def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    seen = []

    async def answer(reader, writer):
        seen.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    policy = Policy.read(f"localhost:{port}")
    assert await deliveries.post(f"http://localhost:{port}/x?y=z", b"{}", {}, policy=policy) == 200
    assert seen == [b"POST /x?y=z HTTP/1.1\r\n"]
    server.close()


def test_signatures_are_those_of_standard_webhooks():
    keys = [deliveries.new_secret(), deliveries.new_secret()]
    headers = deliveries.signed("evt_1", b"body", keys=keys, at=17)
    expected = [
        base64.b64encode(
            hmac.new(base64.b64decode(key[6:]), b"evt_1.17.body", hashlib.sha256).digest()
        ).decode()
        for key in keys
    ]
    assert headers["webhook-signature"] == " ".join(f"v1,{value}" for value in expected)
    assert len(base64.b64decode(keys[0].removeprefix("whsec_"))) == 32
