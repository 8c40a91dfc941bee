"""Content hashes of many texts in one call."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

from kernels cimport AGM_DIGEST_SIZE, agm_blake2b_128

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

ctypedef struct Span:
    const uint8_t *data
    size_t size

# Below this many bytes the lock costs more than the hashing that others would wait for.
cdef size_t _SMALL = 16384


cdef void _hash_spans(const Span *spans, Py_ssize_t n, uint8_t *out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        agm_blake2b_128(spans[i].data, spans[i].size, out + i * AGM_DIGEST_SIZE)


def hash_texts(texts):
    """BLAKE2b (RFC 7693, digest of 16 bytes, no key) of each text's UTF-8 encoding.

    Args:
        texts: a sequence of n strings.

    Returns:
        ``16 * n`` bytes; those from ``16 * i`` on belong to ``texts[i]``.

    Raises:
        TypeError: an item is not a string.
        UnicodeEncodeError: a text has a lone surrogate, which UTF-8 cannot encode.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of str, not one str")
    # Strong references: nobody may free a text while the lock is released.
    cdef tuple held = tuple(texts)
    cdef Py_ssize_t n = len(held), i
    cdef list encoded = []
    cdef size_t total = 0
    cdef bytes utf8
    cdef bytes digests = PyBytes_FromStringAndSize(NULL, n * AGM_DIGEST_SIZE)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(digests)
    cdef Span *spans = <Span *>malloc((n + 1) * sizeof(Span))
    if spans is NULL:
        raise MemoryError()
    try:
        for i in range(n):
            text = held[i]
            if not isinstance(text, str):
                raise TypeError(f"texts[{i}] must be str, got {type(text).__name__}")
            if PyUnicode_IS_COMPACT_ASCII(text):
                spans[i].data = <const uint8_t *>PyUnicode_DATA(text)
                spans[i].size = PyUnicode_GET_LENGTH(text)
            else:
                # Not the cached form: it would stay in the string for as long as that lives.
                utf8 = PyUnicode_AsUTF8String(text)
                encoded.append(utf8)
                spans[i].data = <const uint8_t *>PyBytes_AS_STRING(utf8)
                spans[i].size = PyBytes_GET_SIZE(utf8)
            total += spans[i].size
        if total < _SMALL:
            _hash_spans(spans, n, out)
        else:
            with nogil:
                _hash_spans(spans, n, out)
    finally:
        free(spans)
    return digests
