# Array arguments by the buffer protocol: no NumPy headers, float16 included, and one wording of
# the errors.  Textually included, so each module has its own private copy.

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release,
    PyObject_CheckBuffer, PyObject_GetBuffer,
)

_KINDS = {
    "d": "float64", "f": "float32", "e": "float16", "b": "int8", "B": "uint8 or bool",
    "i": "int32", "q": "int64", "H": "uint16", "I": "uint32", "Q": "uint64",
}


cdef class _Buffer:
    """A C-contiguous array held for as long as this object lives."""

    cdef Py_buffer view
    cdef bint held
    cdef char kind

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef inline Py_ssize_t size(self, int axis) noexcept nogil:
        return self.view.shape[axis]


cdef char _kind_of(const char *format, Py_ssize_t itemsize) noexcept:
    """One letter per dtype: C's names for an integer differ between platforms."""
    cdef char code
    if format is NULL:
        return b"B"
    code = format[0]
    if code == b"@" or code == b"=" or code == b"<":
        code = format[1]
        if code == 0 or format[2] != 0 or (format[0] == b"<" and not _LITTLE):
            return 0
    elif code == 0 or format[1] != 0:
        return 0
    if code == b"?":
        return b"B"
    if code == b"i" or code == b"l" or code == b"q":
        return b"i" if itemsize == 4 else b"q" if itemsize == 8 else 0
    if code == b"I" or code == b"L" or code == b"Q":
        return b"I" if itemsize == 4 else b"Q" if itemsize == 8 else 0
    return code


cdef bint _little_endian() noexcept:
    cdef unsigned short one = 1
    return (<unsigned char *>&one)[0] == 1


cdef bint _LITTLE = _little_endian()


cdef object _wanted(const char *kinds, int ndim, bint writable):
    names = " or ".join([_KINDS[chr(k)] for k in <bytes>kinds])
    return f"a C-contiguous{' writable' if writable else ''} {names} array of {ndim} dimension(s)"


cdef object _refuse(object source, const char *kinds, int ndim, str name, bint writable):
    dtype = getattr(source, "dtype", None)
    if dtype is None:
        given = type(source).__name__
    else:
        flags = getattr(source, "flags", {})
        given = f"{dtype} of shape {getattr(source, 'shape', '?')}"
        if flags and not flags["C_CONTIGUOUS"]:
            given += ", not contiguous (np.ascontiguousarray makes it so)"
        elif writable and flags and not flags["WRITEABLE"]:
            given += ", read-only"
    wrong = dtype is None
    return (TypeError if wrong else ValueError)(
        f"{name} must be {_wanted(kinds, ndim, writable)}, got {given}")


cdef _Buffer _open(object source, const char *kinds, int ndim, str name, bint writable):
    """The array ``source`` if it has one of ``kinds`` (letters of ``_KINDS``) and ``ndim`` axes.

    Raises TypeError for what is no array, ValueError for a wrong dtype, shape or layout.
    """
    cdef _Buffer buffer = _Buffer.__new__(_Buffer)
    cdef int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writable else 0)
    cdef const char *kind = kinds
    if not PyObject_CheckBuffer(source):
        raise _refuse(source, kinds, ndim, name, writable)
    try:
        PyObject_GetBuffer(source, &buffer.view, flags)
    except (BufferError, ValueError):
        raise _refuse(source, kinds, ndim, name, writable) from None
    buffer.held = True
    buffer.kind = _kind_of(buffer.view.format, buffer.view.itemsize)
    if buffer.view.ndim != ndim:
        raise _refuse(source, kinds, ndim, name, writable)
    while kind[0]:
        if kind[0] == buffer.kind:
            return buffer
        kind += 1
    raise _refuse(source, kinds, ndim, name, writable)


cdef inline _Buffer _read(object source, const char *kinds, int ndim, str name):
    return _open(source, kinds, ndim, name, False)


cdef inline _Buffer _write(object source, const char *kinds, int ndim, str name):
    return _open(source, kinds, ndim, name, True)


cdef object _numpy_module = None


cdef inline object _numpy():
    """NumPy, imported on first use: importing this package must not load it."""
    global _numpy_module
    if _numpy_module is None:
        import numpy
        _numpy_module = numpy
    return _numpy_module
