"""Who may come in: one generated password, kept only as a hash; signed sessions; slower at each failure.

There is no default password. Each person gives a name when signing in; it stands beside every decision.
"""

import base64
import hashlib
import hmac
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zhiwei.clock import MICROS, Clock
from zhiwei.errors import ZhiweiError

FILE = "console.json"
"""Its name in the data directory."""
SESSION_S = 12 * 3600
"""A shift; after it people sign in again."""
FREE_FAILURES = 5
"""Wrong passwords from one address before it has to wait."""
WAIT_MOST_S = 300.0
NAME_MOST = 64

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else
_GROUPS, _LETTERS = 4, 5  # 99 bits
_COST = {"n": 1 << 14, "r": 8, "p": 1}  # scrypt: 16 MiB, some 40 ms; RFC 7914
_ADDRESSES_MOST = 1000


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    salt: bytes
    hash: bytes
    secret: bytes


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is signed in."""

    id: str
    name: str
    until_us: int


@dataclass(slots=True)
class _Failures:
    count: int = 0
    free_s: float = float("-inf")


def prepare(data: Path) -> str | None:
    """Make the password where there is none yet, and return it: the only time that it can be read.

    None where there is one already. Raises ZhiweiError where the data directory cannot be written.
    """
    file = data / FILE
    if file.exists():
        return None
    password = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS)) for _ in range(_GROUPS))
    salt = secrets.token_bytes(16)
    kept = _Kept(salt=salt, hash=_hashed(password, salt), secret=secrets.token_bytes(32))
    try:
        data.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, and for nobody else's eyes from the first byte on.
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(msgspec.json.encode(kept))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        raise ZhiweiError(f"{file}: {error.strerror}; the console's password cannot be kept there") from None
    return password


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_COST)


class Access:
    """Checks passwords and sessions. Any thread may ask."""

    def __init__(self, data: Path, clock: Clock) -> None:
        """Raises ZhiweiError where ``prepare`` has not been here or its file is damaged."""
        file = data / FILE
        try:
            self._kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError) as error:
            raise ZhiweiError(f"{file}: {error}; remove it and start again for a new password") from None
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, _Failures] = {}
        self._ended: dict[str, int] = {}

    # -------------------------------------------------------------- password

    def wait_s(self, address: str) -> float:
        """How long this address has to wait before its next try; 0 if it need not."""
        with self._lock:
            failures = self._failures.get(address)
            return max(0.0, failures.free_s - self._clock.monotonic_s()) if failures else 0.0

    def sign_in(self, address: str, name: str, password: str) -> str | None:
        """A session's token; None for a wrong password, a blank or long name, or who has to wait.

        Takes some 40 ms of one core: not for an event loop.
        """
        if self.wait_s(address) > 0:
            return None
        right = hmac.compare_digest(_hashed(password[:256].strip().lower(), self._kept.salt), self._kept.hash)
        name = name.strip()
        if not right:
            self._note_failure(address)
            return None
        if not name or len(name) > NAME_MOST:
            return None
        with self._lock:
            self._failures.pop(address, None)
        until_us = self._clock.now_us() + SESSION_S * MICROS
        return self._signed(Session(id=secrets.token_hex(16), name=name, until_us=until_us))

    def _note_failure(self, address: str) -> None:
        with self._lock:
            if address not in self._failures and len(self._failures) >= _ADDRESSES_MOST:
                self._failures.pop(next(iter(self._failures)))
            failures = self._failures.setdefault(address, _Failures())
            failures.count += 1
            if failures.count >= FREE_FAILURES:
                wait_s = min(WAIT_MOST_S, 2.0 ** (failures.count - FREE_FAILURES + 1))
                failures.free_s = self._clock.monotonic_s() + wait_s

    # -------------------------------------------------------------- sessions

    def session(self, token: str | None) -> Session | None:
        """Whose token this is; None for one that is not ours, is over, or was signed out."""
        body, dot, signature = (token or "").partition(".")
        if not dot or not hmac.compare_digest(self._signature(body), signature.encode(errors="replace")):
            return None
        try:
            session = msgspec.json.decode(_unpacked(body), type=Session)
        except (ValueError, msgspec.DecodeError):
            return None
        with self._lock:
            over = session.id in self._ended
        return None if over or session.until_us <= self._clock.now_us() else session

    def sign_out(self, session: Session) -> None:
        """Its token is worth nothing from now on."""
        now_us = self._clock.now_us()
        with self._lock:
            self._ended = {key: until for key, until in self._ended.items() if until > now_us}
            self._ended[session.id] = session.until_us

    def _signed(self, session: Session) -> str:
        body = base64.urlsafe_b64encode(msgspec.json.encode(session)).decode().rstrip("=")
        return f"{body}.{self._signature(body).decode()}"

    def _signature(self, body: str) -> bytes:
        made = hmac.new(self._kept.secret, body.encode(errors="replace"), hashlib.sha256).hexdigest()
        return made.encode()


def _unpacked(body: str) -> bytes:
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
