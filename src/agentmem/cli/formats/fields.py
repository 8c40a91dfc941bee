"""The fields of a memory under the names that files give them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from agentmem.cli.formats.dates import parse_time
from agentmem.cli.formats.entry import Item
from agentmem.errors import InvalidInputError

__all__ = ["CONTENT_NAMES", "first", "memory_item", "text_of"]

CONTENT_NAMES = ("content", "memory", "text", "data")

_RENAMED = {
    "user": "user_id",
    "agent": "agent_id",
    "run": "run_id",
    "session_id": "run_id",
    "org": "org_id",
    "organization_id": "org_id",
    "actor": "actor_id",
    "name": "actor_id",
    "speaker": "actor_id",
    "type": "memory_type",
    "expires_at": "expiration_date",
}
_KEPT = (
    "user_id",
    "agent_id",
    "run_id",
    "org_id",
    "actor_id",
    "role",
    "memory_type",
    "level",
    "importance",
    "expiration_date",
    "idempotency_key",
)
_TIMES = ("timestamp", "event_at", "date", "time", "created_at")
#: Derived from the rest by every store, so meaningless in another.
_DERIVED = frozenset({"hash", "score", "updated_at", "created_at", "position", "seq", "history"})


def first(values: dict[str, Any], *names: str) -> Any:
    """The first of these that is there and not None."""
    for name in names:
        if values.get(name) is not None:
            return values[name]
    return None


def text_of(content: Any) -> str:
    """The text of a message's content: a string, None, or a list of typed parts of which those
    with text count.

    Raises:
        InvalidInputError: nothing of these.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part if isinstance(part, str) else _part_text(part) for part in content]
        return "\n".join(text for text in texts if text)
    raise InvalidInputError(f"content must be text, not {type(content).__name__}")


def _part_text(part: Any) -> str:
    if not isinstance(part, dict):
        raise InvalidInputError(f"a part of the content must be an object, not {part!r}")
    text = part.get("text")
    return text if isinstance(text, str) else ""


def memory_item(values: dict[str, Any], *, keep_id: bool) -> Item:
    """An ``add_batch`` item of a JSON object, under whichever of the usual names.

    Fields that AgentMem has no place for join the metadata, so that nothing is lost in silence.

    Raises:
        InvalidInputError: no text, metadata that is no object, a time that is none.
    """
    values = dict(values)
    content_name = next((name for name in CONTENT_NAMES if values.get(name) is not None), None)
    if content_name is None:
        raise InvalidInputError(f"no text under any of {', '.join(CONTENT_NAMES)}")
    item: Item = {"content": text_of(values.pop(content_name))}
    for old, new in _RENAMED.items():
        if values.get(old) is not None and values.get(new) is None:
            values[new] = values.pop(old)
    for name in _KEPT:
        value = values.pop(name, None)
        if value is not None:
            item[name] = value
    when = first(values, *_TIMES)
    for name in _TIMES:
        values.pop(name, None)
    if when is not None:
        item["timestamp"] = parse_time(when)
    if isinstance(item.get("expiration_date"), str):
        item["expiration_date"] = parse_time(item["expiration_date"])
    identity = values.pop("id", None)
    if keep_id and identity is not None:
        item["id"] = identity
    vector = values.pop("vector", None)
    if vector is not None:
        item["vector"] = _vector(vector)
    metadata = _metadata(values.pop("metadata", None))
    if identity is not None and not keep_id:
        metadata.setdefault("id", identity)
    for name, value in values.items():
        if value is not None and name not in _DERIVED:
            metadata.setdefault(name, value)
    if metadata:
        item["metadata"] = metadata
    return item


def _metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInputError(f"metadata must be an object, not {type(value).__name__}")
    return dict(value)


def _vector(value: Any) -> Any:
    """A list of numbers as it is; export's ``{"dtype", "data", "source", "model_id"}`` with its
    bytes decoded (little-endian)."""
    if isinstance(value, list):
        return {"data": value, "dtype": "list", "source": "caller"}
    if not isinstance(value, dict) or value.get("dtype") not in ("float16", "float32"):
        raise InvalidInputError("a vector must be a list of numbers or what export writes")
    try:
        data = base64.b64decode(value.get("data", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InvalidInputError("the vector's data is not base64") from None
    return {**value, "data": data}
