"""A static table distilled from a transformer: one vector a token, no network at run time.

Each token goes through the single-precision model between [CLS] and [SEP]; its row is the
mean of the pooled output and of the output at its own place.  Rows are projected onto the
256 directions that carry most of their energy (not centred: centring cost 5 points of
recall), and weighted by how rare the token is, with the smooth inverse frequency
``a / (a + p)`` of Arora et al. (2017).  No frequencies are at hand, but BERT's vocabulary
is ordered by them, so p follows Zipf's law by rank.

A text's vector is then the sum of its tokens' rows, normalised.  Weights are folded into
the rows; special and unused tokens have zero rows, so it makes no difference whether the
tokenizer adds them.

The projection is shipped (``data/static-projection.npy``), because eigenvectors of close
eigenvalues would turn from machine to machine and vectors must be interchangeable.
"""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agentmem.errors import ModelCorruptError
from agentmem.models import graph
from agentmem.models.architecture import read_json
from agentmem.models.registry import STATIC_DIM, data_bytes
from agentmem.models.runtime import session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from agentmem.models.architecture import Architecture
    from agentmem.models.build import Report

    Floats = NDArray[np.float32]

__all__ = ["distil", "find_projection", "rarity", "token_outputs", "vocabulary"]

#: ``a`` of the smooth inverse frequency; the value its authors recommend.
SMOOTHING = 1e-3

#: Ranks of the single characters that precede the words in BERT's vocabulary, where they
#: stand in code-point order: ASCII punctuation, letters, digits, and all others.
_CHARACTER_RANKS = (1, 10, 300, 5000)

_BATCH = 256


def distil(
    arch: Architecture, weights: Mapping[str, Floats], tokenizer: Path, report: Report
) -> NDArray[np.float16]:
    """The table, ``(vocab, 256)`` float16."""
    tokens = vocabulary(tokenizer, arch.vocab)
    rows = token_outputs(arch, weights, tokens, report)
    table: Floats = rows @ projection() * rarity(tokens)[:, None]
    return table.astype(np.float16)


def projection() -> Floats:
    """The shipped projection, ``(hidden, 256)``."""
    shipped: NDArray[np.float16] = np.load(io.BytesIO(data_bytes("static-projection.npy")))
    return shipped.astype(np.float32)


def find_projection(rows: Floats, dim: int = STATIC_DIM) -> Floats:
    """The ``dim`` right singular vectors of ``rows`` (n, hidden) with the largest singular
    values, ``(hidden, dim)``, each with its largest component positive."""
    wide = rows.astype(np.float64)
    _, vectors = np.linalg.eigh(wide.T @ wide)
    top = vectors[:, ::-1][:, :dim]
    largest = np.take_along_axis(top, np.abs(top).argmax(axis=0)[None, :], axis=0)
    found: Floats = (top * np.sign(largest)).astype(np.float32)
    return found


def vocabulary(tokenizer: Path, size: int) -> list[str]:
    """Tokens by id; an id without a token is an empty string.

    Raises:
        ModelCorruptError: the file holds no vocabulary, or one of another size.
    """
    model = read_json(tokenizer).get("model")
    words = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(words, dict) or not words or max(words.values()) >= size:
        raise ModelCorruptError(f"{tokenizer} has no vocabulary of {size} tokens")
    tokens = [""] * size
    for word, index in words.items():
        tokens[index] = word
    return tokens


def _is_text(token: str) -> bool:
    return bool(token) and not (token.startswith("[") and token.endswith("]") and len(token) > 2)


def token_outputs(
    arch: Architecture, weights: Mapping[str, Floats], tokens: Sequence[str], report: Report
) -> Floats:
    """Mean of the pooled output and the output at the token's place, ``(vocab, hidden)``;
    zeros for special and unused tokens."""
    run = session(graph.build(arch, dict(weights), graph.Products()).SerializeToString())
    first, last = tokens.index("[CLS]"), tokens.index("[SEP]")
    wanted = np.array([i for i, token in enumerate(tokens) if _is_text(token)], np.int64)
    rows = np.zeros((len(tokens), arch.hidden), np.float32)
    for start in range(0, len(wanted), _BATCH):
        some = wanted[start : start + _BATCH]
        ids = np.full((len(some), 3), first, np.int64)
        ids[:, 1], ids[:, 2] = some, last
        (hidden,) = run.run(
            ["last_hidden_state"], {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        )
        rows[some] = (hidden.mean(axis=1) + hidden[:, 1]) / 2
        report("distil", start + len(some), len(wanted))
    return rows


def rarity(tokens: Sequence[str]) -> Floats:
    """Weight of each token between 0 (special) and nearly 1 (rare), ``(vocab,)``."""
    words = tokens.index("the")  # the most frequent word begins the ordered part
    ranks = np.zeros(len(tokens))
    ranks[words:] = np.arange(1, len(tokens) - words + 1)
    for index, token in enumerate(tokens[:words]):
        if _is_text(token):
            ranks[index] = _CHARACTER_RANKS[_character_class(token)]
    harmonic = (1 / np.arange(1, len(tokens) - words + 1)).sum()
    p = 1 / (np.maximum(ranks, 1) * harmonic)
    return np.where(ranks > 0, SMOOTHING / (SMOOTHING + p), 0).astype(np.float32)


def _character_class(token: str) -> int:
    if ord(token[0]) >= 128:
        return 3
    kind = unicodedata.category(token[0])[0]
    return {"L": 1, "N": 2}.get(kind, 0)
