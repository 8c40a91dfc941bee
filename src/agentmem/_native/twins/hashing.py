"""Content hashing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["hash_texts"]


def hash_texts(texts: Sequence[str]) -> bytes:
    return b"".join([hashlib.blake2b(t.encode(), digest_size=16).digest() for t in texts])
