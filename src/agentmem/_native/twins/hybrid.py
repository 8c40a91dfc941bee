"""Hybrid scores of a partition in the order of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem._native.twins.kinds import Floats, Mask
from agentmem._native.twins.scan import Postings, top_k

__all__ = ["WEIGHTS", "Conversation"]


class Conversation:
    """Everything in float64 and by whole matrices: term counts of texts, windows and runs."""

    def __init__(
        self,
        parts: list[tuple[Floats, Postings, NDArray[np.int32], Any, Any, Any]],
        starts: NDArray[np.int32],
        length_part: Floats,
        actors: NDArray[np.int32],
        n_actors: int,
        window: int,
        means: tuple[float, float, float] | None = None,
    ) -> None:
        self._means = means
        self._parts, self._starts, self._actors = parts, starts, actors
        self._length_part = length_part
        self._run_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        slots = np.arange(len(length_part))
        same = self._run_of[:, None] == self._run_of[None, :]
        apart = np.abs(slots[:, None] - slots[None, :])
        self._windows = (same & (apart <= window)).astype(np.float64)
        self._beside = (same & (apart == 1)).astype(np.float64)
        self._runs = (np.arange(len(starts) - 1)[:, None] == self._run_of).astype(np.float64)
        self._lengths = np.zeros(len(slots))
        for _, postings, places, *_ in parts:
            live = places >= 0
            self._lengths[places[live]] = postings._lengths[live]

    @property
    def rows(self) -> int:
        return sum(len(places) for _, _, places, *_ in self._parts)

    @property
    def work_size(self) -> int:
        return 4 * len(self._lengths) + 2 * len(self._runs)

    def score(
        self,
        vector: Floats,
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        names: Mask,
        asked: Mask,
        extra: Floats | None,
        weights: Floats,
        k1: float,
        b: float,
        work: Floats,
        out: Floats,
        whole: tuple[int, int, NDArray[np.int32], NDArray[np.int32]] | None = None,
    ) -> None:
        dense = np.zeros(len(self._lengths))
        found = np.zeros((len(terms), len(self._lengths)))
        for matrix, postings, places, *_ in self._parts:
            live = places >= 0
            dense[places[live]] = (matrix.astype(np.float64) @ vector.astype(np.float64))[live]
            for i, term in enumerate(terms):
                has = postings._terms == term
                docs, times = postings._docs[has], postings._counts[has]
                found[i, places[docs[live[docs]]]] = times[live[docs]]

        def bm25(
            level: int, tf: NDArray[Any], lengths: NDArray[Any], idf: NDArray[Any]
        ) -> NDArray[Any]:
            mean = lengths.mean() if len(lengths) else 0.0
            if self._means is not None:
                mean = self._means[level]
            norm = k1 * (1 - b + b * (lengths / mean if mean else 0 * lengths))
            with np.errstate(invalid="ignore"):
                sums = (counts * idf) @ np.where(tf > 0, tf / (tf + norm), 0.0)
            return np.asarray(sums / (counts * idf).sum() if len(terms) else sums)

        in_runs = found @ self._runs.T
        n, n_runs = len(dense), len(self._runs)
        df, run_df = (found > 0).sum(axis=1), (in_runs > 0).sum(axis=1)
        if whole is not None:
            n, n_runs, df, run_df = whole[0], whole[1], whole[2], whole[3]
        idf = np.log1p((n - df + 0.5) / (df + 0.5))
        run_idf = np.log1p((n_runs - run_df + 0.5) / (run_df + 0.5))
        own = bm25(0, found, self._lengths, idf)
        window = bm25(1, found @ self._windows, self._windows @ self._lengths, idf)
        run = bm25(2, in_runs, self._runs @ self._lengths, run_idf)
        named = np.zeros(len(dense))
        if names is not None:
            familiar = df * 10 >= n
            named = (found[(names != 0) & familiar] > 0).any(axis=0).astype(np.float64)
        best = np.array([dense[r > 0].max() for r in self._runs])
        w = dict(zip(WEIGHTS, weights.astype(np.float64), strict=True))
        mine = w["dense"] * dense + w["keyword"] * own
        both = w["dense"] + w["keyword"]
        said = np.zeros(len(dense)) if asked is None else asked[self._actors].astype(np.float64)
        total = mine + w["window"] * window + w["length"] * self._length_part
        total += (w["neighbour"] / both if both else 0.0) * (self._beside @ mine)
        total += w["actor"] * np.where(self._actors == 0, named, said)
        if len(best):
            total += (w["run_keyword"] * run + w["run_dense"] * best)[self._run_of]
        if extra is not None:
            total += extra
        work[: self.work_size] = np.concatenate([dense, own, window, named, run, best])
        places = np.concatenate([part[2] for part in self._parts] or [np.zeros(0, int)])
        out[:] = 0
        out[places >= 0] = total[places[places >= 0]]

    def best(
        self,
        vector: Floats,
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        names: Mask,
        asked: Mask,
        extra: Floats | None,
        weights: Floats,
        k1: float,
        b: float,
        work: Floats,
        masks: Sequence[Mask],
        k: int,
        threshold: float | None = None,
    ) -> tuple[list[int], list[float], list[int]]:
        out = np.empty(self.rows, np.float32)
        self.score(vector, terms, counts, names, asked, extra, weights, k1, b, work, out)
        found = []
        for part, mask in zip(self._parts, masks, strict=True):
            keys, seqs, mine = part[3], part[4], out[: len(part[3])]
            out = out[len(keys) :]
            rows, scores = top_k(mine, mask, len(keys), threshold)
            chosen = (scores.tolist(), keys[rows].tolist(), seqs[rows].tolist())
            found += [(-score, key, seq) for score, key, seq in zip(*chosen, strict=True)]
        found = sorted(found)[:k]
        return [f[1] for f in found], [-f[0] for f in found], [f[2] for f in found]


WEIGHTS = (
    "dense",
    "keyword",
    "window",
    "neighbour",
    "run_keyword",
    "run_dense",
    "actor",
    "length",
)
