"""Hits to answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["copies", "hits", "keys_of", "match"]

_Held = tuple[int, dict[str, Any], "str | None", int]


def hits(
    kind: type[Any], keys: list[int], scores: list[float], seqs: list[int]
) -> list[tuple[Any, ...]]:
    return [kind(k, score, None, seq) for k, score, seq in zip(keys, scores, seqs, strict=True)]


def match(
    ranked: list[Any], held: dict[int, _Held]
) -> tuple[list[tuple[Any, _Held | None]], dict[int, int]]:
    answer: list[tuple[Any, _Held | None]] = []
    missing = {}
    for hit in ranked:
        found = held.get(hit.key)
        if found is None or found[0] != hit.seq:
            found = None
            missing[hit.key] = hit.seq
        answer.append((hit, found))
    return answer, missing


def copies(answer: list[tuple[Any, _Held]], decode: Callable[[str], Any]) -> list[dict[str, Any]]:
    items = []
    for hit, (_, kept, metadata, _) in answer:
        item = kept.copy()
        if metadata is not None:
            item["metadata"] = decode(metadata) if metadata else kept["metadata"].copy()
        item["score"] = hit.score
        if hit.parts is not None:
            item["explain"] = hit.parts
        items.append(item)
    return items


def keys_of(answer: list[tuple[Any, _Held]]) -> list[int]:
    return [hit.key for hit, _ in answer]
