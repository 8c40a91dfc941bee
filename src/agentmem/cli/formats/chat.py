"""Chat transcripts.

As JSON: messages ``{"role", "content", "name", "timestamp"}`` in a list or one per line; or
sessions ``{"id", "date", "messages": [...]}`` (``turns`` serves as well) in a list, one per line,
or under ``"sessions"`` in an object that may name the ``user_id`` of all.  As text: lines
``[2024-03-09 14:00] Name: text``, lines without that beginning continuing the turn before.

Each turn gets its number within the session (from 0) as ``metadata.turn``.  Messages outside any
session belong to a run named after the file, unless ``--run`` names one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any

from agentmem.cli.formats.dates import parse_time
from agentmem.cli.formats.entry import Entry, Item, ReadOptions
from agentmem.cli.formats.fields import first, text_of
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError

__all__ = ["TURN_LINE", "read"]

#: ``[2024-03-09 14:00] Name: text``; the name is as long as the first colon allows.
TURN_LINE = re.compile(
    r"\[(?P<when>(?=[^\]]*\d[-/:]\d)[^\]]+)\]\s*(?P<name>[^:\s][^:]*):\s?(?P<text>.*)"
)

_ROLES = frozenset({"user", "assistant", "system", "tool", "developer", "function"})
_MESSAGES = ("messages", "turns")
_RUN_NAMES = ("run_id", "session_id", "id", "name")
_DATE_NAMES = ("date", "timestamp", "started_at", "created_at", "date_time")
_TIME_NAMES = ("timestamp", "time", "date", "created_at", "ts")
_SPEAKER_NAMES = ("name", "speaker", "actor_id", "author", "from", "sender")
_TEXT_NAMES = ("content", "text", "message", "memory")
_PLACED = frozenset((*_TIME_NAMES, *_SPEAKER_NAMES, *_TEXT_NAMES, "role", "metadata", "id"))


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """One memory per message that has text."""
    run = options.run_id or source.stem
    if not source.starts_as_json():
        yield from _read_text(source, run)
        return
    loose = _Session(options.user_id, run, None)
    unnamed = 0
    for line, value in source.json_values():
        try:
            for session in _sessions(value, options.user_id):
                if session.run is None:
                    unnamed += 1
                    session.run = f"{run}-{unnamed}"
                for message in session.messages:
                    yield session.entry(message)
            if _is_message(value):
                yield loose.entry(value)
        except InvalidInputError as error:
            raise source.error(line, str(error)) from None


class _Session:
    """A run being read: numbers its turns and gives them keys that survive a second import."""

    def __init__(self, user: str | None, run: str | None, date: datetime | None) -> None:
        self.user = user
        self.run = run
        self.date = date
        self.messages: list[Any] = []
        self._turn = 0
        self._seen: Counter[str] = Counter()

    def entry(self, message: Any) -> Entry:
        """
        Raises:
            InvalidInputError: not a message.
        """
        where = f"{self.run} turn {self._turn}"
        if not isinstance(message, dict):
            raise InvalidInputError(f"{where}: a message must be an object, not {message!r:.60}")
        try:
            when = first(message, *_TIME_NAMES)
            item = self.turn(
                text_of(first(message, *_TEXT_NAMES)),
                role=message.get("role"),
                name=first(message, *_SPEAKER_NAMES),
                when=self.date if when is None else parse_time(when),
                metadata=_metadata(message),
            )
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}: {error}") from None
        return Entry(where, item)

    def turn(
        self,
        text: str,
        *,
        role: str | None,
        name: str | None,
        when: datetime | None,
        metadata: dict[str, Any],
    ) -> Item | None:
        number = self._turn
        self._turn += 1
        if not text.strip():
            return None
        item: Item = {
            "content": text,
            "run_id": self.run,
            "metadata": {"turn": number, **metadata},
            "idempotency_key": self._key(role, name, when, text),
        }
        optional = {"user_id": self.user, "role": role, "actor_id": name, "timestamp": when}
        item.update({field: value for field, value in optional.items() if value is not None})
        return item

    def _key(self, role: Any, name: Any, when: datetime | None, text: str) -> str:
        """Who said what and when, and which time in this run it is (people repeat themselves).

        Not the turn's number: a transcript that lost its first page is still the same.
        """
        said = "\0".join((str(role), str(name), "" if when is None else when.isoformat(), text))
        digest = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        self._seen[digest] += 1
        return f"{self.run}:{digest}:{self._seen[digest]}"


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and not any(
        isinstance(value.get(name), list) for name in ("sessions", *_MESSAGES)
    )


def _sessions(value: Any, user: str | None) -> Iterator[_Session]:
    """The sessions in a value: itself, those under ``sessions``, or a bare list of messages."""
    if isinstance(value, list):
        session = _Session(user, None, None)
        session.messages = value
        yield session
        return
    if not isinstance(value, dict):
        raise InvalidInputError(f"expected messages or sessions, found {value!r:.60}")
    user = first(value, "user_id", "user") or user
    if isinstance(value.get("sessions"), list):
        for inner in value["sessions"]:
            if _is_message(inner):
                raise InvalidInputError("a session must be an object with 'messages' or 'turns'")
            yield from _sessions(inner, user)
        return
    messages = next((value[n] for n in _MESSAGES if isinstance(value.get(n), list)), None)
    if messages is None:
        return
    run, date = first(value, *_RUN_NAMES), first(value, *_DATE_NAMES)
    session = _Session(
        user, None if run is None else str(run), None if date is None else parse_time(date)
    )
    session.messages = messages
    yield session


def _metadata(message: dict[str, Any]) -> dict[str, Any]:
    """The message's own metadata, its id, and whatever else it carries."""
    given = message.get("metadata")
    if given is not None and not isinstance(given, dict):
        raise InvalidInputError(f"metadata must be an object, not {given!r:.60}")
    metadata = dict(given or {})
    if message.get("id") is not None:
        metadata.setdefault("message_id", message["id"])
    for name, value in message.items():
        if name not in _PLACED and value is not None:
            metadata.setdefault(name, value)
    return metadata


def _read_text(source: Source, run: str) -> Iterator[Entry]:
    session = _Session(None, run, None)
    start, turn, body = 0, None, []
    for number, line in source.lines():
        found = TURN_LINE.fullmatch(line.strip())
        if found:
            if turn:
                yield _text_entry(source, session, start, turn, body)
            start, turn, body = number, found, [found["text"]]
        elif turn:
            body.append(line.rstrip())
        elif line.strip():
            raise source.error(number, "expected '[2024-03-09 14:00] Name: text'")
    if turn:
        yield _text_entry(source, session, start, turn, body)


def _text_entry(
    source: Source, session: _Session, line: int, turn: re.Match[str], body: list[str]
) -> Entry:
    name = turn["name"].strip()
    try:
        when = parse_time(turn["when"])
    except InvalidInputError as error:
        raise source.error(line, str(error)) from None
    role = name.lower() if name.lower() in _ROLES else None
    text = "\n".join(body).strip()
    item = session.turn(text, role=role, name=None if role else name, when=when, metadata={})
    return Entry(f"line {line}", item)
