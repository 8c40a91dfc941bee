"""Clusters of vectors: every vector in one of them, and the nearest found by looking into few."""

from __future__ import annotations

import numpy as np
import pytest

from agentmem._native import vectors
from agentmem.index.clusters import PROBED, Clusters, cluster, coded


def grouped(n: int, dim: int = 32, seed: int = 3) -> np.ndarray:
    """Unit vectors around 60 directions, as float16."""
    chance = np.random.default_rng(seed)
    rows = 3 * chance.standard_normal((60, dim), np.float32)[chance.integers(0, 60, n)]
    rows += chance.standard_normal((n, dim), np.float32)
    vectors.normalize(rows)
    return rows.astype(np.float16)


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    return grouped(12_000)


@pytest.fixture(scope="module")
def clusters(matrix: np.ndarray) -> Clusters:
    centroids, starts, ranks = cluster(matrix)
    codes, scales = zip(*coded(matrix, ranks), strict=True)
    return Clusters(centroids, starts, ranks, np.concatenate(scales), np.concatenate(codes))


def nearest(matrix: np.ndarray, query: np.ndarray, k: int) -> set[int]:
    return set(np.argsort(-(matrix.astype(np.float32) @ query))[:k].tolist())


def test_every_vector_is_in_one_cluster(matrix: np.ndarray, clusters: Clusters) -> None:
    assert sorted(clusters.ranks.tolist()) == list(range(len(matrix)))
    assert clusters.starts[0] == 0
    assert clusters.starts[-1] == len(matrix)
    assert np.all(np.diff(clusters.starts) >= 0)
    closeness = matrix.astype(np.float32) @ clusters.centroids.T
    of = np.repeat(np.arange(len(clusters.centroids)), np.diff(clusters.starts))
    assert np.mean(closeness.argmax(axis=1)[clusters.ranks] == of) > 0.999  # but for rounding


def test_few_clusters_hold_the_nearest(matrix: np.ndarray, clusters: Clusters) -> None:
    queries = grouped(50, seed=4).astype(np.float32)
    found = [
        len(nearest(matrix, q, 10) & set(clusters.near(q, None, 64, PROBED["hybrid"]).tolist()))
        / 10
        for q in queries
    ]
    assert np.mean(found) >= 0.95


def test_all_clusters_hold_all_of_the_nearest(matrix: np.ndarray, clusters: Clusters) -> None:
    for query in grouped(20, seed=5).astype(np.float32):
        assert nearest(matrix, query, 10) <= set(clusters.near(query, None, 64, 1.0).tolist())


def test_a_mask_hides(matrix: np.ndarray, clusters: Clusters) -> None:
    mask = (np.arange(len(matrix)) % 3 == 0).astype(np.uint8)
    query = grouped(1, seed=6)[0].astype(np.float32)
    found = clusters.near(query, mask, 64, 1.0)
    assert len(found)
    assert np.all(found % 3 == 0)
    rows = np.flatnonzero(mask)
    assert {int(rows[i]) for i in nearest(matrix[rows], query, 10)} <= set(found.tolist())


def test_the_same_vectors_make_the_same_clusters(matrix: np.ndarray) -> None:
    for one, other in zip(cluster(matrix[:3_000]), cluster(matrix[:3_000].copy()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fewer_directions_than_clusters() -> None:
    """Equal vectors leave clusters empty, which harms nothing."""
    rows = np.repeat(np.eye(3, 8, dtype=np.float16), 100, axis=0)
    centroids, starts, ranks = cluster(rows)
    assert len(ranks) == starts[-1] == 300
    assert np.isfinite(centroids).all()
