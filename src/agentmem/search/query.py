"""What is asked, checked and turned into vectors and terms before any snapshot is opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from agentmem.errors import InvalidInputError
from agentmem.inputs import check_count, check_text, check_vector, check_vectors, shorten
from agentmem.search.cues import cues_of
from agentmem.types import SearchMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agentmem.config import Limits
    from agentmem.ports import Analyzer, Embedder
    from agentmem.types import Cues, TermBatch

__all__ = ["Queries", "check_options", "prepare"]

_MODES = get_args(SearchMode)


@dataclass(slots=True)
class Queries:
    """``n`` queries, ready for the index."""

    n: int
    vectors: NDArray[np.float32] | None  # (n, dim), normalised; None in keyword mode
    terms: TermBatch | None  # of n texts; None in dense mode
    cues: list[Cues] | None = None  # of n texts, in hybrid mode


def check_options(mode: str, top_k: int, threshold: float | None, limits: Limits) -> None:
    """
    Raises:
        InvalidInputError: an unknown mode, a ``top_k`` or threshold that is no number.
        LimitError: ``top_k`` beyond ``limits.max_top_k``.
    """
    if not isinstance(mode, str) or mode not in _MODES:
        raise InvalidInputError(f"mode {shorten(mode)} is not one of {', '.join(_MODES)}")
    check_count(top_k, limits.max_top_k, "top_k", "max_top_k")
    if threshold is not None and (
        isinstance(threshold, bool)
        or not isinstance(threshold, int | float)
        or not abs(threshold) <= sys.float_info.max  # neither is NaN
    ):
        raise InvalidInputError(
            f"threshold must be a finite number or None, not {shorten(threshold)}"
        )


def prepare(
    texts: Sequence[str | None],
    vectors: Any,
    mode: SearchMode,
    *,
    embedder: Embedder,
    analyzer: Analyzer,
    limits: Limits,
    at: int | None = None,
) -> Queries:
    """Embed all texts as one batch, unless ``vectors`` are given or the mode needs none.

    A query needs a text with at least one word, except in dense mode with a vector.  ``at`` is
    when the questions are asked, in microseconds (None: now).

    Raises:
        InvalidInputError: a text that is missing, blank or not a string; vectors in keyword
            mode, which would not use them.
        LimitError: a text beyond ``limits.max_query_bytes``, or too many queries.
        VectorError: vectors of another shape, with NaN, infinity or zero norm.
    """
    if isinstance(texts, str):
        raise InvalidInputError(
            f"queries must be a list of strings, not the string {shorten(texts)}"
        )
    n = len(texts)
    if n == 0:
        return Queries(0, None, None)
    check_count(n, limits.max_batch, "number of queries", "max_batch")
    if mode == "keyword" and vectors is not None:
        raise InvalidInputError('mode="keyword" uses no vectors; leave them out, or use "hybrid"')
    if mode == "dense" and vectors is not None:
        return Queries(n, _given(vectors, n, embedder.dim), None)
    checked = [_check_query(text, mode, limits) for text in texts]
    terms = None if mode == "dense" else analyzer.analyze(checked)
    if mode == "keyword":
        return Queries(n, None, terms)
    if mode == "dense":
        return Queries(n, embedder.embed_queries(checked), None)
    cues = [cues_of(text, analyzer, at) for text in checked]
    if vectors is None:
        return Queries(n, embedder.embed_queries(checked), terms, cues)
    return Queries(n, _given(vectors, n, embedder.dim), terms, cues)


def _given(vectors: Any, n: int, dim: int) -> NDArray[np.float32]:
    from agentmem._native.vectors import normalize

    if n == 1:
        return check_vector(vectors, dim, normalize)
    return check_vectors(vectors, n, dim, normalize)


def _check_query(text: str | None, mode: str, limits: Limits) -> str:
    if text is None or (isinstance(text, str) and (not text or text.isspace())):
        raise InvalidInputError(
            f'the query is {shorten(text)}; mode="{mode}" needs a text with at least one word'
            ' (only mode="dense" with a vector does without)'
        )
    return check_text(text, limits.max_query_bytes, "query", "limits.max_query_bytes")
