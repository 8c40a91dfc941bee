"""Rows of a database, as they come from its cursor, laid down column by column.

One pass, and each row's objects are gone before the next is made: a list of them takes several
times the space, and Python's collector would look through it again and again.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject, Py_CLEAR, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

include "buffers.pxi"

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1

cdef enum:
    FIRST_BYTES = 4_096  # of the texts or blobs of a column; doubled as they come


cdef class _Column:
    """One that is being filled.

    ``values`` are the numbers of kinds ``i`` and ``d``, the objects of kind ``o``, or where each
    text or blob ends, which lie one after the other in ``data``.
    """

    cdef char kind
    cdef bint missing
    cdef object values, valid
    cdef PyObject *data  # bytes that nobody else has yet, and so may be written
    cdef _Buffer value_view, valid_view
    cdef int64_t *integers
    cdef double *doubles
    cdef int32_t *ends
    cdef uint8_t *present
    cdef char *out
    cdef Py_ssize_t used, room

    def __cinit__(self, str kind, Py_ssize_t most):
        if kind not in ("i", "d", "t", "b", "o"):
            raise ValueError(f"a column is of kind i, d, t, b or o, not {kind!r}")
        self.kind = <char>ord(kind)
        if self.kind == b"o":
            self.values = []
            return
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
            self.resize(FIRST_BYTES)

    def __dealloc__(self):
        Py_CLEAR(self.data)

    cdef int put(self, Py_ssize_t row, object value) except -1:
        """The value of the next row."""
        cdef Py_ssize_t size = 0
        cdef const char *start = NULL
        if self.kind == b"o":
            (<list>self.values).append(value)
            return 0
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
            if self.used + size > 0x7fffffff:
                raise OverflowError("over 2**31 - 1 bytes in a column; take fewer rows at once")
            self.resize(max(self.used + size, 2 * self.room))
        memcpy(self.out + self.used, start, size)
        self.used += size
        self.ends[row + 1] = <int32_t>self.used
        return 0

    cdef int resize(self, Py_ssize_t room) except -1:
        """Have room for exactly so many bytes of ``data``."""
        if self.data is NULL:
            made = PyBytes_FromStringAndSize(NULL, room)
            Py_INCREF(made)
            self.data = <PyObject *>made
        else:
            _PyBytes_Resize(&self.data, room)
        self.room = room
        self.out = PyBytes_AS_STRING(<object>self.data)
        return 0

    cdef object filled(self, Py_ssize_t rows):
        if self.kind == b"o":
            return self.values
        valid = self.valid[:rows] if self.missing else None
        if self.data is NULL:
            return self.values[:rows], valid
        self.resize(self.used)
        return self.values[:rows + 1], _numpy().frombuffer(<object>self.data, "u1"), valid


def gather(rows, str kinds, Py_ssize_t most, Py_ssize_t size):
    """Take rows from an iterator until there are ``most`` or they fill ``size`` bytes.

    Args:
        rows: an iterator of tuples; what comes after is left to it.
        kinds: a letter for each of their values: ``i`` an integer of 64 bits, ``d`` a float,
            ``t`` a str, ``b`` bytes, ``o`` anything.  Each may be None in any row.
        most: rows.
        size: bytes of the arrays; the row that reaches it is the last one.

    Returns:
        ``(n, bytes, columns)``: the rows taken, what they fill, and for each letter arrays
        ``(values, valid)`` or, of texts and blobs, ``(offsets, data, valid)``: int64 or float64
        (n,), 0 where missing; int32 (n + 1,); uint8 end to end, texts as UTF-8; uint8 (n,), 0
        where missing, or None where nothing is.  Of ``o`` the list of values.

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
        fixed += 8 if column.data is NULL else 4
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
