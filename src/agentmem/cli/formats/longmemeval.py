"""LongMemEval (Wu et al. 2024): questions, each with its own haystack of chat sessions.

A question's id becomes the user, a session's id the run, its date every turn's timestamp.  Its
answers and labels are not imported: they are not part of anybody's memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from agentmem.cli.formats.dates import parse_time
from agentmem.cli.formats.entry import Entry, Item, ReadOptions
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError

__all__ = ["question_entries", "read"]


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """One memory per turn that has text; a JSON array or one question per line."""
    del options
    for line, question in source.json_values():
        try:
            yield from question_entries(question)
        except InvalidInputError as error:
            raise source.error(line, str(error)) from None


def question_entries(question: Any) -> Iterator[Entry]:
    """The turns of one question's haystack.

    Raises:
        InvalidInputError: not a LongMemEval question.
    """
    if not isinstance(question, dict) or not isinstance(question.get("haystack_sessions"), list):
        raise InvalidInputError("not a LongMemEval question: it has no 'haystack_sessions' list")
    user = question.get("question_id")
    if not isinstance(user, str):
        raise InvalidInputError(f"question_id must be a string, not {user!r}")
    sessions = question["haystack_sessions"]
    names = _column(question, "haystack_session_ids", len(sessions))
    dates = _column(question, "haystack_dates", len(sessions))
    seen: Counter[str] = Counter()
    for number, (turns, given, date) in enumerate(zip(sessions, names, dates, strict=True), 1):
        run = str(given or f"session_{number}")
        seen[run] += 1
        # The set repeats a few sessions under another date: those are turns of their own.
        prefix = run if seen[run] == 1 else f"{run}#{seen[run]}"
        yield from _session(user, run, prefix, date, turns)


def _column(question: dict[str, Any], name: str, length: int) -> list[Any]:
    column = question.get(name) or [None] * length
    if not isinstance(column, list) or len(column) != length:
        raise InvalidInputError(f"{name} does not have one entry per session ({length})")
    return column


def _session(user: str, run: str, prefix: str, date: Any, turns: Any) -> Iterator[Entry]:
    if not isinstance(turns, list):
        raise InvalidInputError(f"{user} {run}: a session must be a list of turns")
    when = None if date is None else parse_time(date)
    for number, turn in enumerate(turns):
        where = f"{user} {prefix}:{number}"
        if not isinstance(turn, dict) or not isinstance(turn.get("content"), str):
            raise InvalidInputError(f"{where}: a turn must be an object with content")
        if not turn["content"].strip():
            yield Entry(where, None)
            continue
        item: Item = {
            "content": turn["content"],
            "user_id": user,
            "run_id": run,
            "metadata": {"turn": number},
            "idempotency_key": f"{prefix}:{number}",
        }
        if isinstance(turn.get("role"), str):
            item["role"] = turn["role"]
        if when is not None:
            item["timestamp"] = when
        yield Entry(where, item)
