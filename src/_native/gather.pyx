"""Rows of a database, as they come from its cursor, laid down column by column.

One pass, and each row's objects are gone before the next is made: a list of them takes several
times the space, and Python's collector would look through it again and again.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

include "buffers.pxi"

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef enum:
    FIRST_BYTES = 4_096  # of the texts or blobs of a column; doubled as they come


cdef class _Column:
    """One that is being filled.

    ``values`` are the numbers of kinds ``i`` and ``d``, or where each text or blob ends, which
    lie one after the other in ``data``.
    """

    cdef char kind
    cdef bint missing
    cdef object values, valid
    cdef bytearray data
    cdef _Buffer value_view, valid_view
    cdef int64_t *integers
    cdef double *doubles
    cdef int32_t *ends
    cdef uint8_t *present
    cdef char *out
    cdef Py_ssize_t used, room

    def __cinit__(self, str kind, Py_ssize_t most):
        if kind not in ("i", "d", "t", "b"):
            raise ValueError(f"a column is of kind i, d, t or b, not {kind!r}")
        self.kind = <char>ord(kind)
        self.valid = _numpy().empty(most, "u1")
        self.valid_view = _write(self.valid, b"B", 1, "valid")
        self.present = <uint8_t *>self.valid_view.view.buf
        if self.kind == b"i":
            self.values = _numpy().empty(most, "i8")
            self.value_view = _write(self.values, b"q", 1, "values")
            self.integers = <int64_t *>self.value_view.view.buf
        elif self.kind == b"d":
            self.values = _numpy().empty(most, "f8")
            self.value_view = _write(self.values, b"d", 1, "values")
            self.doubles = <double *>self.value_view.view.buf
        else:
            self.values = _numpy().empty(most + 1, "i4")
            self.value_view = _write(self.values, b"i", 1, "values")
            self.ends = <int32_t *>self.value_view.view.buf
            self.ends[0] = 0
            self.data = bytearray(FIRST_BYTES)
            self.room = FIRST_BYTES
            self.out = PyByteArray_AS_STRING(self.data)

    cdef int put(self, Py_ssize_t row, object value) except -1:
        """The value of the next row."""
        cdef Py_ssize_t size = 0
        cdef const char *start = NULL
        self.present[row] = value is not None
        if value is None:
            self.missing = True
            if self.kind == b"i":
                self.integers[row] = 0
            elif self.kind == b"d":
                self.doubles[row] = 0.0
            else:
                self.ends[row + 1] = <int32_t>self.used
            return 0
        if self.kind == b"i" and isinstance(value, int):
            self.integers[row] = value
            return 0
        if self.kind == b"d" and isinstance(value, float):
            self.doubles[row] = value
            return 0
        if self.kind == b"t" and isinstance(value, str):
            if PyUnicode_IS_COMPACT_ASCII(value):
                start = <const char *>PyUnicode_DATA(value)
                size = PyUnicode_GET_LENGTH(value)
            else:
                start = PyUnicode_AsUTF8AndSize(value, &size)
        elif self.kind == b"b" and isinstance(value, bytes):
            start = PyBytes_AS_STRING(value)
            size = PyBytes_GET_SIZE(value)
        else:
            raise TypeError(f"a column of kind {chr(self.kind)} holds a {type(value).__name__}")
        if self.used + size > self.room:
            self.grow(self.used + size)
        memcpy(self.out + self.used, start, size)
        self.used += size
        self.ends[row + 1] = <int32_t>self.used
        return 0

    cdef int grow(self, Py_ssize_t needed) except -1:
        if needed > 0x7fffffff:
            raise OverflowError("more than 2**31 - 1 bytes in a column; take fewer rows at once")
        self.room = max(needed, 2 * self.room)
        PyByteArray_Resize(self.data, self.room)
        self.out = PyByteArray_AS_STRING(self.data)
        return 0

    cdef tuple filled(self, Py_ssize_t rows):
        valid = self.valid[:rows] if self.missing else None
        if self.data is None:
            return self.values[:rows], valid
        PyByteArray_Resize(self.data, self.used)
        return self.values[:rows + 1], _numpy().frombuffer(self.data, "u1"), valid


def gather(rows, str kinds, Py_ssize_t most, Py_ssize_t size):
    """Take rows from an iterator until there are ``most`` or they fill ``size`` bytes.

    Args:
        rows: an iterator of tuples; what comes after is left to it.
        kinds: a letter for each of their values: ``i`` an integer of 64 bits, ``d`` a float,
            ``t`` a str, ``b`` bytes.  Each may be None in any row.
        most: rows.
        size: bytes of the arrays; the row that reaches it is the last one.

    Returns:
        ``(n, bytes, columns)``: the rows taken, what they fill, and for each letter arrays
        ``(values, valid)`` or, of texts and blobs, ``(offsets, data, valid)``: int64 or float64
        (n,), 0 where missing; int32 (n + 1,); uint8 end to end, texts as UTF-8; uint8 (n,), 0
        where missing, or None where nothing is.

    Raises:
        ValueError: an unknown kind, or a row of another length.
        TypeError: a value of another kind.
        OverflowError: an integer beyond 64 bits, or more than 2**31 - 1 bytes in one column.
    """
    cdef list columns = [_Column(kind, most) for kind in kinds]
    cdef Py_ssize_t width = len(columns), fixed = 0, n = 0, filled = 0, j
    cdef _Column column
    cdef object row
    for column in columns:
        fixed += 4 if column.data is not None else 8
    if most < 1:
        return 0, 0, [column.filled(0) for column in columns]
    for row in rows:
        if type(row) is not tuple or PyTuple_GET_SIZE(row) != width:
            raise ValueError(f"a row must be a tuple of {width} values")
        filled = fixed * (n + 1)
        for j in range(width):
            column = <_Column>columns[j]
            column.put(n, <object>PyTuple_GET_ITEM(row, j))
            filled += column.used
        n += 1
        if n == most or filled >= size:
            break
    return n, filled, [column.filled(n) for column in columns]
