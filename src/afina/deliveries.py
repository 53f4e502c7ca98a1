"""Signed POSTs to addresses that users name: where they may go, and what proves that they come from here.

A host is resolved once and that address is called; no redirect is followed, no proxy asked, no answer read.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import httpx

import afina
from afina.errors import AfinaError, InvalidRequest

SECONDS = 5.0  # for everything, from the name to the first line of the answer
LONGEST_URL = 2048
SECRET = "whsec_"
EVERYWHERE = "public"
TUNNELS = tuple(ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"))


class Undelivered(AfinaError):
    """Nobody answered, or the address may not be called."""


@dataclass(frozen=True)
class Policy:
    """Where requests may go: to the hosts on the operator's list, and over HTTPS to the internet if `public`.

    A host on the list may be private, and called by plain HTTP; `name:port` lists one port of it.
    """

    listed: frozenset[str]
    public: bool

    @classmethod
    def read(cls, text: str) -> "Policy":
        """From the operator's setting: names that are separated by commas, one of which may be `public`."""
        names = {name.strip().lower() for name in text.split(",")} - {""}
        return cls(frozenset(names - {EVERYWHERE}), public=EVERYWHERE in names)

    def lists(self, place: SplitResult) -> bool:
        """Whether the operator trusts the host of an address."""
        return not self.listed.isdisjoint({str(place.hostname), f"{place.hostname}:{port_of(place)}"})

    def check(self, url: str) -> SplitResult:
        """The parts of an address that may be called, or a 400; its name is not looked up here."""
        place = parsed(url)
        if self.lists(place):
            return place
        if not self.public:
            raise refused("the operator of this server allows other hosts only (AFINA_WEBHOOK_HOSTS)")
        if place.scheme != "https" or port_of(place) != 443:
            raise refused("expected https:// on port 443, unless the operator lists the host")
        if is_address(str(place.hostname)) and not is_public(str(place.hostname)):
            raise refused("the address is not public")
        return place


def parsed(url: str) -> SplitResult:
    """The parts of a plain HTTP address: ASCII, a host, no password, no fragment."""
    if len(url) > LONGEST_URL or not url.isascii() or any(sign <= " " or sign in '\\"<>' for sign in url):
        raise refused(f"expected an address of at most {LONGEST_URL} ASCII characters")
    try:
        place = urlsplit(url)
        port_of(place)
    except ValueError:
        raise refused("expected an address such as https://example.com/hooks") from None
    if place.scheme not in ("http", "https") or not place.hostname:
        raise refused("expected an address such as https://example.com/hooks")
    if "@" in place.netloc or place.fragment:
        raise refused("user names, passwords and fragments are not accepted in it")
    return place


def refused(why: str) -> InvalidRequest:
    """An address that is not called."""
    return InvalidRequest(f"Invalid 'url': {why}.", param="url", code="invalid_value")


def port_of(place: SplitResult) -> int:
    """The port, also where it goes without saying."""
    return place.port or (443 if place.scheme == "https" else 80)


def is_address(host: str) -> bool:
    """Whether a host is given by its number."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's; those that carry another one inside are judged as unsafe."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if any(found in tunnel for tunnel in TUNNELS):
            return False
    return found.is_global and not found.is_multicast


async def resolve(place: SplitResult, *, trusted: bool) -> str:
    """The address to call; where one of a host's addresses is private, none of them is."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(place.hostname, port_of(place), type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not trusted and not all(is_public(address) for address in addresses):
        raise Undelivered("The host's address is not public.")
    return addresses[0]


async def post(url: str, body: bytes, headers: Mapping[str, str], *, policy: Policy) -> int:
    """The status of the answer; raises `Undelivered` where there is none in time."""
    try:
        place = policy.check(url)
        async with asyncio.timeout(SECONDS):
            address = await resolve(place, trusted=policy.lists(place))
            return await send(httpx.URL(url), address, body, headers)
    except InvalidRequest as error:  # it was allowed when it was written down
        raise Undelivered(error.message) from None
    except (TimeoutError, OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise Undelivered(f"The endpoint did not answer ({type(error).__name__}).") from None


async def send(url: httpx.URL, address: str, body: bytes, headers: Mapping[str, str]) -> int:
    """POST to one address under the name that it was found by, certificate included."""
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=SECONDS) as client:
        request = client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={**headers, "host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host},
        )
        answer = await client.send(request, stream=True)
        await answer.aclose()
        return answer.status_code


def new_secret() -> str:
    """A signing secret: 256 random bits in the form that Standard Webhooks gives them."""
    return SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


def signed(event_id: str, body: bytes, *, keys: Iterable[str], at: int) -> dict[str, str]:
    """The headers of a delivery, after standardwebhooks.com: HMAC-SHA256 of id, time and body by each secret."""
    message = f"{event_id}.{at}.".encode() + body
    signatures = [f"v1,{signature(key, message)}" for key in keys]
    return {
        "content-type": "application/json",
        "user-agent": f"afina/{afina.__version__}",
        "webhook-id": event_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(signatures),
    }


def signature(key: str, message: bytes) -> str:
    """One secret's word for a message."""
    secret = base64.b64decode(key.removeprefix(SECRET))
    return base64.b64encode(hmac.digest(secret, message, hashlib.sha256)).decode()
