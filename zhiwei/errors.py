"""Errors that people or supervisors act on. Their text says what, where, and what to do next."""


class ZhiweiError(Exception):
    """Base of every error that is meant to be read by a person; printed without a traceback."""


class ConfigError(ZhiweiError):
    """A setting is wrong. Names the file, the key, the value found and what would be right."""

    def __init__(self, *, file: str, key: str, value: object, expected: str) -> None:
        self.file, self.key, self.value, self.expected = file, key, value, expected
        super().__init__(f"{file}: {key} = {value!r}: expected {expected}")


class Retryable(ZhiweiError):  # noqa: N818 - the field's word, it reads as an adjective
    """The same call may succeed later (connection refused, time-out, 5xx, 429)."""

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(message)


class Permanent(ZhiweiError):  # noqa: N818
    """The same call will never succeed (4xx, unknown host name in a URL, payload refused)."""


class LogMismatch(ZhiweiError):  # noqa: N818
    """State or offsets belong to another log than the one at hand. Nothing was changed."""


class Fenced(ZhiweiError):  # noqa: N818
    """Another owner has taken this partition since; this process must stop."""


class StorageFull(ZhiweiError):  # noqa: N818
    """The disk reserve is reached or the disk is full; the record was not made durable."""
