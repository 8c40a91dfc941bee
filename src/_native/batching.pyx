"""Token ids of many texts as padded, length-bucketed input arrays."""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLong, PyLong_Check
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

include "buffers.pxi"


cdef class Batches:
    """What ``make_batches`` returns.

    Attributes:
        order: int64 (n,), the row numbers of the input in batch order.
        inverse: int64 (n,), ``inverse[i]`` is where row i stands in batch order, so that
            ``embedded[inverse]`` brings results back into input order.
        batches: list of ``(input_ids, attention_mask)``, each int64 (rows, padded length).
    """

    cdef readonly object order
    cdef readonly object inverse
    cdef readonly list batches

    def __len__(self):
        return len(self.batches)


cdef inline int64_t _token(object item) except? -1:
    # Only true ints: anything else may run Python code that changes the lists we walk.
    if not PyLong_Check(item):
        raise TypeError(f"a token id must be int, got {type(item).__name__} (tolist() makes ints)")
    return PyLong_AsLongLong(item)


cdef list _rows(object ids):
    """The rows, checked to be lists (another thread must not turn them into anything else)."""
    cdef list rows = list(ids)
    cdef Py_ssize_t i
    for i in range(len(rows)):
        if type(rows[i]) is not list:
            if isinstance(rows[i], (str, bytes)):
                raise TypeError(f"ids[{i}] must be a list of int, got {type(rows[i]).__name__}")
            rows[i] = list(rows[i])
    return rows


cdef object _sorted_by_length(list rows, int64_t *order):
    """Write the row numbers by ascending length, equal lengths in input order (counting sort)."""
    cdef Py_ssize_t n = len(rows), i, longest = 0, size
    cdef int64_t *starts
    for i in range(n):
        longest = max(longest, PyList_GET_SIZE(<object>PyList_GET_ITEM(rows, i)))
    starts = <int64_t *>malloc((longest + 2) * sizeof(int64_t))
    if starts is NULL:
        raise MemoryError()
    memset(starts, 0, (longest + 2) * sizeof(int64_t))
    for i in range(n):
        starts[PyList_GET_SIZE(<object>PyList_GET_ITEM(rows, i)) + 1] += 1
    for i in range(1, longest + 2):
        starts[i] += starts[i - 1]
    for i in range(n):
        size = PyList_GET_SIZE(<object>PyList_GET_ITEM(rows, i))
        order[starts[size]] = i
        starts[size] += 1
    free(starts)


cdef object _fill(list rows, const int64_t *order, Py_ssize_t count, Py_ssize_t width,
                  int64_t pad_id, int64_t *ids, int64_t *mask):
    """Copy ``count`` rows, padded on the right to ``width``."""
    cdef Py_ssize_t r, j, size
    cdef list row
    for r in range(count):
        row = <list>PyList_GET_ITEM(rows, order[r])
        size = min(PyList_GET_SIZE(row), width)
        for j in range(size):
            ids[j] = _token(<object>PyList_GET_ITEM(row, j))
            mask[j] = 1
        for j in range(size, width):
            ids[j] = pad_id
            mask[j] = 0
        ids += width
        mask += width


def make_batches(ids, Py_ssize_t max_tokens, Py_ssize_t max_rows, int64_t pad_id=0):
    """Cut texts into padded batches of similar length.

    Rows are taken by ascending length (equal lengths in input order) for as long as
    ``rows * padded length <= max_tokens`` and ``rows <= max_rows``; a batch has at least one
    row, however long.  The padded length is that of the longest row, at least 1.

    Args:
        ids: n lists of token ids.
        max_tokens, max_rows: at least 1.
        pad_id: what pads on the right; the attention mask is 0 there.

    Returns:
        ``Batches``.

    Raises:
        TypeError: a row is not a list of integers.
        ValueError: ``max_tokens`` or ``max_rows`` is below 1.
    """
    if max_tokens < 1 or max_rows < 1:
        raise ValueError(
            f"max_tokens and max_rows must be at least 1, got {max_tokens} and {max_rows}")
    np = _numpy()
    cdef list rows = _rows(ids)
    cdef Py_ssize_t n = len(rows), start = 0, end, width, size
    cdef Batches result = Batches.__new__(Batches)
    result.order = np.empty(n, np.int64)
    result.inverse = np.empty(n, np.int64)
    result.batches = []
    cdef int64_t[::1] order = result.order
    cdef int64_t[::1] inverse = result.inverse
    cdef int64_t[:, ::1] tokens, mask
    if n == 0:
        return result
    _sorted_by_length(rows, &order[0])
    for end in range(n):
        inverse[order[end]] = end
    while start < n:
        end = start
        width = 1
        while end < n and end - start < max_rows:
            size = max(PyList_GET_SIZE(<object>PyList_GET_ITEM(rows, order[end])), 1)
            if end > start and size > max_tokens // (end - start + 1):
                break
            width = size
            end += 1
        shape = (end - start, width)
        batch = (np.empty(shape, np.int64), np.empty(shape, np.int64))
        tokens, mask = batch
        _fill(rows, &order[start], end - start, width, pad_id, &tokens[0, 0], &mask[0, 0])
        result.batches.append(batch)
        start = end
    return result


def flatten(ids):
    """All token ids one after the other.

    Args:
        ids: n lists of token ids.

    Returns:
        ``(flat int32 (total,), offsets int64 (n + 1,))``; row i is
        ``flat[offsets[i]:offsets[i + 1]]``.

    Raises:
        TypeError: a row is not a list of integers.
        OverflowError: an id does not fit 32 bits.
    """
    np = _numpy()
    cdef list rows = _rows(ids)
    cdef list row
    cdef Py_ssize_t n = len(rows), i, j, at = 0
    cdef int64_t value
    offsets = np.empty(n + 1, np.int64)
    cdef int64_t[::1] ends = offsets
    ends[0] = 0
    for i in range(n):
        ends[i + 1] = ends[i] + PyList_GET_SIZE(<object>PyList_GET_ITEM(rows, i))
    flat = np.empty(ends[n], np.int32)
    cdef int32_t[::1] out = flat
    for i in range(n):
        row = <list>PyList_GET_ITEM(rows, i)
        for j in range(min(PyList_GET_SIZE(row), ends[i + 1] - ends[i])):
            value = _token(<object>PyList_GET_ITEM(row, j))
            if value != <int32_t>value:
                raise OverflowError(f"token id {value} of ids[{i}] does not fit 32 bits")
            out[at] = <int32_t>value
            at += 1
    return flat, offsets
