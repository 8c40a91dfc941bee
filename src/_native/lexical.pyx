"""Keyword terms of many texts in one call.

Segmentation, as ``twins.words_of`` spells it out:

1. A text is folded: compatibility decomposition (NFKD), case folding, then characters of a
   non-zero combining class (accents) are dropped.
2. A *word character* is alphanumeric (``str.isalnum``) or a remaining mark (category M: Indic
   vowel signs belong to their word).  A *lone* character is a word character of a script written
   without spaces: Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar.
3. A word is a maximal run of word characters that are not lone, cut to its first 64.  After a
   word, an apostrophe (U+0027 or U+2019) and ``s`` that end there are skipped: possessives.
4. Each lone character is a word, and so is each pair of lone characters that stand together.

``TermMemo`` turns a word into its term hash, once for as long as it remembers the word.
"""

import threading
import unicodedata

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from kernels cimport (
    agm_sort_terms, agm_words, agm_words_bytes, agm_words_free, agm_words_get, agm_words_init,
    agm_words_put,
)

include "buffers.pxi"

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    int PyUnicode_KIND(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    uint32_t PyUnicode_READ(int kind, const void *data, Py_ssize_t index)

cdef enum:
    WORD_LIMIT = 64  # characters of a word that count
    WORD_BYTES = 4 * WORD_LIMIT

# What a character is; 0 means that nobody has asked yet.
cdef enum Kind:
    UNKNOWN = 0
    OTHER = 1
    WORD = 2
    LONE = 3
    APOSTROPHE = 4

# One byte per code point, asked for once and kept.  Pages never touched cost nothing.  Threads
# may fill an entry at the same time, with the same value.
cdef uint8_t _kinds[0x110000]

# Blocks of the scripts written without spaces, from the Unicode standard's Blocks.txt.
LONE_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),  # Khmer symbols
    (0x2E80, 0x2FDF),  # CJK and Kangxi radicals
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana phonetic extensions
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0x9FFF),  # CJK unified ideographs
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAA7F),  # Myanmar extended A
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0x1AFF0, 0x1B16F),  # Kana extensions
    (0x20000, 0x323AF),  # CJK extensions B to H
)


cdef Kind _classify(uint32_t c):
    cdef Kind kind = OTHER
    text = chr(c)
    if c == 0x27 or c == 0x2019:
        kind = APOSTROPHE
    elif text.isalnum() or unicodedata.category(text)[0] == "M":
        kind = WORD
        for low, high in LONE_BLOCKS:
            if low <= c <= high:
                kind = LONE
    _kinds[c] = <uint8_t>kind
    return kind


cdef inline Kind _kind(uint32_t c):
    cdef Kind kind = <Kind>_kinds[c]
    return kind if kind != UNKNOWN else _classify(c)


# What a code point folds to: up to three of them in 21 bits each, and a bit that says so.
# Folding needs no context: decomposition reorders only characters that are then dropped, and
# case folding has none.  Longer ones (ligatures that spell a phrase) are made each time.
cdef uint64_t _folds[0x110000]
cdef uint64_t KNOWN = <uint64_t>1 << 63
cdef enum:
    LONGEST_FOLD = 32  # U+FDFA, the longest there is, becomes 18


# ASCII needs no folding but for case: the lower-case letter or digit, or 0 for what is no word.
cdef uint8_t _ascii[128]
cdef int _code
for _code in range(128):
    _ascii[_code] = ord(chr(_code).lower()) if chr(_code).isalnum() else 0


cdef class TermMemo:
    """What is known of words: word -> term hash, 0 for a stop word.

    One memo may serve many threads; a lock admits one ``count_terms`` at a time.

    Args:
        resolve: called with a word that is not remembered, returns its term hash, 0..2**64-1.
        limit: words remembered; when one more comes, all are forgotten and asked for again.
    """

    cdef object _resolve
    cdef object _lock
    cdef agm_words _words

    def __cinit__(self, resolve, Py_ssize_t limit=262144):
        if not callable(resolve):
            raise TypeError(f"resolve must be callable, got {type(resolve).__name__}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self._resolve = resolve
        # Reentrant: resolve may analyse a text of its own.
        self._lock = threading.RLock()
        # Seeded with the interpreter's own secret, so that nobody can choose words that collide.
        if agm_words_init(&self._words, limit, <uint64_t>hash("agentmem words")) != 0:
            raise MemoryError()

    def __dealloc__(self):
        agm_words_free(&self._words)

    def __len__(self):
        """Words remembered."""
        return self._words.count

    @property
    def nbytes(self):
        """Memory held, in bytes."""
        return agm_words_bytes(&self._words)

    cdef uint64_t _term(self, const uint8_t *word, Py_ssize_t size) except? 1:
        cdef uint64_t term
        if agm_words_get(&self._words, word, size, &term):
            return term
        term = self._resolve(PyUnicode_DecodeUTF8(<const char *>word, size, NULL))
        # Searched again inside: resolve may have changed the table.
        if agm_words_put(&self._words, word, size, term) != 0:
            raise MemoryError()
        return term


cdef class _Terms:
    """Growing C arrays of what has been found."""

    cdef uint64_t *found  # terms of the current text, unsorted
    cdef size_t found_size, found_room
    cdef uint64_t *terms
    cdef uint16_t *counts
    cdef size_t size, room

    def __dealloc__(self):
        free(self.found)
        free(self.terms)
        free(self.counts)

    cdef inline int add(self, uint64_t term) except -1:
        cdef uint64_t *grown
        if term == 0:
            return 0
        if self.found_size == self.found_room:
            grown = <uint64_t *>realloc(self.found, (2 * self.found_room + 64) * sizeof(uint64_t))
            if grown is NULL:
                raise MemoryError()
            self.found = grown
            self.found_room = 2 * self.found_room + 64
        self.found[self.found_size] = term
        self.found_size += 1
        return 0

    cdef int reserve(self, size_t more) except -1:
        cdef size_t room
        cdef uint64_t *terms
        cdef uint16_t *counts
        if self.size + more <= self.room:
            return 0
        room = 2 * (self.size + more) + 64
        terms = <uint64_t *>realloc(self.terms, room * sizeof(uint64_t))
        if terms is not NULL:
            self.terms = terms
        counts = <uint16_t *>realloc(self.counts, room * sizeof(uint16_t))
        if counts is not NULL:
            self.counts = counts
        if terms is NULL or counts is NULL:
            raise MemoryError()
        self.room = room
        return 0

    cdef uint32_t finish(self) except? 1:
        """Count the current text's terms; returns its length."""
        cdef size_t i = 0, run
        cdef uint64_t length = 0
        cdef uint16_t count
        self.reserve(self.found_size)
        agm_sort_terms(self.found, self.found_size)
        while i < self.found_size:
            run = i + 1
            while run < self.found_size and self.found[run] == self.found[i]:
                run += 1
            count = <uint16_t>min(run - i, <size_t>65535)
            self.terms[self.size] = self.found[i]
            self.counts[self.size] = count
            self.size += 1
            length += count
            i = run
        self.found_size = 0
        return <uint32_t>min(length, <uint64_t>0xffffffff)


cdef int _scan_ascii(const uint8_t *text, Py_ssize_t n, TermMemo memo, _Terms terms) except -1:
    cdef uint8_t word[WORD_LIMIT]
    cdef Py_ssize_t i = 0, size
    cdef uint8_t c
    while i < n:
        c = _ascii[text[i]]
        if c == 0:
            i += 1
            continue
        size = 0
        while c != 0:
            if size < WORD_LIMIT:
                word[size] = c
                size += 1
            i += 1
            c = _ascii[text[i]] if i < n else 0
        terms.add(memo._term(word, size))
        if (i + 1 < n and text[i] == 0x27 and _ascii[text[i + 1]] == 0x73
                and (i + 2 == n or _ascii[text[i + 2]] == 0)):
            i += 2
    return 0


cdef inline Py_ssize_t _put_utf8(uint32_t c, uint8_t *out) noexcept:  # C alone: raises nothing
    if c < 0x80:
        out[0] = <uint8_t>c
        return 1
    if c < 0x800:
        out[0] = <uint8_t>(0xC0 | (c >> 6))
        out[1] = <uint8_t>(0x80 | (c & 0x3F))
        return 2
    if c < 0x10000:
        out[0] = <uint8_t>(0xE0 | (c >> 12))
        out[1] = <uint8_t>(0x80 | ((c >> 6) & 0x3F))
        out[2] = <uint8_t>(0x80 | (c & 0x3F))
        return 3
    out[0] = <uint8_t>(0xF0 | (c >> 18))
    out[1] = <uint8_t>(0x80 | ((c >> 12) & 0x3F))
    out[2] = <uint8_t>(0x80 | ((c >> 6) & 0x3F))
    out[3] = <uint8_t>(0x80 | (c & 0x3F))
    return 4


cdef int _scan_folded(const uint32_t *text, Py_ssize_t n, TermMemo memo, _Terms terms) except -1:
    """Words of folded code points."""
    cdef uint8_t word[WORD_BYTES]
    cdef Py_ssize_t i = 0, size, characters
    cdef Kind kind
    while i < n:
        kind = _kind(text[i])
        if kind == LONE:
            size = _put_utf8(text[i], word)
            terms.add(memo._term(word, size))
            i += 1
            if i < n and _kind(text[i]) == LONE:
                size += _put_utf8(text[i], word + size)
                terms.add(memo._term(word, size))
        elif kind == WORD:
            size = characters = 0
            while i < n and _kind(text[i]) == WORD:
                if characters < WORD_LIMIT:
                    size += _put_utf8(text[i], word + size)
                    characters += 1
                i += 1
            terms.add(memo._term(word, size))
            if (i + 1 < n and _kind(text[i]) == APOSTROPHE and text[i + 1] == 0x73
                    and (i + 2 == n or _kind(text[i + 2]) not in (WORD, LONE))):
                i += 2
        else:
            i += 1
    return 0


cdef Py_ssize_t _fold_one(uint32_t c, uint32_t *out) except -1:
    """Fold one code point that is not in the table; returns how many it becomes."""
    cdef str folded = unicodedata.normalize("NFKD", chr(c)).casefold()
    cdef list kept = [ord(part) for part in folded[:LONGEST_FOLD]
                      if not unicodedata.combining(part)]
    cdef uint64_t entry = KNOWN
    cdef Py_ssize_t i, n = len(kept)
    for i in range(n):
        out[i] = kept[i]
        if i < 3:
            entry |= <uint64_t>out[i] << (21 * i)
    if n <= 3:
        _folds[c] = entry
    return n


cdef inline Py_ssize_t _fold_into(uint32_t c, uint32_t *out) except -1:
    cdef uint64_t entry
    if c < 128:
        out[0] = c + 32 if 0x41 <= c <= 0x5A else c
        return 1
    entry = _folds[c]
    if entry == 0:
        return _fold_one(c, out)
    out[0] = entry & 0x1FFFFF
    out[1] = (entry >> 21) & 0x1FFFFF
    out[2] = (entry >> 42) & 0x1FFFFF
    return (out[0] != 0) + (out[1] != 0) + (out[2] != 0)


cdef int _scan_unicode(str text, TermMemo memo, _Terms terms) except -1:
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text), i, kept = 0, room = n + 2 * LONGEST_FOLD
    cdef int width = PyUnicode_KIND(text)
    cdef const void *data = PyUnicode_DATA(text)
    cdef uint32_t *points = <uint32_t *>malloc(room * sizeof(uint32_t))
    cdef uint32_t *grown
    try:
        if points is NULL:
            raise MemoryError()
        for i in range(n):
            if kept + LONGEST_FOLD > room:
                room *= 2
                grown = <uint32_t *>realloc(points, room * sizeof(uint32_t))
                if grown is NULL:
                    raise MemoryError()
                points = grown
            kept += _fold_into(PyUnicode_READ(width, data, i), points + kept)
        _scan_folded(points, kept, memo, terms)
    finally:
        free(points)
    return 0


cdef object _array(const void *data, size_t size, object dtype):
    array = _numpy().empty(size, dtype)
    cdef _Buffer target = _open(array, b"QHq", 1, "array", True)
    if size:
        memcpy(target.view.buf, data, target.view.len)
    return array


def count_terms(texts, TermMemo memo not None):
    """Keyword terms of each text, by the segmentation that this module's docstring gives.

    Args:
        texts: a sequence of n strings; lone surrogates separate words.
        memo: resolves words to term hashes.

    Returns:
        ``(offsets int64 (n + 1,), terms uint64, counts uint16, lengths uint32 (n,))``, the
        fields of ``types.TermBatch``: a text's terms are distinct and ascending, stop words
        left out, counts saturate at 65535, and a length is the sum of its counts.

    Raises:
        TypeError: an item is not a string.
        Exception: whatever ``memo``'s resolve raises.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of str, not one str")
    cdef tuple held = tuple(texts)
    cdef Py_ssize_t n = len(held), i
    cdef _Terms terms = _Terms.__new__(_Terms)
    np = _numpy()
    offsets = np.zeros(n + 1, np.int64)
    lengths = np.zeros(n, np.uint32)
    cdef _Buffer offset_out = _write(offsets, b"q", 1, "offsets")
    cdef _Buffer length_out = _write(lengths, b"I", 1, "lengths")
    cdef int64_t *ends = <int64_t *>offset_out.view.buf
    cdef uint32_t *sizes = <uint32_t *>length_out.view.buf
    with memo._lock:
        for i in range(n):
            text = held[i]
            if not isinstance(text, str):
                raise TypeError(f"texts[{i}] must be str, got {type(text).__name__}")
            if PyUnicode_IS_COMPACT_ASCII(text):
                _scan_ascii(<const uint8_t *>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text),
                            memo, terms)
            else:
                _scan_unicode(text, memo, terms)
            sizes[i] = terms.finish()
            ends[i + 1] = terms.size
    return (offsets, _array(terms.terms, terms.size, np.uint64),
            _array(terms.counts, terms.size, np.uint16), lengths)
