"""LoCoMo (Maharana et al. 2024): two people's conversation in sessions, turns with ids.

A sample is ``{"sample_id", "conversation": {"session_1": [turns], "session_1_date_time": ...}}``;
its id becomes the user, a session the run, the session's date every turn's timestamp (their
order is kept by position), the turn's ``dia_id`` metadata and part of the idempotency key, and the
speaker the actor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agentmem.cli.formats.dates import parse_time
from agentmem.cli.formats.entry import Entry, Item, ReadOptions
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError

__all__ = ["read", "sample_entries"]

_SESSION = re.compile(r"session_(\d+)")


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """One memory per turn, ``Speaker: text [shared image: caption]``."""
    for line, sample in source.json_values():
        try:
            yield from sample_entries(sample, options)
        except InvalidInputError as error:
            raise source.error(line, str(error)) from None


def sample_entries(sample: Any, options: ReadOptions) -> Iterator[Entry]:
    """The turns of one sample.

    Raises:
        InvalidInputError: not a LoCoMo sample.
    """
    conversation = sample.get("conversation") if isinstance(sample, dict) else None
    if not isinstance(conversation, dict):
        raise InvalidInputError("not a LoCoMo sample: it has no 'conversation' object")
    name = sample.get("sample_id") or options.user_id
    if not isinstance(name, str):
        raise InvalidInputError("the sample has no sample_id; give --user")
    for run in _sessions(conversation):
        try:
            yield from _turns(conversation, name, run)
        except InvalidInputError as error:
            raise InvalidInputError(f"{name} {run}: {error}") from None


def _sessions(conversation: dict[str, Any]) -> list[str]:
    """Names of the sessions that have turns, in the order of their numbers."""
    numbered = [
        (int(found[1]), key)
        for key, turns in conversation.items()
        if (found := _SESSION.fullmatch(key)) and isinstance(turns, list)
    ]
    return [key for _, key in sorted(numbered)]


def _turns(conversation: dict[str, Any], name: str, run: str) -> Iterator[Entry]:
    date = conversation.get(f"{run}_date_time")
    when = None if date is None else parse_time(date)
    for number, turn in enumerate(conversation[run], 1):
        if not isinstance(turn, dict) or not isinstance(turn.get("speaker"), str):
            raise InvalidInputError(f"turn {number} is not an object with a speaker")
        turn_id = str(turn.get("dia_id") or f"{run}:{number}")
        text = _text(turn)
        if not text:
            yield Entry(f"{name} {turn_id}", None)
            continue
        item: Item = {
            "content": f"{turn['speaker']}: {text}",
            "user_id": name,
            "run_id": run,
            "actor_id": turn["speaker"],
            "metadata": {"dia_id": turn_id},
            "idempotency_key": f"{run}:{turn_id}",
        }
        if when is not None:
            item["timestamp"] = when
        yield Entry(f"{name} {turn_id}", item)


def _text(turn: dict[str, Any]) -> str:
    parts = [str(turn.get("text") or "").strip()]
    caption = str(turn.get("blip_caption") or "").strip()
    if caption:
        parts.append(f"[shared image: {caption}]")
    return " ".join(part for part in parts if part)
