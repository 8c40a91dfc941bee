"""BERT's tokenizer for texts in ASCII: the same ids as the library's, in a tenth of the time.

A question is a dozen words; what the library does around them (alignments, offsets, a result of
seven lists) takes longer than the words.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from kernels cimport agm_words, agm_words_free, agm_words_get, agm_words_init, agm_words_put

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef enum:
    LONGEST = 256  # bytes of a word

# What becomes of a character.
cdef enum Kind:
    LETTER = 0
    SPACE = 1
    PUNCTUATION = 2
    STRANGE = 3  # control characters, which are removed; "[", which may begin a special token

cdef uint8_t _kinds[128]


cdef void _classify() noexcept:  # C alone: nothing in it raises
    cdef int c
    for c in range(128):
        _kinds[c] = LETTER
        if c == 32 or c == 9 or c == 10 or c == 13:
            _kinds[c] = SPACE
        elif c < 32 or c == 127 or c == 91:
            _kinds[c] = STRANGE
        elif c < 48 or 58 <= c <= 64 or 91 <= c <= 96 or c >= 123:
            _kinds[c] = PUNCTUATION


_classify()


cdef class WordPiece:
    """Greedy longest pieces of words in small letters, punctuation by itself.

    Args:
        vocabulary: piece -> id; pieces inside a word begin with ``prefix``.
        unknown: the id of a word that has none.
        longest: a word of more characters is unknown; at most 200.
    """

    cdef agm_words _pieces
    cdef bytes _prefix
    cdef object _unknown
    cdef Py_ssize_t _longest

    def __cinit__(self, dict vocabulary, str prefix, unknown, Py_ssize_t longest):
        cdef bytes key
        if not 0 < longest <= 200 or len(prefix.encode()) > 50:
            raise ValueError(f"words of {longest} characters and the prefix {prefix!r}")
        self._prefix = prefix.encode()
        self._unknown = unknown
        self._longest = longest
        if agm_words_init(&self._pieces, len(vocabulary) + 1, 0) != 0:
            raise MemoryError()
        for piece, number in vocabulary.items():
            key = piece.encode()
            if not 0 < len(key) < LONGEST:
                continue  # no word is as long
            if agm_words_put(&self._pieces, key, len(key), number) != 0:
                raise MemoryError()

    def __dealloc__(self):
        agm_words_free(&self._pieces)

    def ids(self, str text, Py_ssize_t most):
        """The first ``most`` ids of a text; None for one that is not plain: not in ASCII, or with
        control characters or "[", which may begin a special token."""
        cdef const uint8_t *chars
        cdef Py_ssize_t i, n, size = 0
        cdef uint8_t word[LONGEST]
        cdef uint8_t c, kind
        cdef bint long_word = False
        if not PyUnicode_IS_COMPACT_ASCII(text):
            return None
        chars = <const uint8_t *>PyUnicode_DATA(text)
        n = PyUnicode_GET_LENGTH(text)
        for i in range(n):
            if _kinds[chars[i]] == STRANGE:
                return None
        found = []
        for i in range(n):
            c = chars[i]
            kind = _kinds[c]
            if kind == LETTER:
                if size == self._longest:
                    long_word = True
                else:
                    word[size] = c | 32 if 65 <= c <= 90 else c
                    size += 1
                continue
            if size:
                self._add(word, size, long_word, found)
                size = 0
                long_word = False
            if kind == PUNCTUATION:
                self._add(&c, 1, False, found)
            if len(found) >= most:
                return found[:most]
        if size:
            self._add(word, size, long_word, found)
        return found[:most]

    cdef _add(self, const uint8_t *word, Py_ssize_t size, bint long_word, list found):
        """The ids of one word."""
        cdef uint8_t key[LONGEST]
        cdef Py_ssize_t begin = 0, end, prefix = len(self._prefix), first = len(found)
        cdef uint64_t number = 0
        if long_word:
            found.append(self._unknown)
            return
        memcpy(key, <const char *>self._prefix, prefix)
        while begin < size:
            end = size
            while end > begin:
                if begin == 0:
                    if agm_words_get(&self._pieces, word, end, &number):
                        break
                else:
                    memcpy(key + prefix, word + begin, end - begin)
                    if agm_words_get(&self._pieces, key, prefix + end - begin, &number):
                        break
                end -= 1
            if end == begin:
                del found[first:]
                found.append(self._unknown)
                return
            found.append(number)
            begin = end
