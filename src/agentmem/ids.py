"""Memory ids: UUIDv7 (RFC 9562), 16 raw bytes inside and the hyphenated form outside."""

from __future__ import annotations

import os
import threading
import time
import uuid

from agentmem.errors import InvalidInputError
from agentmem.inputs import shorten

__all__ = ["id_from_str", "id_to_str", "new_ids", "parse_id"]

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM = (1 << 62) - 1

_BLOCK = 4096  # random bytes asked of the system at once

_lock = threading.Lock()
_last_tick = 0
_noise = b""  # random, not yet used: asking for it lets other threads go first, at every id


def new_ids(n: int) -> list[bytes]:
    """``n`` new ids in ascending order, later than every id this process made before.

    48 bits of milliseconds, 12 bits of their fraction (RFC 9562 section 6.2, method 3: the
    fraction is counted up where the clock stands still or goes back), 62 random bits.
    """
    global _last_tick, _noise
    # One tick is 1/4096 ms, so the tick number is the first 60 bits of the id.
    tick = time.time_ns() * 4096 // 1_000_000
    with _lock:
        first = max(tick, _last_tick + 1)
        _last_tick = first + n - 1
        if len(_noise) < 8 * n:
            _noise = os.urandom(max(_BLOCK, 8 * n))
        noise, _noise = _noise[: 8 * n], _noise[8 * n :]
    made = []
    for i in range(n):
        tick = first + i
        random = int.from_bytes(noise[8 * i : 8 * i + 8], "big") & _RANDOM
        value = ((tick >> 12) << 80) | _VERSION | ((tick & 0xFFF) << 64) | _VARIANT | random
        made.append(value.to_bytes(16, "big"))
    return made


def _forget_noise() -> None:
    """In a forked child, whose ids must not be those of the parent."""
    global _lock, _noise
    _lock, _noise = threading.Lock(), b""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_noise)


def id_to_str(raw: bytes) -> str:
    """The hyphenated lower-case form of 16 bytes."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def id_from_str(text: object) -> bytes | None:
    """16 bytes of a UUID in any usual spelling; None if it is not one (so no memory has it)."""
    if isinstance(text, uuid.UUID):
        return text.bytes
    if not isinstance(text, str):
        raise InvalidInputError(f"a memory id is a string, not {shorten(text)}")
    if len(text) == 36 and text.count("-") == 4:  # as we write it: five times as fast
        try:
            raw = bytes.fromhex(text.replace("-", ""))
        except ValueError:
            raw = b""
        if len(raw) == 16:
            return raw
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return None


def parse_id(text: object) -> bytes:
    """16 bytes of a UUID that the caller chose.

    Raises:
        InvalidInputError: not a UUID.
    """
    raw = id_from_str(text)
    if raw is None:
        raise InvalidInputError(
            f"id {shorten(text)} is not a UUID; give one such as {uuid.UUID(int=0)!s}, or keep your"
            " own key in idempotency_key or metadata"
        )
    return raw
