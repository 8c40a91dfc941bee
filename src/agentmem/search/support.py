"""Whether a memory knows anything of what is asked.

Two things tell.  The best score does when nothing at all was said of the matter.  When the matter
was spoken of, and it was somebody else's, the best memories fit all but for who said them; then
it is the distance between the best that the person asked about said and the best that others
said (the margin).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem.types import Hit

__all__ = ["DEPTH", "margin", "support"]

#: Hits to explain for ``support``, so that both sides are among them.
DEPTH = 100
_BEST = 5  # of each side
#: What a margin of 0 is worth.  From 0.3 to 0.35 both builtin models tell all of the kinds of
#: questions in docs/ranking.md apart; a good best score lies there.
_EVEN = 0.32


def support(hits: Sequence[Hit]) -> float:
    """The best score, but at most 0.32 more than the margin; 0 where nothing was found.

    The lower, the less likely that the memories answer the question.  Compare it only within one
    model and ranking configuration.

    Args:
        hits: explained, best first; ``DEPTH`` of them, or all there are.
    """
    if not hits:
        return 0.0
    best = hits[0].score
    between = margin(hits)
    return best if between is None else min(best, _EVEN + between)


def margin(hits: Sequence[Hit]) -> float | None:
    """The mean score of the best memories said by somebody the question names, less that of the
    best ones said by others; what the name itself contributes left out of both.

    Args:
        hits: as for ``support``.

    Returns:
        None where the question names nobody who said anything, or everybody.
    """
    named: list[float] = []
    others: list[float] = []
    for hit in hits:
        assert hit.parts is not None
        part = hit.parts.get("actor", 0.0)
        (named if part > 0 else others).append(hit.score - part)
    if not named or not others:
        return None
    return _mean(named) - _mean(others)


def _mean(scores: list[float]) -> float:
    chosen = sorted(scores, reverse=True)[:_BEST]
    return sum(chosen) / len(chosen)
