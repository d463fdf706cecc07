"""Structured logs: one line, ``key=value``, nothing in normal operation but start, stop, state changes."""

import logging
import sys

logger = logging.getLogger("zhiwei")
"""Parent of every logger of ours: ``logger.getChild("ingest")``."""


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        text = " ".join(f"{key}={_quote(value)}" for key, value in fields.items())
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        head = f"{self.formatTime(record)} {record.levelname.lower()} {record.name} {message}"
        line = f"{head} {text}" if text else head
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _quote(value: object) -> str:
    text = str(value)
    # Also what a device sent may stand here: a line break in it must not begin a line of its own.
    plain = text.isprintable() and not set(" =\"'") & set(text)
    return text if text and plain else repr(text)


def say(log: logging.Logger, level: int, message: str, /, **fields: object) -> None:
    """One line with fields, which may have any name; ids belong into the fields."""
    log.log(level, message, extra={"fields": fields})


def configure(level: str = "INFO") -> None:
    """Send our lines to stderr; libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger.setLevel(level)
