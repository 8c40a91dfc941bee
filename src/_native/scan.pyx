"""Scoring every memory of a segment, and the best of them.

Nothing here changes once made: ``Postings`` are read by many threads at once without any lock.
"""

from libc.stdint cimport (
    int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t,
)
from libc.stdlib cimport free, malloc

from kernels cimport (
    agm_heap, agm_heap_drain, agm_heap_offer, agm_postings, agm_postings_bm25,
    agm_postings_build, agm_postings_bytes, agm_postings_df, agm_postings_free,
)

include "buffers.pxi"
include "simd.pxi"

# Work under this many elements (a few microseconds) keeps the interpreter lock: handing it over
# and waiting to get it back can cost far more than the work.
cdef Py_ssize_t _SMALL = 32768


def dense_scores(matrix, query, out):
    """``out[i] = dot(matrix[i], query)``.

    A row's score does not depend on the other rows, and that of a float16 row is the same as
    that of the row widened to float32.

    Args:
        matrix: float32 or float16 (n, d).
        query: float32 (d,).
        out: float32 (n,), overwritten.
    """
    cdef _Buffer rows = _read(matrix, b"fe", 2, "matrix")
    cdef _Buffer vector = _read(query, b"f", 1, "query")
    cdef _Buffer target = _write(out, b"f", 1, "out")
    cdef Py_ssize_t n = rows.size(0), dim = rows.size(1)
    if vector.size(0) != dim:
        raise ValueError(f"query has {vector.size(0)} dimensions, matrix has {dim}")
    if target.size(0) != n:
        raise ValueError(f"out has {target.size(0)} entries, matrix has {n} rows")
    if rows.kind == b"e":
        if n * dim < _SMALL:
            _simd.current.scores_f16(<const uint16_t *>rows.view.buf, n, dim,
                                     <const float *>vector.view.buf, <float *>target.view.buf)
        else:
            with nogil:
                _simd.current.scores_f16(<const uint16_t *>rows.view.buf, n, dim,
                                         <const float *>vector.view.buf, <float *>target.view.buf)
    elif n * dim < _SMALL:
        _simd.current.scores_f32(<const float *>rows.view.buf, n, dim,
                                 <const float *>vector.view.buf, <float *>target.view.buf)
    else:
        with nogil:
            _simd.current.scores_f32(<const float *>rows.view.buf, n, dim,
                                     <const float *>vector.view.buf, <float *>target.view.buf)


def int8_scores(codes, query, out):
    """``out[i] = dot(codes[i], query)`` in exact integers.

    The caller multiplies by both scales (``vectors.quantize_int8``); the result approximates the
    float dot product and is meant for choosing candidates that are then scored exactly.

    Args:
        codes: int8 (n, d), d < 2**17.
        query: int8 (d,).
        out: int32 (n,), overwritten.
    """
    cdef _Buffer rows = _read(codes, b"b", 2, "codes")
    cdef _Buffer vector = _read(query, b"b", 1, "query")
    cdef _Buffer target = _write(out, b"i", 1, "out")
    cdef Py_ssize_t n = rows.size(0), dim = rows.size(1)
    if vector.size(0) != dim:
        raise ValueError(f"query has {vector.size(0)} dimensions, codes have {dim}")
    if dim >= 131072:
        raise ValueError(f"codes have {dim} dimensions; sums are exact below 131072")
    if target.size(0) != n:
        raise ValueError(f"out has {target.size(0)} entries, codes have {n} rows")
    if n * dim < 4 * _SMALL:
        _simd.current.scores_i8(<const int8_t *>rows.view.buf, n, dim,
                                <const int8_t *>vector.view.buf, <int32_t *>target.view.buf)
    else:
        with nogil:
            _simd.current.scores_i8(<const int8_t *>rows.view.buf, n, dim,
                                    <const int8_t *>vector.view.buf, <int32_t *>target.view.buf)


# Coded rows whose products are held at a time.
cdef enum:
    _BLOCK = 1024


def coded_scores(codes, scales, begins, ends, query, float factor, out):
    """What codes say of the products of several stretches of rows with a query: ``out`` has
    ``factor * scales[i] * dot(codes[i], query)`` for ``i`` from each of ``begins`` up to its one
    of ``ends``, one stretch after the other.

    Args:
        codes: int8 (n, d), d < 2**17.
        scales: float32 (n,).
        begins, ends: int64 (s,), rows.
        query: int8 (d,).
        out: float32 (rows of all stretches,), overwritten.

    Raises:
        ValueError: the arrays do not fit one another.
    """
    cdef _Buffer rows = _read(codes, b"b", 2, "codes")
    cdef _Buffer sizes = _read(scales, b"f", 1, "scales")
    cdef _Buffer first = _read(begins, b"q", 1, "begins")
    cdef _Buffer last = _read(ends, b"q", 1, "ends")
    cdef _Buffer vector = _read(query, b"b", 1, "query")
    cdef _Buffer target = _write(out, b"f", 1, "out")
    cdef Py_ssize_t n = rows.size(0), dim = rows.size(1), stretches = first.size(0), i
    cdef const int64_t *begin = <const int64_t *>first.view.buf
    cdef const int64_t *end = <const int64_t *>last.view.buf
    cdef int64_t total = 0
    if vector.size(0) != dim or dim >= 131072:
        raise ValueError(f"query has {vector.size(0)} dimensions, codes have {dim}; below 131072")
    if sizes.size(0) != n or last.size(0) != stretches:
        raise ValueError(f"{n} codes, but {sizes.size(0)} scales; {stretches} begins, but "
                         f"{last.size(0)} ends")
    for i in range(stretches):
        if not 0 <= begin[i] <= end[i] <= n:
            raise ValueError(f"rows {begin[i]} to {end[i]} do not lie in 0..{n}")
        total += end[i] - begin[i]
    if target.size(0) != total:
        raise ValueError(f"out has {target.size(0)} entries for {total} rows")
    with nogil:
        _coded_scores(<const int8_t *>rows.view.buf, <const float *>sizes.view.buf, dim, begin,
                      end, stretches, <const int8_t *>vector.view.buf, factor,
                      <float *>target.view.buf)


cdef void _coded_scores(const int8_t *codes, const float *scales, Py_ssize_t dim,
                        const int64_t *begins, const int64_t *ends, Py_ssize_t stretches,
                        const int8_t *query, float factor, float *out) noexcept nogil:
    cdef int32_t products[_BLOCK]
    cdef int64_t row, size
    cdef Py_ssize_t i
    for i in range(stretches):
        row = begins[i]
        while row < ends[i]:
            size = min(<int64_t>_BLOCK, ends[i] - row)
            _simd.current.scores_i8(codes + row * dim, size, dim, query, products)
            _simd.current.scale_products(products, scales + row, factor, size, out)
            out += size
            row += size


def top_k(scores, mask, Py_ssize_t k, threshold=None):
    """The largest scores, without sorting the rest.

    Args:
        scores: float32 (n,), n < 2**32.
        mask: uint8 or bool (n,), an entry counts where it is not 0; None for all.
        k: how many at most.
        threshold: only scores ``>= threshold``; None for all.

    Returns:
        ``(indices int64, scores float32)``, best first, equal scores by smaller index.  NaN
        ranks last, and never passes a threshold.
    """
    cdef _Buffer values = _read(scores, b"f", 1, "scores")
    cdef _Buffer allowed
    cdef const uint8_t *allow = NULL
    cdef Py_ssize_t n = values.size(0), found
    cdef bint has_threshold = threshold is not None
    cdef float bound = threshold if has_threshold else 0.0
    cdef agm_heap heap
    if mask is not None:
        allowed = _read(mask, b"B", 1, "mask")
        if allowed.size(0) != n:
            raise ValueError(f"mask has {allowed.size(0)} entries, scores have {n}")
        allow = <const uint8_t *>allowed.view.buf
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    if bound != bound:
        raise ValueError("threshold must be a number, got NaN")
    if <uint64_t>n >= <uint64_t>0xffffffff:
        raise ValueError(f"{n} scores; at most 2**32 - 2 can be ranked at once")
    heap.capacity = min(k, n)
    heap.size = 0
    heap.entries = <uint64_t *>malloc((heap.capacity + 1) * sizeof(uint64_t))
    if heap.entries is NULL:
        raise MemoryError()
    try:
        if n < _SMALL:
            agm_heap_offer(&heap, _simd.current, <const float *>values.view.buf, n, allow, 0,
                           has_threshold, bound)
        else:
            with nogil:
                agm_heap_offer(&heap, _simd.current, <const float *>values.view.buf, n, allow, 0,
                               has_threshold, bound)
        np = _numpy()
        found = heap.size
        indices = np.empty(found, np.int64)
        best = np.empty(found, np.float32)
        agm_heap_drain(&heap, <int64_t *>_write(indices, b"q", 1, "indices").view.buf,
                       <float *>_write(best, b"f", 1, "scores").view.buf)
    finally:
        free(heap.entries)
    return indices, best


cdef class Postings:
    """Which documents have which term, of one immutable segment.

    Args:
        offsets, terms, counts, lengths: a ``types.TermBatch`` of n documents, in CSR form; a
            document's terms are distinct.  They are copied.

    Raises:
        ValueError: the arrays do not fit one another.
    """

    cdef agm_postings _self

    def __cinit__(self, offsets, terms, counts, lengths):
        cdef _Buffer ends = _read(offsets, b"q", 1, "offsets")
        cdef _Buffer hashes = _read(terms, b"Q", 1, "terms")
        cdef _Buffer times = _read(counts, b"H", 1, "counts")
        cdef _Buffer words = _read(lengths, b"I", 1, "lengths")
        cdef Py_ssize_t n = words.size(0), i
        cdef const int64_t *end = <const int64_t *>ends.view.buf
        cdef int status
        if ends.size(0) != n + 1:
            raise ValueError(f"offsets must have {n + 1} entries for {n} lengths, "
                             f"got {ends.size(0)}")
        if times.size(0) != hashes.size(0):
            raise ValueError(f"{hashes.size(0)} terms, but {times.size(0)} counts")
        if n >= 0x7fffffff or hashes.size(0) >= 0x7fffffff:
            raise ValueError(f"a segment of {n} documents and {hashes.size(0)} postings is too "
                             "large; both must stay below 2**31")
        if end[0] != 0 or end[n] != hashes.size(0):
            raise ValueError(f"offsets must run from 0 to {hashes.size(0)}, the number of terms")
        for i in range(n):
            if end[i] > end[i + 1]:
                raise ValueError(f"offsets must not descend, but {end[i + 1]} follows {end[i]}")
        with nogil:
            status = agm_postings_build(&self._self, n, end, <const uint64_t *>hashes.view.buf,
                                        <const uint16_t *>times.view.buf,
                                        <const uint32_t *>words.view.buf)
        if status != 0:
            raise MemoryError(f"no memory for the postings of {n} documents")

    def __dealloc__(self):
        agm_postings_free(&self._self)

    def __len__(self):
        """Documents."""
        return self._self.documents

    @property
    def nbytes(self):
        """Memory held, in bytes."""
        return agm_postings_bytes(&self._self)

    @property
    def _address(self):
        """Of the C structure, for other modules of this package; it lives as long as this."""
        return <uintptr_t>&self._self

    def df(self, terms, live=None):
        """Documents that have each term, int64 (q,).

        Args:
            terms: uint64 (q,).
            live: uint8 or bool (n,), a document counts where it is not 0; None for all.
        """
        cdef _Buffer wanted = _read(terms, b"Q", 1, "terms")
        cdef _Buffer alive
        cdef const uint8_t *keep = NULL
        cdef Py_ssize_t q = wanted.size(0)
        if live is not None:
            alive = _read(live, b"B", 1, "live")
            if alive.size(0) != <Py_ssize_t>self._self.documents:
                raise ValueError(f"live has {alive.size(0)} entries for "
                                 f"{self._self.documents} documents")
            keep = <const uint8_t *>alive.view.buf
        out = _numpy().empty(q, "i8")
        cdef _Buffer target = _write(out, b"q", 1, "out")
        agm_postings_df(&self._self, <const uint64_t *>wanted.view.buf, q, keep,
                        <int64_t *>target.view.buf)
        return out

    def bm25(self, terms, weights, float k1, float b, float avg_length, out):
        """Keyword scores (Robertson and Zaragoza 2009, equation 3.15).

        ``out[i]`` is the sum over the query's terms that document i has of
        ``weight * count * (k1 + 1) / (count + k1 * (1 - b + b * length / avg_length))``, so it
        stays below ``(k1 + 1) * sum(weights)``.

        Args:
            terms: uint64 (q,).
            weights: float32 (q,), inverse document frequency times occurrences in the query.
            k1, b: saturation (>= 0) and length normalisation (0..1).
            avg_length: mean of the lengths of all documents searched, those of other segments
                too; 0 only where there is no word at all.
            out: float32 (n,), overwritten.
        """
        cdef _Buffer wanted = _read(terms, b"Q", 1, "terms")
        cdef _Buffer factors = _read(weights, b"f", 1, "weights")
        cdef _Buffer target = _write(out, b"f", 1, "out")
        cdef Py_ssize_t q = wanted.size(0)
        if factors.size(0) != q:
            raise ValueError(f"{q} terms, but {factors.size(0)} weights")
        if target.size(0) != <Py_ssize_t>self._self.documents:
            raise ValueError(f"out has {target.size(0)} entries for "
                             f"{self._self.documents} documents")
        if not (0 <= k1 < 1e30) or not 0 <= b <= 1:
            raise ValueError(f"k1 must be >= 0 and b in 0..1, got {k1} and {b}")
        if not 0 <= avg_length < 1e30:
            raise ValueError(f"avg_length must be finite and >= 0, got {avg_length}")
        with nogil:
            agm_postings_bm25(&self._self, <const uint64_t *>wanted.view.buf,
                              <const float *>factors.view.buf, q, k1, b, avg_length,
                              <float *>target.view.buf)
