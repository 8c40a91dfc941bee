"""Rows as a database gives them, tuples of Python objects, to arrays: a column at a time, but in
one pass and without a list for each column."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

include "buffers.pxi"


def split(list rows, str kinds):
    """The columns of ``rows``.

    Args:
        rows: tuples of as many values as there are kinds.
        kinds: a letter per column: ``q`` int64, ``I`` uint32, ``f`` float32, in which None is
            NaN; ``b`` bytes; ``o`` anything.

    Returns:
        A list of as many: arrays ``(n,)``; of bytes ``(all of them one after the other, int64
        (n,) sizes)``; of anything a list.

    Raises:
        TypeError: a row is no tuple, or a value is of another kind.
        ValueError: a row of another length, or an unknown kind.
        OverflowError: an integer that does not fit.
    """
    cdef Py_ssize_t width = len(kinds), at
    for row in rows:
        if type(row) is not tuple:
            raise TypeError(f"a row must be a tuple, not {type(row).__name__}")
        if PyTuple_GET_SIZE(row) != width:
            raise ValueError(f"a row has {PyTuple_GET_SIZE(row)} values, not {width}")
    return [_column(rows, at, kinds[at]) for at in range(width)]


cdef object _column(list rows, Py_ssize_t at, str kind):
    if kind == "q":
        return _integers(rows, at)
    if kind == "I":
        return _lengths(rows, at)
    if kind == "f":
        return _floats(rows, at)
    if kind == "b":
        return _bytes(rows, at)
    if kind == "o":
        return [(<tuple>row)[at] for row in rows]
    raise ValueError(f"{kind!r} is no kind of column; use one of q, I, f, b and o")


cdef object _integers(list rows, Py_ssize_t at):
    made = _numpy().empty(len(rows), "int64")
    cdef _Buffer out = _write(made, b"q", 1, "column")
    cdef int64_t *value = <int64_t *>out.view.buf
    cdef Py_ssize_t i
    for i in range(len(rows)):
        value[i] = (<tuple>rows[i])[at]
    return made


cdef object _lengths(list rows, Py_ssize_t at):
    made = _numpy().empty(len(rows), "uint32")
    cdef _Buffer out = _write(made, b"I", 1, "column")
    cdef uint32_t *value = <uint32_t *>out.view.buf
    cdef Py_ssize_t i
    for i in range(len(rows)):
        value[i] = (<tuple>rows[i])[at]
    return made


cdef object _floats(list rows, Py_ssize_t at):
    made = _numpy().empty(len(rows), "float32")
    cdef _Buffer out = _write(made, b"f", 1, "column")
    cdef float *value = <float *>out.view.buf
    cdef Py_ssize_t i
    for i in range(len(rows)):
        given = (<tuple>rows[i])[at]
        value[i] = NAN if given is None else <double>given
    return made


cdef tuple _bytes(list rows, Py_ssize_t at):
    sizes = _numpy().empty(len(rows), "int64")
    cdef _Buffer out = _write(sizes, b"q", 1, "column")
    cdef int64_t *size = <int64_t *>out.view.buf
    cdef Py_ssize_t i, total = 0
    cdef bytes joined
    cdef char *to
    for i in range(len(rows)):
        given = (<tuple>rows[i])[at]
        if type(given) is not bytes:
            raise TypeError(f"a value must be bytes, not {type(given).__name__}")
        size[i] = PyBytes_GET_SIZE(given)
        total += size[i]
    joined = PyBytes_FromStringAndSize(NULL, total)
    to = PyBytes_AS_STRING(joined)
    for i in range(len(rows)):
        memcpy(to, PyBytes_AS_STRING((<tuple>rows[i])[at]), size[i])
        to += size[i]
    return joined, sizes
