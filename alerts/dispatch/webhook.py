"""POSTs each event to an HTTP receiver, signed by the Standard Webhooks specification 1.0.0
(https://github.com/standard-webhooks/standard-webhooks)."""

import base64
import binascii
import hashlib
import hmac
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from alerts.event import CONTENT_TYPE
from zhiwei import __version__
from zhiwei.clock import MICROS, Clock, to_us
from zhiwei.contracts import Delivery
from zhiwei.errors import ConfigError, Permanent, Retryable
from zhiwei.settings import Webhook

_RETRYABLE = frozenset({408, 429})
_SECRET_PREFIX = "whsec_"


class WebhookSink:
    """Delivered at any 2xx; the status line is the answer, a body is not waited for.

    Tried again: no connection, a broken one, a bad certificate, a time-out, 408, 429, 5xx. Given
    up: any other status; a redirect is not followed, since it would carry events to an address that
    nobody configured. No proxy, cookie or credential of the environment is used.
    """

    def __init__(self, settings: Webhook, clock: Clock) -> None:
        """Raises ConfigError for a ``whsec_`` secret that is not base64."""
        self.name = settings.name
        self._url = settings.url
        self._host = urlsplit(settings.url).hostname or ""  # for messages: a URL may hold a password
        self._key = signing_key(settings)
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Makes the connection pool; connects to nothing."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def deliver(self, delivery: Delivery) -> None:
        """POST the body. Raises Retryable or Permanent."""
        if self._session is None:
            raise Retryable(f"{self.name} is not open")
        try:
            async with self._session.post(
                self._url, data=delivery.body, headers=self._headers(delivery), allow_redirects=False
            ) as response:
                self._judge(response.status, response.headers.get("Retry-After"))
        except TimeoutError:
            raise Retryable(f"{self._host}: no answer within {self._timeout_s:g} s") from None
        except aiohttp.InvalidURL:
            raise Permanent(f"{self._host}: not a URL that can be asked") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Retryable(f"{self._host}: {type(error).__name__}: {error}") from None

    async def close(self) -> None:
        """Lets go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        timestamp = str(self._clock.now_us() // MICROS)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": f"zhiwei/{__version__}",
            "Idempotency-Key": delivery.id,
            "webhook-id": delivery.id,
            "webhook-timestamp": timestamp,
        }
        if self._key:
            headers["webhook-signature"] = sign(self._key, delivery.id, timestamp, delivery.body)
        return headers

    def _judge(self, status: int, retry_after: str | None) -> None:
        if 200 <= status < 300:
            return
        if status >= 500 or status in _RETRYABLE:
            after_s = retry_after_s(retry_after, self._clock.now_us()) if retry_after else None
            raise Retryable(f"{self._host}: status {status}", after_s=after_s)
        if 300 <= status < 400:
            raise Permanent(f"{self._host}: status {status}: redirects are not followed, set the final URL")
        raise Permanent(f"{self._host}: status {status}")


def signing_key(settings: Webhook) -> bytes:
    """The bytes to sign with; empty where nothing is to be signed. Raises ConfigError."""
    secret = settings.secret
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ConfigError(
            file="settings",
            key=f"sinks.{settings.name}.secret",
            value="whsec_…",
            expected="whsec_ and base64",
        ) from None


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The ``webhook-signature`` header: ``v1,`` and base64 of HMAC-SHA256 over ``id.timestamp.body``."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def retry_after_s(text: str, now_us: int) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110 §10.2.3: seconds or a date), at least 0.

    None where it is neither.
    """
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (to_us(moment) - now_us) / MICROS)
