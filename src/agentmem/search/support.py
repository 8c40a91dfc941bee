"""Whether what was found was said by whom the question is about.

Somebody asks what Ana did, and it was Ben: the best memories then fit, all but for who said
them.  The best score alone hardly shows that; the distance between the best that Ana said and the
best that others said does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["margin"]

_BEST = 5  # of each side


def margin(results: Iterable[Mapping[str, Any]], best: int = _BEST) -> float | None:
    """The mean score of the best memories said by somebody the question names, less that of the
    best ones said by others; what the name itself contributes left out of both.

    The lower, the less likely that the memories answer the question.  Compare it only within one
    ranking configuration.

    Args:
        results: what a hybrid search with ``explain=True`` returned, best first; about twenty times
            ``best`` of them, so that both sides are among them.
        best: how many of each side count.

    Returns:
        None where the question names nobody who said anything, or everybody.
    """
    named: list[float] = []
    others: list[float] = []
    for item in results:
        part = item["explain"].get("actor", 0.0)
        (named if part > 0 else others).append(item["score"] - part)
    if not named or not others:
        return None
    return _mean(named, best) - _mean(others, best)


def _mean(scores: list[float], best: int) -> float:
    chosen = sorted(scores, reverse=True)[:best]
    return sum(chosen) / len(chosen)
