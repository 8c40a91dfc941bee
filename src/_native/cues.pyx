"""A quick look at a question: what in it is written like a name, and whether it may have a date."""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef enum:
    SLOTS = 512

cdef uint64_t _START = <uint64_t>0xcbf29ce484222325
cdef uint64_t _STEP = <uint64_t>0x100000001b3


cdef inline bint _is_space(uint8_t c) noexcept nogil:
    return c == 32 or 9 <= c <= 13 or 28 <= c <= 31


cdef inline bint _is_upper(uint8_t c) noexcept nogil:
    return 65 <= c <= 90


cdef inline bint _is_lower(uint8_t c) noexcept nogil:
    return 97 <= c <= 122


cdef inline bint _opens(uint8_t c) noexcept nogil:
    return c in (34, 39, 40, 91, 123, 60)  # " ' ( [ { <


cdef inline bint _ends(uint8_t c) noexcept nogil:
    return c in (46, 33, 63, 58)  # . ! ? :


cdef class Glance:
    """Looks at questions.

    Args:
        words: those that a question with a date has one of; small letters of ASCII only.
    """

    cdef uint64_t _slots[SLOTS]  # hashes of the words; 0 where empty

    def __cinit__(self, words):
        cdef uint64_t hashed
        cdef Py_ssize_t at
        if 2 * len(words) > SLOTS:
            raise ValueError(f"{len(words)} words; at most {SLOTS // 2} can be looked for")
        for word in words:
            hashed = _START
            for c in word.encode("ascii"):
                hashed = (hashed ^ <uint8_t>c) * _STEP
            at = hashed % SLOTS
            while self._slots[at] not in (0, hashed):
                at = (at + 1) % SLOTS
            self._slots[at] = hashed

    def look(self, str text):
        """``(names, dated)`` of a text in ASCII, None for another.

        ``names`` are the words, cut at spaces, that begin with a capital letter after opening
        marks and stand neither first nor after a word that ends a sentence; none in a text that is
        all capitals.  ``dated`` is false only where no digit and none of the words occurs.
        """
        cdef const uint8_t *chars
        cdef Py_ssize_t i = 0, n, begin, first
        cdef bint dated = False, lower = False, sentence = True
        cdef uint64_t hashed = _START
        cdef uint8_t c
        if not PyUnicode_IS_COMPACT_ASCII(text):
            return None
        chars = <const uint8_t *>PyUnicode_DATA(text)
        n = PyUnicode_GET_LENGTH(text)
        names = []
        while i < n:
            if _is_space(chars[i]):
                i += 1
                continue
            begin = i
            while i < n and not _is_space(chars[i]):
                c = chars[i]
                lower = lower or _is_lower(c)
                if _is_upper(c) or _is_lower(c):
                    hashed = (hashed ^ (c | 32)) * _STEP
                else:
                    dated = dated or 48 <= c <= 57 or self._has(hashed)
                    hashed = _START
                i += 1
            dated = dated or self._has(hashed)
            hashed = _START
            if not sentence:
                first = begin
                while first < i and _opens(chars[first]):
                    first += 1
                if first < i and _is_upper(chars[first]):
                    names.append(text[begin:i])
            sentence = _ends(chars[i - 1])
        return names if lower else [], dated

    cdef bint _has(self, uint64_t hashed) noexcept:  # C alone: nothing in it raises
        cdef Py_ssize_t at = hashed % SLOTS
        while self._slots[at] != 0:
            if self._slots[at] == hashed:
                return True
            at = (at + 1) % SLOTS
        return False
