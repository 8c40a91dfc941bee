"""Moving a store to another embedding model, chunk by chunk, while it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentmem.ports import Embedder, Progress, Store

__all__ = ["move_to_model"]

_CHUNK = 512  # memories embedded and committed at a time: what an interruption loses at most


def move_to_model(store: Store, embedder: Embedder, progress: Progress | None = None) -> int:
    """Give every memory a vector of ``embedder`` and make it the store's model.

    Searches go on with the old vectors until the last commit swaps them; memories written
    meanwhile are taken along.  An interrupted move resumes where it stopped.  A vector that a
    caller gave belongs to the old model's space, so it is replaced as well.

    Args:
        store: opened without a model.

    Returns:
        How many memories were embedded now.
    """
    with store.write() as tx:
        tx.begin_reembed(embedder.model_id, embedder.dim)
    with store.read() as snapshot:
        total = snapshot.reembed_remaining()
    done = 0
    while True:
        for count in _embed_pending(store, embedder):
            done += count
            if progress is not None:
                progress(done, max(done, total))
        # What other processes wrote meanwhile is pending again: the lock decides.
        with store.write() as tx:
            if not tx.view.reembed_pending(0, 1):
                tx.finish_reembed()
                return done


def _embed_pending(store: Store, embedder: Embedder) -> Iterator[int]:
    """One pass over the memories without a next vector; yields after each chunk."""
    after = 0
    while True:
        with store.read() as snapshot:
            pending = snapshot.reembed_pending(after, _CHUNK)
        if not pending:
            return
        vectors = embedder.embed([content for _, _, content in pending])
        with store.write() as tx:
            tx.put_next_vectors([(key, seq) for key, seq, _ in pending], vectors)
        after = pending[-1][0]
        yield len(pending)
