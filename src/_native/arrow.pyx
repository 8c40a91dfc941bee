"""Record batches made of our own buffers, handed over by the Arrow C data interface.

Nothing here links or imports Arrow: ``pyarrow.record_batch(batch)``, or any consumer of the
PyCapsule protocol, takes the buffers by address.  Numbers, vectors and fixed-size ids are not
copied; strings are gathered once.  An exported buffer keeps its array alive for as long as the
consumer holds it, so the array must not be written to any more.

Layouts: https://arrow.apache.org/docs/format/CDataInterface.html
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

include "buffers.pxi"

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef enum:
    MAX_BUFFERS = 3


cdef class Column:
    """A column without its name; made by the functions below, immutable.

    Attributes:
        format: the type, in the notation of the C data interface.
    """

    cdef readonly str format
    cdef readonly Py_ssize_t null_count
    cdef Py_ssize_t length
    cdef int n_buffers
    cdef const void *buffers[MAX_BUFFERS]
    cdef list owners  # what the buffers point into
    cdef Column child  # of a FixedSizeList

    def __init__(self):
        raise TypeError("columns are made by utf8, fixed_binary, fixed_list, int64...")

    def __len__(self):
        return self.length


cdef Column _column(str format, Py_ssize_t length, int n_buffers):
    cdef Column column = Column.__new__(Column)
    cdef int i
    column.format = format
    column.length = length
    column.null_count = 0
    column.n_buffers = n_buffers
    column.owners = []
    for i in range(MAX_BUFFERS):
        column.buffers[i] = NULL
    return column


cdef object _set_validity(Column column, bytes bitmap):
    """Attach a bitmap (bit set: present); Arrow wants none where nothing is missing."""
    if column.null_count:
        column.owners.append(bitmap)
        column.buffers[0] = PyBytes_AS_STRING(bitmap)


cdef object _mask(Column column, object valid):
    """Say which values are missing: those where ``valid`` is 0, or none if it is None."""
    cdef _Buffer mask
    cdef Py_ssize_t i
    cdef bytes bitmap
    cdef uint8_t *bits
    cdef const uint8_t *present
    if valid is None:
        return
    mask = _read(valid, b"B", 1, "valid")
    if mask.size(0) != column.length:
        raise ValueError(f"valid has {mask.size(0)} entries, values have {column.length}")
    bitmap = bytes((column.length + 7) // 8)
    bits = <uint8_t *>PyBytes_AS_STRING(bitmap)
    present = <const uint8_t *>mask.view.buf
    for i in range(column.length):
        if present[i]:
            bits[i >> 3] |= <uint8_t>(1 << (i & 7))
        else:
            column.null_count += 1
    _set_validity(column, bitmap)


cdef _Buffer _values(object values, const char *kinds, int ndim, str name):
    cdef _Buffer buffer = _read(values, kinds, ndim, name)
    if <uintptr_t>buffer.view.buf % <uintptr_t>buffer.view.itemsize:
        raise ValueError(f"{name} is not aligned to its {buffer.view.itemsize}-byte items; copy it")
    return buffer


cdef Column _primitive(str format, object values, const char *kind, object valid):
    cdef _Buffer buffer = _values(values, kind, 1, "values")
    cdef Column column = _column(format, buffer.size(0), 2)
    column.owners.append(buffer)
    column.buffers[1] = buffer.view.buf
    _mask(column, valid)
    return column


def int64(values, valid=None):
    """From int64 (n,), not copied; missing where ``valid`` (uint8 or bool (n,)) is 0."""
    return _primitive("l", values, b"q", valid)


def int32(values, valid=None):
    """From int32 (n,), not copied; missing where ``valid`` is 0."""
    return _primitive("i", values, b"i", valid)


def float32(values, valid=None):
    """From float32 (n,), not copied; missing where ``valid`` is 0."""
    return _primitive("f", values, b"f", valid)


def float64(values, valid=None):
    """From float64 (n,), not copied; missing where ``valid`` is 0."""
    return _primitive("g", values, b"d", valid)


def timestamp(values, valid=None):
    """timestamp[us, UTC] from int64 (n,) microseconds since 1970, not copied; missing where
    ``valid`` is 0."""
    return _primitive("tsu:UTC", values, b"q", valid)


def fixed_binary(data, Py_ssize_t width):
    """FixedSizeBinary[width] from ``n * width`` bytes laid end to end, not copied."""
    cdef _Buffer buffer = _read(data, b"B", 1, "data")
    if width < 1 or buffer.size(0) % width:
        raise ValueError(f"{buffer.size(0)} bytes are no whole number of values of {width}")
    cdef Column column = _column(f"w:{width}", buffer.size(0) // width, 2)
    column.owners.append(buffer)
    column.buffers[1] = buffer.view.buf
    return column


def fixed_list(vectors):
    """FixedSizeList[d] of float16 or float32 from an array (n, d), not copied."""
    cdef _Buffer buffer = _values(vectors, b"fe", 2, "vectors")
    cdef Py_ssize_t n = buffer.size(0), dim = buffer.size(1)
    if dim < 1:
        raise ValueError(f"vectors must have at least one dimension, got shape {vectors.shape}")
    cdef Column column = _column(f"+w:{dim}", n, 1)
    cdef Column child = _column("e" if buffer.kind == b"e" else "f", n * dim, 2)
    child.owners.append(buffer)
    child.buffers[1] = buffer.view.buf
    column.child = child
    return column


def utf8(values):
    """String column from a sequence of ``str`` or None (missing), gathered into one buffer.

    Raises:
        TypeError: an item is neither.
        UnicodeEncodeError: a string has a lone surrogate.
        OverflowError: more than 2**31 - 1 bytes of text; make smaller batches.
    """
    if isinstance(values, str):
        raise TypeError("values must be a sequence of str, not one str")
    cdef tuple held = tuple(values)
    cdef Py_ssize_t n = len(held), i, total = 0, size
    cdef Column column = _column("u", n, 3)
    cdef list parts = [None] * n
    cdef bytes bitmap = bytes((n + 7) // 8)
    cdef uint8_t *bits = <uint8_t *>PyBytes_AS_STRING(bitmap)
    offsets = _numpy().empty(n + 1, "i4")
    cdef _Buffer offset_out = _write(offsets, b"i", 1, "offsets")
    cdef int32_t *ends = <int32_t *>offset_out.view.buf
    ends[0] = 0
    for i in range(n):
        text = held[i]
        if text is None:
            column.null_count += 1
        elif not isinstance(text, str):
            raise TypeError(f"values[{i}] must be str or None, got {type(text).__name__}")
        else:
            bits[i >> 3] |= <uint8_t>(1 << (i & 7))
            if PyUnicode_IS_COMPACT_ASCII(text):
                total += PyUnicode_GET_LENGTH(text)
            else:
                parts[i] = PyUnicode_AsUTF8String(text)
                total += PyBytes_GET_SIZE(parts[i])
        if total > 0x7fffffff:
            raise OverflowError("more than 2**31 - 1 bytes of text; make smaller batches")
        ends[i + 1] = <int32_t>total
    cdef bytes data = PyBytes_FromStringAndSize(NULL, total)
    cdef char *out = PyBytes_AS_STRING(data)
    for i in range(n):
        size = ends[i + 1] - ends[i]
        if size:
            part = parts[i]
            memcpy(out + ends[i], PyUnicode_DATA(held[i]) if part is None
                   else <const void *>PyBytes_AS_STRING(part), size)
    column.owners.append(offset_out)
    column.owners.append(data)
    column.buffers[1] = ends
    column.buffers[2] = out
    _set_validity(column, bitmap)
    return column


def utf8_parts(offsets, data, valid=None):
    """String column from UTF-8 laid end to end, not copied.

    Args:
        offsets: int32 (n + 1,), where each text begins and the last ends, from 0 on.
        data: uint8, valid UTF-8.
        valid: uint8 or bool (n,); missing where 0.

    Raises:
        ValueError: the offsets fall, or lead beyond ``data``.
    """
    cdef _Buffer ends = _values(offsets, b"i", 1, "offsets")
    cdef _Buffer text = _read(data, b"B", 1, "data")
    cdef const int32_t *end = <const int32_t *>ends.view.buf
    cdef Py_ssize_t n = ends.size(0) - 1, i
    if n < 0 or end[0] != 0 or end[n] > text.size(0):
        raise ValueError("offsets must begin with 0 and end inside the data")
    for i in range(n):
        if end[i] > end[i + 1]:
            raise ValueError(f"offsets fall after text {i}")
    cdef Column column = _column("u", n, 3)
    column.owners.append(ends)
    column.owners.append(text)
    column.buffers[1] = end
    column.buffers[2] = text.view.buf
    _mask(column, valid)
    return column


def utf8_at(places, values):
    """String column whose text ``i`` is ``values[places[i]]``: a few texts, many times each.

    Args:
        places: int64 (n,).
        values: a sequence of ``str`` or None (missing).

    Raises:
        TypeError, UnicodeEncodeError, OverflowError: as ``utf8``.
        ValueError: a place is none of ``values``.
    """
    cdef _Buffer wanted = _read(places, b"q", 1, "places")
    cdef Column known = utf8(values)
    cdef const int64_t *place = <const int64_t *>wanted.view.buf
    cdef const int32_t *from_ = <const int32_t *>known.buffers[1]
    cdef const char *text = <const char *>known.buffers[2]
    cdef const uint8_t *there = <const uint8_t *>known.buffers[0]
    cdef Py_ssize_t n = wanted.size(0), i, total = 0
    offsets = _numpy().empty(n + 1, "i4")
    present = _numpy().ones(n, "u1")
    cdef _Buffer offset_out = _write(offsets, b"i", 1, "offsets")
    cdef _Buffer present_out = _write(present, b"B", 1, "present")
    cdef int32_t *ends = <int32_t *>offset_out.view.buf
    cdef uint8_t *marks = <uint8_t *>present_out.view.buf
    cdef int64_t k
    ends[0] = 0
    for i in range(n):
        k = place[i]
        if k < 0 or k >= known.length:
            raise ValueError(f"places[{i}] is {k}, of {known.length} values")
        if there is not NULL:
            marks[i] = there[k >> 3] >> (k & 7) & 1
        total += from_[k + 1] - from_[k]
        if total > 0x7fffffff:
            raise OverflowError("more than 2**31 - 1 bytes of text; make smaller batches")
        ends[i + 1] = <int32_t>total
    cdef bytes data = PyBytes_FromStringAndSize(NULL, total)
    cdef char *out = PyBytes_AS_STRING(data)
    for i in range(n):
        memcpy(out + ends[i], text + from_[place[i]], ends[i + 1] - ends[i])
    return utf8_parts(offsets, data, present)


include "export.pxi"

cdef class RecordBatch:
    """Named columns of one length; what ``record_batch`` returns.

    ``pyarrow.record_batch(batch)`` reads it without copying.  It can be exported many times.
    """

    cdef dict columns
    cdef readonly Py_ssize_t num_rows

    def __init__(self):
        raise TypeError("use record_batch(columns)")

    @property
    def column_names(self):
        return list(self.columns)

    def __arrow_c_schema__(self):
        """A capsule ``arrow_schema``: a struct with one nullable field per column."""
        cdef ArrowSchema *schema = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
        cdef Py_ssize_t i = 0
        if schema is NULL:
            raise MemoryError()
        # The capsule owns the structure from its first byte, also when an error follows.
        capsule = PyCapsule_New(schema, "arrow_schema", _free_schema_capsule)
        _fill_schema(schema, "+s", "", len(self.columns))
        schema.flags = 0
        for name, column in self.columns.items():
            schema.children[i] = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
            if schema.children[i] is NULL:
                raise MemoryError()
            _export_schema(column, name, schema.children[i])
            i += 1
        return capsule

    def __arrow_c_array__(self, requested_schema=None):
        """Capsules ``(arrow_schema, arrow_array)``.  Another schema than our own is not
        offered; the protocol lets the consumer cast."""
        cdef ArrowArray *array = <ArrowArray *>calloc(1, sizeof(ArrowArray))
        cdef Py_ssize_t i = 0
        if array is NULL:
            raise MemoryError()
        capsule = PyCapsule_New(array, "arrow_array", _free_array_capsule)
        _fill_array(array, self, self.num_rows, 1, len(self.columns))
        for column in self.columns.values():
            array.children[i] = <ArrowArray *>calloc(1, sizeof(ArrowArray))
            if array.children[i] is NULL:
                raise MemoryError()
            _export_array(column, array.children[i])
            i += 1
        return self.__arrow_c_schema__(), capsule


def record_batch(columns):
    """A record batch of named columns.

    Args:
        columns: mapping of name to ``Column``, in order, all of one length; at least one.

    Raises:
        TypeError: a value is not a ``Column``, or a name not a string.
        ValueError: no column, or different lengths.
    """
    cdef dict named = dict(columns)
    cdef Py_ssize_t rows = -1
    for name, column in named.items():
        if not isinstance(name, str):
            raise TypeError(f"a column name must be str, got {type(name).__name__}")
        if not isinstance(column, Column):
            raise TypeError(f"column {name!r} must be a Column, got {type(column).__name__}")
        if rows < 0:
            rows = len(column)
        if len(column) != rows:
            raise ValueError(f"column {name!r} has {len(column)} rows, others have {rows}")
    if rows < 0:
        raise ValueError("a record batch needs at least one column")
    cdef RecordBatch batch = RecordBatch.__new__(RecordBatch)
    batch.columns = named
    batch.num_rows = rows
    return batch
