"""One message to one address: signed as Standard Webhooks has it, and never to an address of the own network."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, ip_network

import httpx
from httpx_secure import SSRFProtectionError, httpx_ssrf_protection
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from sojourn.act.destinations.port import Destination, Sent
from sojourn.act.outbox import OutboxItem
from sojourn.errors import Problem, SojournError

KIND = "webhook"
_LONGEST_WAIT_S = 86_400.0
_MOST_READ = 4_096


class WebhookSender:
    """Sends to the address of one destination, with its secret read and its connections kept."""

    def __init__(self, destination: Destination) -> None:
        """Raises SojournError where the secret is missing."""
        self._destination, self._secret = destination, read_secret(destination)
        self._client = open_client(destination)

    async def send(self, item: OutboxItem, at: float) -> Sent:
        """How sending one message went."""
        return await send(self._client, self._destination, self._secret, item, at)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def build(destination: Destination) -> WebhookSender:
    """What sends to this webhook. Raises SojournError where its secret is missing."""
    return WebhookSender(destination)


def read_secret(destination: Destination) -> str:
    """The signing secret. Raises SojournError where the environment does not have it."""
    secret = destination.secret or os.environ.get(destination.secret_from or "", "")
    try:
        Webhook(secret)
    except (ValueError, RuntimeError, EmptyWebhookSecretError):
        where = f"the environment variable {destination.secret_from}" if destination.secret is None else "secret"
        what = f"{where} holds no signing secret, whsec_ and base64"
        raise SojournError(Problem(f"destination '{destination.name}'", what)) from None
    return secret


def open_client(destination: Destination) -> httpx.AsyncClient:
    """A client for a destination. It follows no redirects, and trusts no proxy of the environment."""
    client = httpx.AsyncClient(
        timeout=destination.timeout_s,
        follow_redirects=False,
        trust_env=False,
        limits=httpx.Limits(max_connections=4, max_keepalive_connections=2),
        headers={"User-Agent": "Sojourn", "Content-Type": "application/json"},
    )
    if destination.is_private_allowed:
        return client
    return httpx_ssrf_protection(client, dns_cache_ttl=30, custom_validator=_is_plain)


_EMBEDDING = [ip_network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/32", "2001::/32", "2002::/16")]
"""Networks whose addresses stand for IPv4 addresses, which may be of any network."""
_SITE = ip_network("fec0::/10")  # private once; Python takes it for one that all can reach


def _is_plain(host: str, address: IPv4Address | IPv6Address, port: int) -> bool:
    """Whether an address is what it seems: one receiver, and no other address in disguise."""
    return not address.is_multicast and not any(address in network for network in (*_EMBEDDING, _SITE))


def sign(secret: str, id: str, at: float, body: str) -> dict[str, str]:
    """The headers that prove where a message comes from. The id is the same for every try."""
    stamp = datetime.fromtimestamp(int(at), UTC)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": Webhook(secret).sign(id, stamp, body),
    }


async def send(client: httpx.AsyncClient, destination: Destination, secret: str, item: OutboxItem, at: float) -> Sent:
    """Send one message and read what the receiver says. Raises nothing: what fails may be tried again."""
    try:
        async with asyncio.timeout(destination.timeout_s):
            headers = sign(secret, item.id, at, item.body)
            request = client.build_request("POST", destination.url, content=item.body.encode(), headers=headers)
            answer = await client.send(request, stream=True)
            try:
                read = 0
                async for part in answer.aiter_raw(_MOST_READ):
                    read += len(part)
                    if read >= _MOST_READ:
                        break
            finally:
                await answer.aclose()
    except SSRFProtectionError:
        return Sent("dead", None, "the address is of a network that is not reached from here")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Sent("again", None, type(error).__name__)
    return judge(answer.status_code, answer.headers.get("retry-after", ""), at)


def judge(status: int, retry_after: str, at: float) -> Sent:
    """What an answer means.

    >>> judge(204, "", 0).what, judge(503, "7", 0), judge(410, "", 0).what
    ('delivered', Sent(what='again', status=503, error='answered 503', wait_s=7.0), 'gone')
    """
    if 200 <= status < 300:
        return Sent("delivered", status)
    if status == 410:
        return Sent("gone", status, "the receiver wants no more")
    wait_s = _read_wait(retry_after, at) if status in (429, 503) else 0.0
    return Sent("again", status, f"answered {status}", wait_s)


def _read_wait(text: str, at: float) -> float:
    if text.isascii() and text.isdecimal() and len(text) < 9:
        return min(float(text), _LONGEST_WAIT_S)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - at, 0.0), _LONGEST_WAIT_S)
    except (ValueError, TypeError, OverflowError):
        return 0.0
