"""Scoring every memory of a segment, and the best of them.

Nothing here changes once made: ``Postings`` are read by many threads at once without any lock.
"""

from cpython.pycapsule cimport PyCapsule_Import
from libc.stdint cimport (
    int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from kernels cimport (
    agm_dispatch, agm_heap, agm_heap_drain, agm_heap_offer, agm_postings, agm_postings_bm25,
    agm_conversation_total, agm_conversation_words, agm_postings_build, agm_postings_bytes,
    agm_postings_df, agm_postings_free, agm_runs, agm_text, agm_weights, agm_whole, agm_words_found,
)

include "buffers.pxi"

cdef const agm_dispatch *_simd = <const agm_dispatch *>PyCapsule_Import(
    "agentmem._native._simd.dispatch", 0)

# Work under this many elements (a few microseconds) keeps the interpreter lock: handing it over
# and waiting to get it back can cost far more than the work.
cdef Py_ssize_t _SMALL = 32768


def dense_scores(matrix, query, out):
    """``out[i] = dot(matrix[i], query)``.

    A row's score does not depend on the other rows, and that of a float16 row is the same as
    that of the row widened to float32.

    Args:
        matrix: float32 or float16 (n, d).
        query: float32 (d,).
        out: float32 (n,), overwritten.
    """
    cdef _Buffer rows = _read(matrix, b"fe", 2, "matrix")
    cdef _Buffer vector = _read(query, b"f", 1, "query")
    cdef _Buffer target = _write(out, b"f", 1, "out")
    cdef Py_ssize_t n = rows.size(0), dim = rows.size(1)
    if vector.size(0) != dim:
        raise ValueError(f"query has {vector.size(0)} dimensions, matrix has {dim}")
    if target.size(0) != n:
        raise ValueError(f"out has {target.size(0)} entries, matrix has {n} rows")
    if rows.kind == b"e":
        if n * dim < _SMALL:
            _simd.current.scores_f16(<const uint16_t *>rows.view.buf, n, dim,
                                     <const float *>vector.view.buf, <float *>target.view.buf)
        else:
            with nogil:
                _simd.current.scores_f16(<const uint16_t *>rows.view.buf, n, dim,
                                         <const float *>vector.view.buf, <float *>target.view.buf)
    elif n * dim < _SMALL:
        _simd.current.scores_f32(<const float *>rows.view.buf, n, dim,
                                 <const float *>vector.view.buf, <float *>target.view.buf)
    else:
        with nogil:
            _simd.current.scores_f32(<const float *>rows.view.buf, n, dim,
                                     <const float *>vector.view.buf, <float *>target.view.buf)


def int8_scores(codes, query, out):
    """``out[i] = dot(codes[i], query)`` in exact integers.

    The caller multiplies by both scales (``vectors.quantize_int8``); the result approximates the
    float dot product and is meant for choosing candidates that are then scored exactly.

    Args:
        codes: int8 (n, d), d < 2**17.
        query: int8 (d,).
        out: int32 (n,), overwritten.
    """
    cdef _Buffer rows = _read(codes, b"b", 2, "codes")
    cdef _Buffer vector = _read(query, b"b", 1, "query")
    cdef _Buffer target = _write(out, b"i", 1, "out")
    cdef Py_ssize_t n = rows.size(0), dim = rows.size(1)
    if vector.size(0) != dim:
        raise ValueError(f"query has {vector.size(0)} dimensions, codes have {dim}")
    if dim >= 131072:
        raise ValueError(f"codes have {dim} dimensions; sums are exact below 131072")
    if target.size(0) != n:
        raise ValueError(f"out has {target.size(0)} entries, codes have {n} rows")
    if n * dim < 4 * _SMALL:
        _simd.current.scores_i8(<const int8_t *>rows.view.buf, n, dim,
                                <const int8_t *>vector.view.buf, <int32_t *>target.view.buf)
    else:
        with nogil:
            _simd.current.scores_i8(<const int8_t *>rows.view.buf, n, dim,
                                    <const int8_t *>vector.view.buf, <int32_t *>target.view.buf)


def top_k(scores, mask, Py_ssize_t k, threshold=None):
    """The largest scores, without sorting the rest.

    Args:
        scores: float32 (n,), n < 2**32.
        mask: uint8 or bool (n,), an entry counts where it is not 0; None for all.
        k: how many at most.
        threshold: only scores ``>= threshold``; None for all.

    Returns:
        ``(indices int64, scores float32)``, best first, equal scores by smaller index.  NaN
        ranks last, and never passes a threshold.
    """
    cdef _Buffer values = _read(scores, b"f", 1, "scores")
    cdef _Buffer allowed
    cdef const uint8_t *allow = NULL
    cdef Py_ssize_t n = values.size(0), found
    cdef bint has_threshold = threshold is not None
    cdef float bound = threshold if has_threshold else 0.0
    cdef agm_heap heap
    if mask is not None:
        allowed = _read(mask, b"B", 1, "mask")
        if allowed.size(0) != n:
            raise ValueError(f"mask has {allowed.size(0)} entries, scores have {n}")
        allow = <const uint8_t *>allowed.view.buf
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    if bound != bound:
        raise ValueError("threshold must be a number, got NaN")
    if <uint64_t>n >= <uint64_t>0xffffffff:
        raise ValueError(f"{n} scores; at most 2**32 - 2 can be ranked at once")
    heap.capacity = min(k, n)
    heap.size = 0
    heap.entries = <uint64_t *>malloc((heap.capacity + 1) * sizeof(uint64_t))
    if heap.entries is NULL:
        raise MemoryError()
    try:
        if n < _SMALL:
            agm_heap_offer(&heap, _simd.current, <const float *>values.view.buf, n, allow, 0,
                           has_threshold, bound)
        else:
            with nogil:
                agm_heap_offer(&heap, _simd.current, <const float *>values.view.buf, n, allow, 0,
                               has_threshold, bound)
        np = _numpy()
        found = heap.size
        indices = np.empty(found, np.int64)
        best = np.empty(found, np.float32)
        agm_heap_drain(&heap, <int64_t *>_write(indices, b"q", 1, "indices").view.buf,
                       <float *>_write(best, b"f", 1, "scores").view.buf)
    finally:
        free(heap.entries)
    return indices, best


cdef class Postings:
    """Which documents have which term, of one immutable segment.

    Args:
        offsets, terms, counts, lengths: a ``types.TermBatch`` of n documents, in CSR form; a
            document's terms are distinct.  They are copied.

    Raises:
        ValueError: the arrays do not fit one another.
    """

    cdef agm_postings _self

    def __cinit__(self, offsets, terms, counts, lengths):
        cdef _Buffer ends = _read(offsets, b"q", 1, "offsets")
        cdef _Buffer hashes = _read(terms, b"Q", 1, "terms")
        cdef _Buffer times = _read(counts, b"H", 1, "counts")
        cdef _Buffer words = _read(lengths, b"I", 1, "lengths")
        cdef Py_ssize_t n = words.size(0), i
        cdef const int64_t *end = <const int64_t *>ends.view.buf
        cdef int status
        if ends.size(0) != n + 1:
            raise ValueError(f"offsets must have {n + 1} entries for {n} lengths, "
                             f"got {ends.size(0)}")
        if times.size(0) != hashes.size(0):
            raise ValueError(f"{hashes.size(0)} terms, but {times.size(0)} counts")
        if n >= 0x7fffffff or hashes.size(0) >= 0x7fffffff:
            raise ValueError(f"a segment of {n} documents and {hashes.size(0)} postings is too "
                             "large; both must stay below 2**31")
        if end[0] != 0 or end[n] != hashes.size(0):
            raise ValueError(f"offsets must run from 0 to {hashes.size(0)}, the number of terms")
        for i in range(n):
            if end[i] > end[i + 1]:
                raise ValueError(f"offsets must not descend, but {end[i + 1]} follows {end[i]}")
        with nogil:
            status = agm_postings_build(&self._self, n, end, <const uint64_t *>hashes.view.buf,
                                        <const uint16_t *>times.view.buf,
                                        <const uint32_t *>words.view.buf)
        if status != 0:
            raise MemoryError(f"no memory for the postings of {n} documents")

    def __dealloc__(self):
        agm_postings_free(&self._self)

    def __len__(self):
        """Documents."""
        return self._self.documents

    @property
    def nbytes(self):
        """Memory held, in bytes."""
        return agm_postings_bytes(&self._self)

    def df(self, terms, live=None):
        """Documents that have each term, int64 (q,).

        Args:
            terms: uint64 (q,).
            live: uint8 or bool (n,), a document counts where it is not 0; None for all.
        """
        cdef _Buffer wanted = _read(terms, b"Q", 1, "terms")
        cdef _Buffer alive
        cdef const uint8_t *keep = NULL
        cdef Py_ssize_t q = wanted.size(0)
        if live is not None:
            alive = _read(live, b"B", 1, "live")
            if alive.size(0) != <Py_ssize_t>self._self.documents:
                raise ValueError(f"live has {alive.size(0)} entries for "
                                 f"{self._self.documents} documents")
            keep = <const uint8_t *>alive.view.buf
        out = _numpy().empty(q, "i8")
        cdef _Buffer target = _write(out, b"q", 1, "out")
        agm_postings_df(&self._self, <const uint64_t *>wanted.view.buf, q, keep,
                        <int64_t *>target.view.buf)
        return out

    def bm25(self, terms, weights, float k1, float b, float avg_length, out):
        """Keyword scores (Robertson and Zaragoza 2009, equation 3.15).

        ``out[i]`` is the sum over the query's terms that document i has of
        ``weight * count * (k1 + 1) / (count + k1 * (1 - b + b * length / avg_length))``, so it
        stays below ``(k1 + 1) * sum(weights)``.

        Args:
            terms: uint64 (q,).
            weights: float32 (q,), inverse document frequency times occurrences in the query.
            k1, b: saturation (>= 0) and length normalisation (0..1).
            avg_length: mean of the lengths of all documents searched, those of other segments
                too; 0 only where there is no word at all.
            out: float32 (n,), overwritten.
        """
        cdef _Buffer wanted = _read(terms, b"Q", 1, "terms")
        cdef _Buffer factors = _read(weights, b"f", 1, "weights")
        cdef _Buffer target = _write(out, b"f", 1, "out")
        cdef Py_ssize_t q = wanted.size(0)
        if factors.size(0) != q:
            raise ValueError(f"{q} terms, but {factors.size(0)} weights")
        if target.size(0) != <Py_ssize_t>self._self.documents:
            raise ValueError(f"out has {target.size(0)} entries for "
                             f"{self._self.documents} documents")
        if not (0 <= k1 < 1e30) or not 0 <= b <= 1:
            raise ValueError(f"k1 must be >= 0 and b in 0..1, got {k1} and {b}")
        if not 0 <= avg_length < 1e30:
            raise ValueError(f"avg_length must be finite and >= 0, got {avg_length}")
        with nogil:
            agm_postings_bm25(&self._self, <const uint64_t *>wanted.view.buf,
                              <const float *>factors.view.buf, q, k1, b, avg_length,
                              <float *>target.view.buf)


cdef struct _Part:
    const void *matrix
    bint half
    Py_ssize_t rows


cdef class Conversation:
    """Scores of all live rows of one partition, with what stands around each of them.

    Live rows have *slots*: run after run, within a run in its order.  A row's own score is
    ``dense * cosine + keyword * bm25 / bound``; ``docs/ranking.md`` has the whole formula.

    Args:
        parts: for each segment ``(matrix float32 or float16 (n, d), Postings of n documents,
            slots int32 (n,))``; a row that is not live has slot -1, and the others have each
            slot once.
        starts: int32 (runs + 1,), the first slot of each run, ascending from 0 to the number of
            slots; no run is empty.
        length_part: float32 (slots,), what the length of a text contributes.
        actors: int32 (slots,), a number for who said it, 0 where nobody is known.
        n_actors: the highest of these numbers.
        window: how many neighbours on each side belong to the window of a row.
        means: of the lengths of texts, windows and runs, where these rows are a part of a larger
            partition; None where they are all of it.

    Raises:
        ValueError: the arrays do not fit one another.
    """

    cdef list _held  # keeps the memory of the parts
    cdef _Part *_parts
    cdef agm_text *_texts
    cdef Py_ssize_t _n_parts, _rows, _largest, _dim, _n_actors
    cdef agm_runs _runs
    cdef int32_t *_run_of
    cdef float *_lengths  # of slots, windows, runs, in one block
    cdef _Buffer _starts, _length_part, _actors

    def __cinit__(self, parts, starts, length_part, actors, Py_ssize_t n_actors,
                  Py_ssize_t window, means=None):
        cdef Py_ssize_t i, r, slots, runs
        cdef const int32_t *first
        self._held = []
        self._starts = _read(starts, b"i", 1, "starts")
        self._length_part = _read(length_part, b"f", 1, "length_part")
        self._actors = _read(actors, b"i", 1, "actors")
        slots = self._length_part.size(0)
        runs = self._starts.size(0) - 1
        first = <const int32_t *>self._starts.view.buf
        if runs < 0 or first[0] != 0 or first[runs] != slots or slots >= 0x7fffffff:
            raise ValueError(f"starts must run from 0 to {slots}, the number of slots")
        for r in range(runs):
            if first[r] >= first[r + 1]:
                raise ValueError(f"run {r} from slot {first[r]} to {first[r + 1]} is empty")
        if self._actors.size(0) != slots:
            raise ValueError(f"{self._actors.size(0)} actors for {slots} slots")
        for i in range(slots):
            if not 0 <= (<const int32_t *>self._actors.view.buf)[i] <= n_actors:
                raise ValueError(f"actors must be numbers from 0 to {n_actors}")
        if not 0 <= window < 0x10000:
            raise ValueError(f"window must be from 0 to 65535, got {window}")
        self._n_actors = n_actors
        self._runs.slots = slots
        self._runs.runs = runs
        self._runs.starts = first
        self._runs.window = window
        self._n_parts = len(parts)
        self._parts = <_Part *>malloc((self._n_parts + 1) * sizeof(_Part))
        self._texts = <agm_text *>malloc((self._n_parts + 1) * sizeof(agm_text))
        self._run_of = <int32_t *>malloc((slots + 1) * sizeof(int32_t))
        self._lengths = <float *>calloc(2 * slots + runs + 1, sizeof(float))
        if (self._parts is NULL or self._texts is NULL or self._run_of is NULL
                or self._lengths is NULL):
            raise MemoryError()
        self._take_parts(parts)
        self._measure()
        if means is not None:
            self._runs.length, self._runs.window_length, self._runs.run_length = means

    cdef _take_parts(self, list parts):
        cdef _Buffer rows, slots
        cdef Postings postings
        cdef Py_ssize_t p, i, n, taken = 0
        cdef const int32_t *slot
        seen = bytearray(self._runs.slots)
        cdef uint8_t[::1] mark = seen
        self._dim = -1
        for p in range(self._n_parts):
            matrix, postings, places = parts[p]
            rows = _read(matrix, b"fe", 2, "matrix")
            slots = _read(places, b"i", 1, "slots")
            n = rows.size(0)
            if slots.size(0) != n or <Py_ssize_t>postings._self.documents != n:
                raise ValueError(f"a part of {n} vectors has {slots.size(0)} slots and postings "
                                 f"of {postings._self.documents} documents")
            if self._dim >= 0 and rows.size(1) != self._dim:
                raise ValueError(f"parts of {self._dim} and {rows.size(1)} dimensions")
            self._dim = rows.size(1)
            slot = <const int32_t *>slots.view.buf
            for i in range(n):
                if slot[i] == -1:
                    continue
                if not 0 <= slot[i] < self._runs.slots or mark[slot[i]]:
                    raise ValueError(f"slot {slot[i]} is taken twice or does not exist")
                mark[slot[i]] = 1
                self._lengths[slot[i]] = postings._self.lengths[i]
                taken += 1
            self._parts[p].matrix = rows.view.buf
            self._parts[p].half = rows.kind == b"e"
            self._parts[p].rows = n
            self._texts[p].postings = &postings._self
            self._texts[p].slots = slot
            self._rows += n
            self._largest = max(self._largest, n)
            self._held.append((rows, postings, slots))
        if taken != self._runs.slots:
            raise ValueError(f"{self._runs.slots} slots, but only {taken} rows in them")

    cdef void _measure(self) noexcept:
        """Lengths of windows and runs, and the means."""
        cdef int32_t r, s, at, first, last
        cdef float *own = self._lengths
        cdef float *windows = own + self._runs.slots
        cdef float *runs = windows + self._runs.slots
        cdef double all_own = 0, all_windows = 0
        for r in range(self._runs.runs):
            for s in range(self._runs.starts[r], self._runs.starts[r + 1]):
                self._run_of[s] = r
                first = max(s - self._runs.window, self._runs.starts[r])
                last = min(s + self._runs.window, self._runs.starts[r + 1] - 1)
                for at in range(first, last + 1):
                    windows[s] += own[at]
                runs[r] += own[s]
                all_own += own[s]
                all_windows += windows[s]
        self._runs.run_of = self._run_of
        self._runs.lengths = own
        self._runs.window_lengths = windows
        self._runs.run_lengths = runs
        if self._runs.slots:
            self._runs.length = all_own / self._runs.slots
            self._runs.window_length = all_windows / self._runs.slots
            self._runs.run_length = all_own / self._runs.runs

    def __dealloc__(self):
        free(self._parts)
        free(self._texts)
        free(self._run_of)
        free(self._lengths)

    @property
    def rows(self):
        """Rows of all parts, live or not: how many scores there are."""
        return self._rows

    @property
    def work_size(self):
        """How many float32 ``score`` needs to work in."""
        return 9 * <Py_ssize_t>self._runs.slots + 4 * <Py_ssize_t>self._runs.runs + self._largest

    def score(self, vector, terms, counts, names, asked, extra, weights, float k1, float b,
              work, out, whole=None):
        """The score of every row, part after part, into ``out``; 0 where it is not live.

        Args:
            vector: float32 (d,).
            terms, counts: uint64 and uint16 (q,), the query's distinct terms, ascending.
            names: uint8 (q,), 1 for terms that are names; None if none is.  Those count that at
                least a tenth of the texts have.
            asked: uint8 (n_actors + 1,), 1 for actors whom the query names; None if none.
            extra: float32 (slots,) to add; None for nothing.
            weights: float32 (8,): dense, keyword, window, neighbour, run_keyword, run_dense,
                actor, length.
            k1, b: of BM25, see ``Postings.bm25``.
            work: float32 (work_size,).  Holds afterwards, one after the other: per slot the
                cosine, BM25 of its text, BM25 of its window, 1 where such a name occurs; per run
                BM25 and the highest cosine.
            out: float32 (rows,), overwritten.
            whole: of the partition that these rows are a part of ``(texts, runs, texts_with,
                runs_with)``: how many it has, and int32 (q,) each how many have each term; None
                where these rows are all of it.
        """
        cdef _Buffer query = _read(vector, b"f", 1, "vector")
        cdef _Buffer wanted = _read(terms, b"Q", 1, "terms")
        cdef _Buffer times = _read(counts, b"H", 1, "counts")
        cdef _Buffer factors = _read(weights, b"f", 1, "weights")
        cdef _Buffer space = _write(work, b"f", 1, "work")
        cdef _Buffer target = _write(out, b"f", 1, "out")
        cdef _Buffer marks, people, more, texts_with, runs_with
        cdef agm_whole statistics
        cdef const agm_whole *everything = NULL
        cdef const uint8_t *name = NULL
        cdef const uint8_t *person = NULL
        cdef const float *added = NULL
        cdef Py_ssize_t q = wanted.size(0)
        if self._n_parts and query.size(0) != self._dim:
            raise ValueError(f"vector has {query.size(0)} dimensions, not {self._dim}")
        if times.size(0) != q:
            raise ValueError(f"{q} terms, but {times.size(0)} counts")
        if factors.size(0) != 8:
            raise ValueError(f"weights must be 8, got {factors.size(0)}")
        if space.size(0) < self.work_size:
            raise ValueError(f"work has {space.size(0)} entries, not {self.work_size}")
        if target.size(0) != self._rows:
            raise ValueError(f"out has {target.size(0)} entries for {self._rows} rows")
        if not (0 <= k1 < 1e30) or not 0 <= b <= 1:
            raise ValueError(f"k1 must be >= 0 and b in 0..1, got {k1} and {b}")
        if names is not None:
            marks = _read(names, b"B", 1, "names")
            if marks.size(0) != q:
                raise ValueError(f"{q} terms, but names has {marks.size(0)}")
            name = <const uint8_t *>marks.view.buf
        if asked is not None:
            people = _read(asked, b"B", 1, "asked")
            if people.size(0) != self._n_actors + 1:
                raise ValueError(f"asked has {people.size(0)} entries, not {self._n_actors + 1}")
            person = <const uint8_t *>people.view.buf
        if extra is not None:
            more = _read(extra, b"f", 1, "extra")
            if more.size(0) != self._runs.slots:
                raise ValueError(f"extra has {more.size(0)} entries, not {self._runs.slots}")
            added = <const float *>more.view.buf
        if whole is not None:
            statistics.slots, statistics.runs = whole[0], whole[1]
            texts_with = _read(whole[2], b"i", 1, "texts_with")
            runs_with = _read(whole[3], b"i", 1, "runs_with")
            if texts_with.size(0) != q or runs_with.size(0) != q:
                raise ValueError(f"{q} terms, but the whole counts {texts_with.size(0)} and "
                                 f"{runs_with.size(0)}")
            statistics.texts_with = <const int32_t *>texts_with.view.buf
            statistics.runs_with = <const int32_t *>runs_with.view.buf
            everything = &statistics
        if self._rows * self._dim < _SMALL:
            self._score(<const float *>query.view.buf, <const uint64_t *>wanted.view.buf,
                        <const uint16_t *>times.view.buf, name, q, person, added,
                        <const agm_weights *>factors.view.buf, everything, k1, b,
                        <float *>space.view.buf, <float *>target.view.buf)
        else:
            with nogil:
                self._score(<const float *>query.view.buf, <const uint64_t *>wanted.view.buf,
                            <const uint16_t *>times.view.buf, name, q, person, added,
                            <const agm_weights *>factors.view.buf, everything, k1, b,
                            <float *>space.view.buf, <float *>target.view.buf)

    cdef void _score(self, const float *query, const uint64_t *terms, const uint16_t *counts,
                     const uint8_t *names, Py_ssize_t q, const uint8_t *asked,
                     const float *extra, const agm_weights *weights, const agm_whole *whole,
                     float k1, float b, float *work, float *out) noexcept nogil:
        cdef Py_ssize_t slots = self._runs.slots, runs = self._runs.runs, p, i
        cdef agm_words_found words
        cdef float *dense = work
        cdef float *best = work + 4 * slots + runs
        cdef float *total = best + runs
        cdef float *row = total + slots
        cdef const int32_t *slot
        words.own = dense + slots
        words.window = words.own + slots
        words.named = words.window + slots
        words.run = words.named + slots
        words.count = row + self._largest
        words.window_count = words.count + slots
        words.run_count = words.window_count + slots
        words.touched = <int32_t *>(words.run_count + runs)
        words.window_touched = words.touched + slots
        words.run_touched = words.window_touched + slots
        memset(words.count, 0, (2 * slots + runs) * sizeof(float))
        for p in range(self._n_parts):
            slot = self._texts[p].slots
            if self._parts[p].half:
                _simd.current.scores_f16(<const uint16_t *>self._parts[p].matrix,
                                         self._parts[p].rows, self._dim, query, row)
            else:
                _simd.current.scores_f32(<const float *>self._parts[p].matrix,
                                         self._parts[p].rows, self._dim, query, row)
            for i in range(self._parts[p].rows):
                if slot[i] >= 0:
                    dense[slot[i]] = row[i]
        agm_conversation_words(self._texts, self._n_parts, &self._runs, terms, counts, names, q,
                               whole, k1, b, &words)
        agm_conversation_total(&self._runs, weights, dense, &words,
                               <const int32_t *>self._actors.view.buf, asked,
                               <const float *>self._length_part.view.buf, extra, best, total)
        for p in range(self._n_parts):
            slot = self._texts[p].slots
            for i in range(self._parts[p].rows):
                out[i] = total[slot[i]] if slot[i] >= 0 else 0.0
            out += self._parts[p].rows
