"""Log records as lines of JSON.  The library logs nowhere unless somebody asks: see ``docs``."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

__all__ = ["JsonFormatter"]

# Without a handler, the standard library prints warnings to standard error.
logging.getLogger("agentmem").addHandler(logging.NullHandler())


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, what
    the record has under ``agentmem``, and ``exception`` with the traceback if there is one.

    For a ``logging.Handler`` of yours; it formats the records of other libraries, too.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "agentmem", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
