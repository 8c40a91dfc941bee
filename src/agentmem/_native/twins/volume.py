"""Postings of a volume and its best slots by words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem._native.twins.hybrid import WEIGHTS
from agentmem._native.twins.kinds import Floats, Mask

__all__ = ["Texts", "invert"]


def invert(
    offsets: NDArray[np.int64], terms: NDArray[np.uint64], counts: NDArray[np.uint16]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
    texts = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    order = np.lexsort((texts, terms))
    found, sizes = np.unique(terms, return_counts=True)
    return found, np.cumsum([0, *sizes], dtype=np.int64), texts[order], counts[order]


class Texts:
    """Slot by slot, in float64."""

    def __init__(
        self,
        starts: NDArray[np.int32],
        lengths: Floats,
        window_lengths: Floats,
        run_lengths: Floats,
        keys: NDArray[np.int64],
        actors: NDArray[np.int32],
        event_at: NDArray[np.int64],
        n_actors: int,
        window: int,
    ) -> None:
        self._starts, self._keys, self._actors, self._event_at = starts, keys, actors, event_at
        self._lengths, self._window_lengths, self._run_lengths = (
            lengths,
            window_lengths,
            run_lengths,
        )
        self._window = window

    def best(
        self,
        lists: Sequence[
            tuple[
                NDArray[np.int32],
                NDArray[np.uint16],
                NDArray[np.int32],
                NDArray[np.uint16],
                float,
                float,
                bool,
            ]
        ],
        weights: Floats,
        k1: float,
        b: float,
        means: tuple[float, float, float],
        room: int,
        *,
        asked: Mask = None,
        spans: NDArray[np.int64] | None = None,
        fade: float = 1.0,
        date: float = 0.0,
        length_part: Floats | None = None,
        extra: Floats | None = None,
        live: Mask = None,
        mask: Mask = None,
        floor: float = 0.0,
    ) -> tuple[NDArray[np.int32], Floats]:
        n = len(self._keys)
        w = dict(zip(WEIGHTS, weights.astype(np.float64), strict=True))
        run_of = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        alive = np.ones(len(self._starts) - 1, bool) if live is None else live != 0
        own, window, named = np.zeros(n), np.zeros(n), np.zeros(n)
        run = np.zeros(len(alive))
        touched = np.zeros(len(alive), bool)

        def bm25(tf: NDArray[Any], lengths: Floats, mean: float) -> NDArray[Any]:
            norm = k1 * (1 - b + b * (lengths / mean if mean else 0 * lengths))
            with np.errstate(invalid="ignore"):
                return np.where(tf > 0, tf / (tf + norm), 0.0)

        for slots, counts, _, _, weight, run_weight, name in lists:
            tf, in_runs, around = np.zeros(n), np.zeros(len(alive)), np.zeros(n)
            kept = alive[run_of[slots]]
            tf[slots[kept]] = counts[kept]
            for slot in np.flatnonzero(tf).tolist():
                low = max(slot - self._window, self._starts[run_of[slot]])
                high = min(slot + self._window + 1, self._starts[run_of[slot] + 1])
                around[low:high] += tf[slot]
                in_runs[run_of[slot]] += tf[slot]
            touched |= in_runs > 0
            own += weight * bm25(tf, self._lengths, means[0])
            window += weight * bm25(around, self._window_lengths, means[1])
            run += run_weight * bm25(in_runs, self._run_lengths, means[2])
            if name:
                named[tf > 0] = 1.0
        both = w["dense"] + w["keyword"]
        share = w["neighbour"] / both * w["keyword"] if both else 0.0
        scores = []
        for slot in range(n):
            here = int(run_of[slot])
            total = w["keyword"] * own[slot] + w["window"] * window[slot]
            total += w["run_keyword"] * run[here]
            total += share * own[max(slot - 1, self._starts[here]) : slot].sum()
            total += share * own[slot + 1 : min(slot + 2, self._starts[here + 1])].sum()
            if length_part is not None and len(length_part):
                longest = len(length_part) - 1
                total += w["length"] * length_part[min(int(self._lengths[slot]), longest)]
            actor = self._actors[slot]
            said = named[slot] if not actor else float(asked is not None and asked[actor])
            total += w["actor"] * said
            when = int(self._event_at[slot])
            pairs = [] if spans is None else spans.reshape(-1, 2).tolist()
            fits = [1 - max(when - to + 1, 0) / fade for begin, to in pairs if when >= begin]
            total += date * max([0.0, *fits])
            if extra is not None:
                total += extra[slot]
            may = touched[here] and (mask is None or mask[slot]) and np.float32(total) > 0
            may = may and np.float32(total) >= np.float32(floor)
            scores.append(total if may else -np.inf)
        order = np.lexsort((self._keys, -np.array(scores, np.float32)))[:room]
        best = order[np.isfinite(np.array(scores)[order])] if n else order
        return best.astype(np.int32), np.array(scores, np.float32)[best]
