"""The native payload: one JSON object, or an array of them.

``ts`` is ISO 8601 with an offset, or Unix milliseconds; absent means: take the time of arrival. ``flags``
are letters of HJ 212-2017. Every other key is a channel: a number, a boolean, a text, a list of codes, or
null for missing.
"""

import json
import math
import re
from typing import Any, NoReturn

import msgspec

from ingest.moments import moment
from ingest.quality import code_of
from zhiwei.contracts import Decoded, Refusal
from zhiwei.types import QUALITY_LETTERS, Reason

Value = float | bool | str | list[str] | None
"""A list is one of message codes; numbers in it are taken as their text."""

_strict = msgspec.json.Decoder(dict[str, Value] | list[dict[str, Value]])
"""What nearly every payload is; without int in the union, whole numbers come as float at once."""
_loose = msgspec.json.Decoder()

_LITERALS = ("true", "false", "null", "-Infinity")
_NUMBER_TAILS = (".", "e", "E", "e+", "e-", "E+", "E-")
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{0,4}\Z")
"""What a payload may end in that was cut inside a value: these, and the starts of literals."""


class JsonCodec:
    """Codec ``json``."""

    name = "json"

    def decode(self, payload: bytes) -> Decoded:
        """Rows and refusals; at most one refusal for each reason and scope, whatever the payload."""
        try:
            document = _strict.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _decode_slowly(payload)
        out = Decoded()
        if isinstance(document, dict):
            _take(document, out)
        elif document:
            _take_all(document, out)
            _join(out)
        else:
            out.refused.append(Refusal(Reason.EMPTY, "payload", "the array is empty"))
        return out


def _take_all(rows: list[dict[str, Value]], out: Decoded) -> None:
    """Put rows out; empty ones are counted together, for a payload may be full of them."""
    given = list(filter(None, rows))
    for row in given:
        _take(row, out)
    if len(given) < len(rows):
        out.refused.append(_empty(len(rows) - len(given)))


def _empty(rows: int) -> Refusal:
    return Refusal(Reason.EMPTY, "row", "the object {} has neither ts nor a channel", rows)


def _take(row: dict[str, Value], out: Decoded) -> None:
    """Put one row out. Takes ``ts`` and ``flags`` out of it."""
    if not row:
        out.refused.append(_empty(1))
        return
    stamp = row.pop("ts", None)
    if stamp is None:
        ts = None
    else:
        found = moment(stamp)
        if type(found) is not int:
            out.refused.append(Refusal(Reason.BAD_TIMESTAMP, "row", str(found), 1))
            return
        ts = found
    out.flags.append(_flags(row.pop("flags"), out) if "flags" in row else 0)
    out.ts.append(ts)
    out.values.append(row)


def _flags(letters: Value, out: Decoded) -> int:
    """Bits of the letters that are known; the row stays, whatever its flags."""
    if letters is None:
        return 0
    if not isinstance(letters, str):
        detail = f"flags {letters!r}: expected letters of {''.join(QUALITY_LETTERS)}"
        out.refused.append(Refusal(Reason.WRONG_TYPE, "cell", detail))
        return 0
    bits = 0
    unknown = ""
    for letter in letters:
        flag = QUALITY_LETTERS.get(letter)
        if flag is None:
            unknown = unknown or letter
        else:
            bits |= flag
    if unknown:
        detail = f"flags {letters[:80]!r}: {unknown!r} is none of {''.join(QUALITY_LETTERS)}"
        out.refused.append(Refusal(Reason.UNKNOWN_FLAG, "cell", detail))
    return int(bits)


# ------------------------------------------------------------------ what is not as it should be


def _decode_slowly(payload: bytes) -> Decoded:
    """Find out what is wrong, and keep what is not: the way of payloads that the strict decoder refused."""
    out = Decoded()
    try:
        document = _loose.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        document = _explained(payload)
    if isinstance(document, Refusal):
        out.refused.append(document)
    elif isinstance(document, dict):
        _take_slowly(document, out)
    elif isinstance(document, list) and document:
        others = [element for element in document if not isinstance(element, dict)]
        if others:
            detail = f"an element is {_kind(others[0])}: expected an object"
            out.refused.append(Refusal(Reason.WRONG_TYPE, "row", detail, len(others)))
        for element in document:
            if isinstance(element, dict):
                _take_slowly(element, out)
    else:
        detail = f"the payload is {_kind(document)}: expected an object or an array of objects"
        out.refused.append(Refusal(Reason.WRONG_TYPE, "payload", detail))
    _join(out)
    return out


def _take_slowly(row: dict[str, Any], out: Decoded) -> None:
    """Put the row out without what no channel can hold; refuse it where nothing else is in it."""
    kept: dict[str, Value] = {}
    refused: list[Refusal] = []
    for name, value in row.items():
        scalar = _scalar(name, value)
        if isinstance(scalar, Refusal):
            refused.append(scalar)
        else:
            kept[name] = scalar
    if refused and all(value is None or name in ("ts", "flags") for name, value in kept.items()):
        out.refused.append(Refusal(refused[0].reason, "row", refused[0].detail, 1))
        return
    out.refused += refused
    _take(kept, out)


def _scalar(name: str, value: object) -> Value | Refusal:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        detail = f"{name[:80]}: the number is beyond what a float64 can hold (1.8e308)"
        return Refusal(Reason.OUT_OF_RANGE, "cell", detail)
    if name == "ts":
        return _kind(value)  # is no time, and is refused as such
    if isinstance(value, list) and all(map(_is_code, value)):
        return [code if isinstance(code, str) else code_of(code) for code in value]
    detail = f"{name[:80]} is {_kind(value)}: expected a number, a boolean, a text, a list of codes or null"
    return Refusal(Reason.WRONG_TYPE, "cell", detail)


def _is_code(value: object) -> bool:
    """A text, or a number that has digits; a boolean is none."""
    return isinstance(value, str) or (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _explained(payload: bytes) -> Any:
    """The document as the standard library reads it, or a Refusal of the whole payload.

    msgspec refuses a number beyond float64 and half of a surrogate pair with its own words, and calls more
    than what was cut "truncated"; what was wrong must be told apart here.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return Refusal(Reason.TRUNCATED, "payload", f"the JSON ends early, at byte {len(payload)}")
        return Refusal(Reason.NOT_UTF8, "payload", f"byte {error.start} is not UTF-8")
    if not text.strip():
        return Refusal(Reason.EMPTY, "payload", "the payload has no bytes but blanks")
    try:
        document = json.loads(text, parse_int=float, parse_constant=_constant)
        json.dumps(document, ensure_ascii=False).encode()
    except _Constant as error:
        return Refusal(Reason.NOT_FINITE, "payload", f"{error} is no JSON: send null for a missing value")
    except RecursionError:
        return Refusal(Reason.TOO_DEEP, "payload", "objects or arrays are nested too deep")
    except UnicodeEncodeError:
        return Refusal(Reason.NOT_UTF8, "payload", "a text holds half of a surrogate pair")
    except json.JSONDecodeError as error:
        return _syntax(text, error)
    return document


def _syntax(text: str, error: json.JSONDecodeError) -> Refusal:
    rest = text[error.pos :].rstrip()
    cut = (
        rest in ("", *_NUMBER_TAILS)
        or any(literal.startswith(rest) for literal in _LITERALS)
        or error.msg.startswith("Unterminated string")
        or (len(rest) <= 6 and _ESCAPE.search(text) is not None)
    )
    if cut:
        return Refusal(Reason.TRUNCATED, "payload", f"the JSON ends early, at character {len(text)}")
    return Refusal(Reason.NOT_JSON, "payload", f"no JSON from character {error.pos} on: {error.msg}")


class _Constant(Exception):  # noqa: N818
    pass


def _constant(text: str) -> NoReturn:
    raise _Constant(text)


def _join(out: Decoded) -> None:
    """One refusal for each reason and scope: a payload of ten thousand bad rows makes one record."""
    if len(out.refused) < 2:
        return
    joined: dict[tuple[str, str], list[Refusal]] = {}
    for refusal in out.refused:
        joined.setdefault((refusal.reason, refusal.scope), []).append(refusal)
    out.refused[:] = [_joined(refusals) for refusals in joined.values()]


def _joined(refusals: list[Refusal]) -> Refusal:
    first = refusals[0]
    more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
    return Refusal(first.reason, first.scope, first.detail + more, sum(r.rows for r in refusals))
