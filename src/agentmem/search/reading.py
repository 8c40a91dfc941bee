"""Reading without ranking: by id, by page, the history of one memory."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from agentmem.errors import InvalidInputError
from agentmem.ids import id_from_str, id_to_str
from agentmem.inputs import shorten
from agentmem.search.results import item_of
from agentmem.times import from_micros
from agentmem.types import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentmem.ports import Filter, Snapshot, Store
    from agentmem.search.items import Items
    from agentmem.types import HistoryEntry, Record

__all__ = ["ORDERS", "Reader"]

_T = TypeVar("_T")

#: What ``get_all`` can sort by; a leading ``-`` means newest first.
ORDERS = tuple(
    sign + name for name in ("created_at", "updated_at", "timestamp") for sign in ("", "-")
)


class Reader:
    """Answers that need no ranking.  Any thread may call."""

    def __init__(self, store: Store, items: Items) -> None:
        self._store = store
        self._items = items

    def get(
        self, ids: Sequence[object], now: int | None, as_of: int | None = None
    ) -> list[dict[str, Any] | None]:
        """The memories with these ids, None for an id that no memory has.  ``now`` hides what
        expired by then; None shows it.  ``as_of``: the store as it was then, in microseconds."""
        raw = [id_from_str(public) for public in ids]
        wanted = [one for one in raw if one is not None]
        if not wanted:
            return [None] * len(raw)
        found = self._ask(as_of, lambda state: state.by_ids(wanted))
        self._store.note_access([record.key for record in found.values()])
        items: list[dict[str, Any] | None] = []
        for one in raw:
            record = found.get(one) if one is not None else None
            visible = record is not None and not _expired(record, now)
            items.append(item_of(record) if record is not None and visible else None)
        return items

    def page(
        self,
        where: Filter,
        *,
        order: str,
        limit: int,
        cursor: str | None,
        as_of: int | None = None,
        asked: int = 0,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of memories, and the cursor of the next (None after the last).

        Args:
            asked: the fingerprint of what else must be the same for every page.

        Raises:
            InvalidInputError: an unknown order, or a cursor of another order or listing.
        """
        if not isinstance(order, str) or order not in ORDERS:
            raise InvalidInputError(f"order {shorten(order)} is not one of {', '.join(ORDERS)}")
        after = (
            None
            if cursor is None or (isinstance(cursor, str) and not cursor)
            else _decode(cursor, order, asked)
        )
        # A first page is asked for again and again; of a whole listing nothing need be kept.
        life = self._items.life if after is None is as_of else None

        def read(state: Snapshot) -> tuple[list[dict[str, Any]], str | None]:
            found = state.places(where, order=order, limit=limit + 1, after=after)
            shown = found[:limit]
            items = self._items.listed({key: seq for key, seq, _ in shown}, state, life)
            return items, _encode(order, shown[-1], asked) if len(found) > limit else None

        return self._ask(as_of, read)

    def count(self, where: Filter, as_of: int | None = None) -> int:
        """How many memories satisfy ``where``."""
        return self._ask(as_of, lambda state: state.count(where))

    def history(self, public_id: object) -> list[dict[str, Any]]:
        """Every event of a memory, oldest first; empty for an id that never was."""
        raw = id_from_str(public_id)
        if raw is None:
            return []
        return list(map(_history_item, self._store.ask(lambda state: state.history(raw))))

    def _ask(self, as_of: int | None, question: Callable[[Snapshot], _T]) -> _T:
        """Of the store now, or as it was at a time in microseconds."""
        if as_of is None:
            return self._store.ask(question)
        with self._store.read() as snapshot:
            return question(snapshot.as_of(as_of, _not_needed))


def _not_needed(texts: Sequence[str]) -> NoReturn:
    raise AssertionError("vectors and terms are for searching")


def _expired(record: Record, now: int | None) -> bool:
    return now is not None and record.expires_at is not None and record.expires_at <= now


def _history_item(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "id": str(entry.seq),
        "memory_id": id_to_str(entry.memory_id),
        "old_memory": entry.old_content,
        "new_memory": entry.new_content,
        "event": entry.event.name,
        "created_at": from_micros(entry.created_at),
        "updated_at": from_micros(entry.updated_at),
        "is_deleted": entry.event is Event.DELETE,
        "actor_id": entry.actor_id,
        "role": entry.role,
    }


def _encode(order: str, last: tuple[int, int, int], asked: int) -> str:
    key, _, time = last
    place = [order, time, key, asked]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _decode(cursor: str, order: str, asked: int) -> tuple[int, int]:
    try:
        if not isinstance(cursor, str):
            raise TypeError
        made_for, *numbers = json.loads(base64.urlsafe_b64decode(cursor))
        time, key, made_of = numbers
        if not all(type(number) is int for number in numbers):
            raise TypeError
    except (AttributeError, TypeError, ValueError, RecursionError, binascii.Error):
        raise InvalidInputError(
            f"cursor {shorten(cursor)} is not one that get_all returned; pass next_cursor back"
            " unchanged"
        ) from None
    if made_for != order:
        raise InvalidInputError(
            f"the cursor belongs to order={shorten(made_for)}, not {order!r}; pass it back with"
            " the same order"
        )
    if made_of != asked:
        raise InvalidInputError(
            "the cursor belongs to another scope, or to other filters, show_expired or as_of;"
            " pass it back with the same, or begin again without a cursor"
        )
    return time, key
