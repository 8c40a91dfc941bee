"""What each kernel computes, in NumPy and plain Python.

Same names, arguments and results as the compiled modules, for tests that compare the two and
for benchmarks that show what compiling gains.  Written to be read: where a docstring of a kernel
leaves a doubt, this is the answer.
"""

from __future__ import annotations

from agentmem._native.twins.answers import copies, hits, keys_of, match
from agentmem._native.twins.arrow import (
    fixed_binary,
    fixed_list,
    float32,
    float64,
    int32,
    int64,
    record_batch,
    timestamp,
    utf8,
    utf8_at,
    utf8_parts,
)
from agentmem._native.twins.batching import Batches, flatten, make_batches
from agentmem._native.twins.gather import gather
from agentmem._native.twins.hashing import hash_texts
from agentmem._native.twins.hybrid import WEIGHTS, Conversation
from agentmem._native.twins.lexical import TermMemo, count_terms, fold, words_of
from agentmem._native.twins.scan import Postings, coded_scores, dense_scores, int8_scores, top_k
from agentmem._native.twins.vectors import (
    dequantize_int8,
    from_f16,
    mean_pool,
    normalize,
    pool_table,
    quantize_int8,
    rotate,
    to_f16,
    top_k_dot,
    unit,
)
from agentmem._native.twins.volume import Texts, invert

__all__ = [
    "WEIGHTS",
    "Batches",
    "Conversation",
    "Postings",
    "TermMemo",
    "Texts",
    "coded_scores",
    "copies",
    "count_terms",
    "dense_scores",
    "dequantize_int8",
    "fixed_binary",
    "fixed_list",
    "flatten",
    "float32",
    "float64",
    "fold",
    "from_f16",
    "gather",
    "hash_texts",
    "hits",
    "int8_scores",
    "int32",
    "int64",
    "invert",
    "keys_of",
    "make_batches",
    "match",
    "mean_pool",
    "normalize",
    "pool_table",
    "quantize_int8",
    "record_batch",
    "rotate",
    "timestamp",
    "to_f16",
    "top_k",
    "top_k_dot",
    "unit",
    "utf8",
    "utf8_at",
    "utf8_parts",
    "words_of",
]
