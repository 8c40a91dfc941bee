"""Pooling, normalisation, number formats and nearest rows, over float32 and float16 arrays.

Arrays must be C-contiguous and of the dtype named.  NaN and infinities are never an error here:
each function says what becomes of them, and the caller decides.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from kernels cimport agm_heap, agm_heap_drain, agm_heap_offer, agm_kernels, agm_rotate

include "buffers.pxi"
include "simd.pxi"

# Work under this many elements (a few microseconds) keeps the interpreter lock: handing it over
# and waiting to get it back can cost far more than the work.
cdef Py_ssize_t _SMALL = 32768


cdef void _mean_rows(const agm_kernels *simd, const float *hidden, Py_ssize_t rows, Py_ssize_t width,
                     Py_ssize_t dim, const int64_t *mask, bint by_length, int32_t *picked,
                     float *out) noexcept nogil:
    cdef Py_ssize_t i, t, count, length
    for i in range(rows):
        count = 0
        if by_length:
            length = min(max(mask[i], 0), width)
            for t in range(length):
                picked[t] = <int32_t>t
            count = length
        else:
            for t in range(width):
                if mask[i * width + t] != 0:
                    picked[count] = <int32_t>t
                    count += 1
        simd.pool_f32(hidden + i * width * dim, dim, NULL, picked, count, out + i * dim)


def mean_pool(hidden, mask, out=None):
    """Mean over the tokens of each text that its mask keeps.

    A text's mean is summed token by token, so it is the same in any batch and at any padding.

    Args:
        hidden: float32 (b, L, d), a model's last hidden states.
        mask: int64 (b, L), a token counts where it is not 0; or int64 (b,), the number of
            leading tokens that count.
        out: float32 (b, d) to write into; made when None.

    Returns:
        ``out``.  A text without any token is a zero row.
    """
    cdef _Buffer states = _read(hidden, b"f", 3, "hidden")
    cdef bint by_length = getattr(mask, "ndim", 2) == 1
    cdef _Buffer kept = _read(mask, b"q", 1 if by_length else 2, "mask")
    cdef Py_ssize_t rows = states.size(0), width = states.size(1), dim = states.size(2)
    cdef _Buffer target
    cdef int32_t *picked
    if kept.size(0) != rows or (not by_length and kept.size(1) != width):
        raise ValueError(f"mask of shape {mask.shape} does not fit hidden of shape {hidden.shape}")
    if out is None:
        out = _numpy().empty((rows, dim), "f4")
    target = _write(out, b"f", 2, "out")
    if target.size(0) != rows or target.size(1) != dim:
        raise ValueError(f"out must be of shape {(rows, dim)}, got {out.shape}")
    picked = <int32_t *>malloc((width + 1) * sizeof(int32_t))
    if picked is NULL:
        raise MemoryError()
    if rows * width * dim < _SMALL:
        _mean_rows(_simd.current, <const float *>states.view.buf, rows, width, dim,
                   <const int64_t *>kept.view.buf, by_length, picked, <float *>target.view.buf)
    else:
        with nogil:
            _mean_rows(_simd.current, <const float *>states.view.buf, rows, width, dim,
                       <const int64_t *>kept.view.buf, by_length, picked,
                       <float *>target.view.buf)
    free(picked)
    return out


def normalize(x):
    """Divide each row by its L2 norm, in place.

    Args:
        x: float32 (n, d), writable.

    Returns:
        The norms, float32 (n,).  A zero row stays zero (norm 0), and one whose norm is 1, up to
        1e-6, as it is (norm 1).  A row with NaN or infinity, or whose norm exceeds float32, becomes
        all-NaN; its norm is not finite.
    """
    cdef _Buffer rows = _write(x, b"f", 2, "x")
    cdef Py_ssize_t n = rows.size(0), dim = rows.size(1)
    norms = _numpy().empty(n, "f4")
    cdef _Buffer lengths = _write(norms, b"f", 1, "norms")
    if n * dim < _SMALL:
        _simd.current.normalize(<float *>rows.view.buf, n, dim, <float *>lengths.view.buf)
    else:
        with nogil:
            _simd.current.normalize(<float *>rows.view.buf, n, dim, <float *>lengths.view.buf)
    return norms


cdef inline Py_ssize_t _total(_Buffer buffer) noexcept nogil:
    return buffer.view.len // buffer.view.itemsize


def to_f16(x):
    """float32 of any shape to float16, to nearest even; what is too large becomes infinity."""
    cdef _Buffer source = _read(x, b"f", getattr(x, "ndim", 1), "x")
    out = _numpy().empty(x.shape, "f2")
    cdef _Buffer target = _write(out, b"e", out.ndim, "out")
    with nogil:
        _simd.current.to_f16(<const float *>source.view.buf, _total(source),
                             <uint16_t *>target.view.buf)
    return out


def from_f16(x):
    """float16 of any shape to float32, exactly."""
    cdef _Buffer source = _read(x, b"e", getattr(x, "ndim", 1), "x")
    out = _numpy().empty(x.shape, "f4")
    cdef _Buffer target = _write(out, b"f", out.ndim, "out")
    with nogil:
        _simd.current.from_f16(<const uint16_t *>source.view.buf, _total(source),
                               <float *>target.view.buf)
    return out


def quantize_int8(x):
    """Symmetric 8-bit codes with one scale a row.

    ``scale = max|row| / 127`` and ``code = round(row * 127 / max|row|)``, to nearest even, in
    float32; the same bits on every instruction set.

    Args:
        x: float32 (n, d).

    Returns:
        ``(codes int8 (n, d) in -127..127, scales float32 (n,))``.  A row whose largest magnitude
        is under 1e-30 is zeros with scale 0; one with NaN or infinity is zeros with scale NaN.
    """
    cdef _Buffer rows = _read(x, b"f", 2, "x")
    np = _numpy()
    codes = np.empty(x.shape, np.int8)
    scales = np.empty(rows.size(0), np.float32)
    cdef _Buffer code_out = _write(codes, b"b", 2, "codes")
    cdef _Buffer scale_out = _write(scales, b"f", 1, "scales")
    with nogil:
        _simd.current.quantize(<const float *>rows.view.buf, rows.size(0), rows.size(1),
                               <int8_t *>code_out.view.buf, <float *>scale_out.view.buf)
    return codes, scales


def dequantize_int8(codes, scales):
    """``codes * scales[:, None]`` as float32 (n, d).

    Args:
        codes: int8 (n, d).
        scales: float32 (n,).
    """
    cdef _Buffer code_in = _read(codes, b"b", 2, "codes")
    cdef _Buffer scale_in = _read(scales, b"f", 1, "scales")
    if code_in.size(0) != scale_in.size(0):
        raise ValueError(f"{code_in.size(0)} rows of codes, but {scale_in.size(0)} scales")
    out = _numpy().empty(codes.shape, "f4")
    cdef _Buffer target = _write(out, b"f", 2, "out")
    with nogil:
        _simd.current.dequantize(<const int8_t *>code_in.view.buf, <const float *>scale_in.view.buf,
                                 code_in.size(0), code_in.size(1), <float *>target.view.buf)
    return out


def unit(vector, Py_ssize_t dim):
    """``vector`` (float32 (dim,)) divided by its norm, as a new array (1, dim); None if it is
    anything else, or its norm is no positive finite number."""
    cdef _Buffer given, target
    cdef float norm = 0
    try:
        given = _read(vector, b"f", 1, "vector")
    except (TypeError, ValueError):
        return None
    if given.size(0) != dim:
        return None
    out = _numpy().empty((1, dim), "f4")
    target = _write(out, b"f", 2, "out")
    memcpy(target.view.buf, given.view.buf, dim * sizeof(float))
    _simd.current.normalize(<float *>target.view.buf, 1, dim, &norm)
    # A norm below it is for whoever computes with float64; a NaN compares false.
    return out if 1e-18 < norm < 3.4e38 else None


def rotate(x):
    """Multiply each row of ``x`` (float32 (n, d), in place) by one fixed orthogonal matrix.

    Dot products stay as they are, up to rounding.  What a few large components hold is spread over
    all, so that ``quantize_int8``, whose steps are a share of the largest, errs less.
    """
    cdef _Buffer rows = _write(x, b"f", 2, "x")
    with nogil:
        agm_rotate(<float *>rows.view.buf, rows.size(0), rows.size(1))


# Scores are made and sieved in blocks that stay in the first-level cache.
cdef enum:
    BLOCK = 1024


cdef void _nearest(const agm_kernels *simd, const void *matrix, bint half, Py_ssize_t n,
                   Py_ssize_t dim, const float *query, agm_heap *heap, int64_t *indices,
                   float *scores) noexcept nogil:
    cdef float block[BLOCK]
    cdef Py_ssize_t start = 0, count
    while start < n:
        count = min(<Py_ssize_t>BLOCK, n - start)
        if half:
            simd.scores_f16(<const uint16_t *>matrix + start * dim, count, dim, query, block)
        else:
            simd.scores_f32(<const float *>matrix + start * dim, count, dim, query, block)
        agm_heap_offer(heap, simd, block, count, NULL, <uint32_t>start, False, 0.0)
        start += count
    agm_heap_drain(heap, indices, scores)


def top_k_dot(matrix, query, Py_ssize_t k):
    """The rows with the largest dot products.

    Args:
        matrix: float32 or float16 (n, d), n < 2**32.
        query: float32 (d,).
        k: how many, at least 0; the answer has ``min(k, n)``.

    Returns:
        ``(indices int64, scores float32)``, best first, equal scores by smaller index, NaN last.
    """
    cdef _Buffer rows = _read(matrix, b"fe", 2, "matrix")
    cdef _Buffer vector = _read(query, b"f", 1, "query")
    cdef Py_ssize_t n = rows.size(0), dim = rows.size(1)
    cdef agm_heap heap
    if vector.size(0) != dim:
        raise ValueError(f"query has {vector.size(0)} dimensions, matrix has {dim}")
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    if <uint64_t>n >= <uint64_t>0xffffffff:
        raise ValueError(f"matrix has {n} rows; at most 2**32 - 2 can be searched at once")
    np = _numpy()
    k = min(k, n)
    indices = np.empty(k, np.int64)
    scores = np.empty(k, np.float32)
    cdef _Buffer index_out = _write(indices, b"q", 1, "indices")
    cdef _Buffer score_out = _write(scores, b"f", 1, "scores")
    heap.capacity = k
    heap.size = 0
    heap.entries = <uint64_t *>malloc((k + 1) * sizeof(uint64_t))
    if heap.entries is NULL:
        raise MemoryError()
    if n * dim < _SMALL:
        _nearest(_simd.current, rows.view.buf, rows.kind == b"e", n, dim,
                 <const float *>vector.view.buf, &heap, <int64_t *>index_out.view.buf,
                 <float *>score_out.view.buf)
    else:
        with nogil:
            _nearest(_simd.current, rows.view.buf, rows.kind == b"e", n, dim,
                     <const float *>vector.view.buf, &heap, <int64_t *>index_out.view.buf,
                     <float *>score_out.view.buf)
    free(heap.entries)
    return indices, scores


cdef Py_ssize_t _check_flat(const int32_t *flat, Py_ssize_t total, const int64_t *offsets,
                            Py_ssize_t n, Py_ssize_t vocabulary) noexcept nogil:
    """-1 when sound, -2 for bad offsets, else the position of an id outside the table."""
    cdef Py_ssize_t i
    if offsets[0] != 0 or offsets[n] != total:
        return -2
    for i in range(n):
        if offsets[i] > offsets[i + 1]:
            return -2
    for i in range(total):
        if flat[i] < 0 or flat[i] >= vocabulary:
            return i
    return -1


cdef void _pool_texts(const agm_kernels *simd, const void *table, bint half, Py_ssize_t dim,
                      const float *weights, const int32_t *flat, const int64_t *offsets,
                      Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if half:
            simd.pool_f16(<const uint16_t *>table, dim, weights, flat + offsets[i],
                          offsets[i + 1] - offsets[i], out + i * dim)
        else:
            simd.pool_f32(<const float *>table, dim, weights, flat + offsets[i],
                          offsets[i + 1] - offsets[i], out + i * dim)


def pool_table(table, weights, flat, offsets):
    """Weighted means of a token table's rows: the whole forward pass of a static model.

    Args:
        table: float32 or float16 (vocabulary, d).
        weights: float32 (vocabulary,), or None for all one.
        flat, offsets: int32 (total,) and int64 (n + 1,), as ``batching.flatten`` makes them.

    Returns:
        float32 (n, d): ``sum(w * row) / sum(w)`` over the tokens of each text, summed in their
        order, not normalised.  No token, or weights that sum to zero, give a zero row.

    Raises:
        IndexError: a token id is outside the table.
        ValueError: ``offsets`` do not ascend from 0 to ``len(flat)``.
    """
    cdef _Buffer rows = _read(table, b"fe", 2, "table")
    cdef _Buffer ids = _read(flat, b"i", 1, "flat")
    cdef _Buffer ends = _read(offsets, b"q", 1, "offsets")
    cdef _Buffer factors
    cdef const float *factor = NULL
    cdef Py_ssize_t n = ends.size(0) - 1, dim = rows.size(1), bad
    if weights is not None:
        factors = _read(weights, b"f", 1, "weights")
        if factors.size(0) != rows.size(0):
            raise ValueError(f"{factors.size(0)} weights for {rows.size(0)} rows of the table")
        factor = <const float *>factors.view.buf
    if n < 0:
        raise ValueError("offsets must have n + 1 entries, got none")
    out = _numpy().empty((n, dim), "f4")
    cdef _Buffer target = _write(out, b"f", 2, "out")
    with nogil:
        bad = _check_flat(<const int32_t *>ids.view.buf, ids.size(0),
                          <const int64_t *>ends.view.buf, n, rows.size(0))
        if bad == -1:
            _pool_texts(_simd.current, rows.view.buf, rows.kind == b"e", dim, factor,
                        <const int32_t *>ids.view.buf, <const int64_t *>ends.view.buf, n,
                        <float *>target.view.buf)
    if bad == -2:
        raise ValueError(f"offsets must ascend from 0 to {ids.size(0)}, the number of ids")
    if bad != -1:
        raise IndexError(f"token id {flat[bad]} at {bad} is outside the table of {rows.size(0)}")
    return out
