"""Moving a store to another embedding model while it serves, or to another analyzer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentmem.ports import Analyzer, Embedder, Progress, Store

__all__ = ["move_to_analyzer", "move_to_model"]

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


def move_to_analyzer(store: Store, analyzer: Analyzer, progress: Progress | None = None) -> int:
    """Make the keywords of every memory anew.

    Nobody can use the store meanwhile: keywords of two recipes do not meet.  An interrupted move
    goes on where it stopped.

    Args:
        store: opened without a model.

    Returns:
        How many memories were done now.
    """
    with store.write() as tx:
        after = tx.begin_terms(analyzer.recipe)
    done = 0
    while True:
        with store.read() as snapshot:
            texts = snapshot.texts(after, _CHUNK)
            total = snapshot.stats()["memories"]
        with store.write() as tx:
            if not texts:
                tx.finish_terms(analyzer.recipe)
                return done
            keys = [key for key, _ in texts]
            tx.replace_terms(keys, analyzer.analyze([content for _, content in texts]))
        after = keys[-1]
        done += len(keys)
        if progress is not None:
            progress(done, max(done, total))


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
