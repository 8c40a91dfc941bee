"""Hybrid scores of a partition's memories, each with what stands around it, and the best of them.

Nothing here changes once made: many threads may ask one ``Conversation`` at once.
"""

from libc.stdint cimport (
    int8_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t, uintptr_t,
)
from libc.stdlib cimport calloc, free, malloc

from agentmem._native.scan import Postings

from kernels cimport (
    agm_conversation, agm_conversation_best, agm_conversation_score, agm_conversation_work,
    agm_postings, agm_query, agm_ranked, agm_segment, agm_text, agm_weights,
    agm_whole,
)

include "buffers.pxi"
include "simd.pxi"

# Numbers to multiply, under which the interpreter lock is kept: handing it over and waiting to get
# it back costs more than the work.  Measured with 256 dimensions and two threads that do nothing but
# search, over one thread: 1,000 rows (10 us of native work) 0.4 with the lock given up and 0.9
# without; 10,000 rows (100 us) 1.3 to 1.9 with it given up.
cdef Py_ssize_t _SMALL = 1 << 20


cdef class _Question:
    """A query, checked, and its memory held."""

    cdef agm_query at
    cdef agm_whole whole
    cdef tuple held


cdef class Conversation:
    """Scores of all live rows of one partition, with what stands around each of them.

    Live rows have *slots*: run after run, within a run in its order.  A row's own score is
    ``dense * cosine + keyword * bm25 / bound``; ``docs/ranking.md`` has the whole formula.

    Args:
        parts: for each segment ``(matrix float32 or float16 (n, d), Postings of n documents,
            slots int32 (n,), keys int64 (n,), seqs int64 (n,), codes)``; a row that is not live has slot -1, and the
            others have each slot once.  ``codes`` is None, or ``(codes int8 (n, d), scales float32
            (n,), length, error)``, see ``agentmem.index.codes``.
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

    cdef agm_conversation _self
    cdef list _held  # keeps the memory of the parts
    cdef agm_segment *_segments
    cdef agm_text *_texts
    cdef const int64_t **_seqs
    cdef int32_t *_places  # of slots: run, segment, row
    cdef float *_floats  # lengths of slots, windows, runs; of slots whether one is before, after
    cdef Py_ssize_t _n_actors
    cdef _Buffer _starts, _length_part, _actors

    def __cinit__(self, list parts, starts, length_part, actors, Py_ssize_t n_actors,
                  Py_ssize_t window, means=None):
        cdef Py_ssize_t i, r, slots, runs, n = len(parts)
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
        self._segments = <agm_segment *>calloc(n + 1, sizeof(agm_segment))
        self._texts = <agm_text *>malloc((n + 1) * sizeof(agm_text))
        self._seqs = <const int64_t **>malloc((n + 1) * sizeof(int64_t *))
        self._places = <int32_t *>malloc((3 * slots + 1) * sizeof(int32_t))
        self._floats = <float *>malloc((4 * slots + runs + 1) * sizeof(float))
        if (self._segments is NULL or self._texts is NULL or self._seqs is NULL
                or self._places is NULL or self._floats is NULL):
            raise MemoryError()
        self._self.segments = self._segments
        self._self.n_segments = n
        self._self.texts = self._texts
        self._self.runs.slots = slots
        self._self.runs.runs = runs
        self._self.runs.starts = first
        self._self.runs.window = window
        self._self.runs.run_of = self._places
        self._self.segment_of = self._places + slots
        self._self.row_of = self._places + 2 * slots
        self._self.length_part = <const float *>self._length_part.view.buf
        self._self.actors = <const int32_t *>self._actors.view.buf
        self._take_parts(parts)
        self._measure()
        if means is not None:
            (self._self.runs.length, self._self.runs.window_length,
             self._self.runs.run_length) = means

    cdef _take_parts(self, list parts):
        cdef _Buffer rows, slots, keys, seqs
        cdef const agm_postings *postings
        cdef Py_ssize_t p, n, taken = 0, dim = -1
        cdef Py_ssize_t count = self._self.runs.slots
        cdef agm_segment *segment
        seen = bytearray(count)
        for p in range(len(parts)):
            matrix, words, places, numbers, events, codes = parts[p]
            if not isinstance(words, Postings):
                raise TypeError(f"a part needs Postings, not {type(words).__name__}")
            postings = <const agm_postings *><uintptr_t>words._address
            rows = _read(matrix, b"fe", 2, "matrix")
            slots = _read(places, b"i", 1, "slots")
            keys = _read(numbers, b"q", 1, "keys")
            seqs = _read(events, b"q", 1, "seqs")
            n = rows.size(0)
            if (slots.size(0) != n or <Py_ssize_t>postings.documents != n or keys.size(0) != n
                    or seqs.size(0) != n):
                raise ValueError(f"a part of {n} vectors has {slots.size(0)} slots, "
                                 f"{keys.size(0)} keys, {seqs.size(0)} seqs and postings of "
                                 f"{postings.documents} documents")
            if dim >= 0 and rows.size(1) != dim:
                raise ValueError(f"parts of {dim} and {rows.size(1)} dimensions")
            dim = rows.size(1)
            segment = &self._segments[p]
            segment.matrix = rows.view.buf
            segment.half = rows.kind == b"e"
            segment.rows = n
            segment.slots = <const int32_t *>slots.view.buf
            segment.keys = <const int64_t *>keys.view.buf
            self._texts[p].postings = postings
            self._texts[p].slots = segment.slots
            taken += self._place(p, postings, seen)
            self._self.rows += n
            self._self.largest = max(<Py_ssize_t>self._self.largest, n)
            self._seqs[p] = <const int64_t *>seqs.view.buf
            self._held.append((rows, words, slots, keys, seqs, self._take_codes(segment, n, dim, codes)))
        if taken != count:
            raise ValueError(f"{count} slots, but only {taken} rows in them")
        self._self.dim = max(dim, 0)

    cdef tuple _take_codes(self, agm_segment *segment, Py_ssize_t n, Py_ssize_t dim, given):
        cdef _Buffer codes, scales
        if given is None:
            return None
        codes = _read(given[0], b"b", 2, "codes")
        scales = _read(given[1], b"f", 1, "scales")
        if codes.size(0) != n or codes.size(1) != dim or scales.size(0) != n:
            raise ValueError(f"a part of {n} vectors of {dim} has codes of {codes.size(0)} of "
                             f"{codes.size(1)}, and {scales.size(0)} scales")
        segment.codes = <const int8_t *>codes.view.buf
        segment.scales = <const float *>scales.view.buf
        segment.length, segment.error = given[2], given[3]
        return codes, scales

    cdef Py_ssize_t _place(self, Py_ssize_t p, const agm_postings *postings,
                           bytearray seen) except -1:
        """Give a part's rows their slots; how many have one."""
        cdef agm_segment *segment = &self._segments[p]
        cdef const int32_t *slot = segment.slots
        cdef int32_t *segment_of = self._places + self._self.runs.slots
        cdef int32_t *row_of = segment_of + self._self.runs.slots
        cdef float *lengths = self._floats
        cdef char *mark = seen
        cdef Py_ssize_t i, n = segment.rows, taken = 0
        cdef int32_t at, slots = self._self.runs.slots
        cdef int32_t first = slot[0] if n else -1
        for i in range(n):
            at = slot[i]
            if at != first + i:
                first = -1
            if at == -1:
                continue
            if not 0 <= at < slots or mark[at]:
                raise ValueError(f"slot {at} is taken twice or does not exist")
            mark[at] = 1
            lengths[at] = postings.lengths[i]
            segment_of[at] = p
            row_of[at] = i
            taken += 1
        segment.first = first
        segment.live = taken == n
        return taken

    cdef void _measure(self) noexcept:  # C alone: nothing in it raises
        """Lengths of windows and runs, the means; which slots have neighbours."""
        cdef int32_t r, s, start, end
        cdef int32_t slots = self._self.runs.slots
        cdef int64_t window = self._self.runs.window
        cdef const int32_t *starts = self._self.runs.starts
        cdef int32_t *run_of = self._places
        cdef float *own = self._floats
        cdef float *windows = own + slots
        cdef float *before = windows + slots
        cdef float *after = before + slots
        cdef float *runs = after + slots
        cdef double around, whole, all_own = 0, all_windows = 0  # whole numbers: sums are exact
        for r in range(self._self.runs.runs):
            start, end = starts[r], starts[r + 1]
            around = whole = 0
            for s in range(start, min(start + window, end)):
                around += own[s]
            for s in range(start, end):
                if s + window < end:
                    around += own[s + window]
                windows[s] = around
                all_windows += around
                if s - window >= start:
                    around -= own[s - window]
                whole += own[s]
                run_of[s] = r
                before[s] = after[s] = 1
            before[start] = after[end - 1] = 0
            runs[r] = whole
            all_own += whole
        self._self.before = before
        self._self.after = after
        self._self.runs.lengths = own
        self._self.runs.window_lengths = windows
        self._self.runs.run_lengths = runs
        if slots:
            self._self.runs.length = all_own / slots
            self._self.runs.window_length = all_windows / slots
            self._self.runs.run_length = all_own / self._self.runs.runs

    def __dealloc__(self):
        free(self._segments)
        free(self._texts)
        free(self._seqs)
        free(self._places)
        free(self._floats)

    @property
    def rows(self):
        """Rows of all parts, live or not: how many scores there are."""
        return self._self.rows

    @property
    def work_size(self):
        """How many float32 ``score`` and ``best`` need to work in."""
        return agm_conversation_work(&self._self)

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
            work: float32 (work_size,) or more.  Holds afterwards, one after the other: per slot the
                cosine, BM25 of its text, BM25 of its window, 1 where such a name occurs; per run
                BM25 and the highest cosine.
            out: float32 (rows,), overwritten.
            whole: of the partition that these rows are a part of ``(texts, runs, texts_with,
                runs_with)``: how many it has, and int32 (q,) each how many have each term; None
                where these rows are all of it.
        """
        cdef _Question question = self._question(vector, terms, counts, names, asked, extra,
                                                 weights, k1, b, whole)
        cdef agm_conversation own = self._self
        cdef float *space = self._work(work)
        cdef _Buffer target = _write(out, b"f", 1, "out")
        own.kernels = _simd.current
        if target.size(0) != <Py_ssize_t>own.rows:
            raise ValueError(f"out has {target.size(0)} entries for {own.rows} rows")
        if <Py_ssize_t>(own.rows * own.dim) < _SMALL:
            agm_conversation_score(&own, &question.at, space, <float *>target.view.buf)
        else:
            with nogil:
                agm_conversation_score(&own, &question.at, space, <float *>target.view.buf)

    def best(self, vector, terms, counts, names, asked, extra, weights, float k1, float b,
             work, masks, Py_ssize_t k, threshold=None):
        """The best ``k`` rows, best first, equal scores by smaller key: the same, to the bit, as
        choosing among what ``score`` gives.

        Args:
            masks: for each part uint8 or bool (n,), a row counts where it is not 0, or None for
                all; none that is not live may count.
            k: how many at most.
            threshold: only scores ``>= threshold``; None for all.
            The others as for ``score``; ``work`` is overwritten.

        Returns:
            ``(keys, scores, seqs)``, lists of as many numbers.
        """
        cdef _Question question = self._question(vector, terms, counts, names, asked, extra,
                                                 weights, k1, b, None)
        cdef agm_conversation own = self._self
        cdef float *space = self._work(work)
        cdef Py_ssize_t p, i, n = own.n_segments
        cdef int64_t found
        cdef bint has_threshold = threshold is not None
        cdef float bound = threshold if has_threshold else 0.0
        cdef const uint8_t **allow
        cdef agm_ranked *ranked
        cdef list held = []
        own.kernels = _simd.current
        if k < 0:
            raise ValueError(f"k must be at least 0, got {k}")
        if bound != bound:
            raise ValueError("threshold must be a number, got NaN")
        if len(masks) != n:
            raise ValueError(f"{len(masks)} masks for {n} parts")
        if <uint64_t>own.rows >= <uint64_t>0xffffffff:
            raise ValueError(f"{own.rows} rows; at most 2**32 - 2 can be ranked at once")
        k = min(k, <Py_ssize_t>own.rows)
        allow = <const uint8_t **>calloc(n + 1, sizeof(void *))
        ranked = <agm_ranked *>malloc((k + 1) * sizeof(agm_ranked))
        try:
            if allow is NULL or ranked is NULL:
                raise MemoryError()
            for p in range(n):
                allow[p] = self._mask(masks[p], p, held)
            if <Py_ssize_t>(own.rows * own.dim) < _SMALL:
                found = agm_conversation_best(&own, &question.at, allow, k, has_threshold, bound,
                                              space, ranked)
            else:
                with nogil:
                    found = agm_conversation_best(&own, &question.at, allow, k, has_threshold,
                                                  bound, space, ranked)
            if found < 0:
                raise MemoryError()
            return (
                [ranked[i].key for i in range(found)],
                [ranked[i].score for i in range(found)],
                [self._seqs[ranked[i].segment][ranked[i].row] for i in range(found)],
            )
        finally:
            free(allow)
            free(ranked)

    cdef const uint8_t *_mask(self, given, Py_ssize_t p, list held) except? NULL:
        cdef _Buffer mask
        if given is None:
            return NULL
        mask = _read(given, b"B", 1, "mask")
        if mask.size(0) != <Py_ssize_t>self._segments[p].rows:
            raise ValueError(f"a mask has {mask.size(0)} entries for {self._segments[p].rows} rows")
        held.append(mask)
        return <const uint8_t *>mask.view.buf

    cdef float *_work(self, work) except NULL:
        """Somewhere to work; the caller holds the array."""
        cdef _Buffer space = _write(work, b"f", 1, "work")
        if space.size(0) < self.work_size:
            raise ValueError(f"work has {space.size(0)} entries, not {self.work_size}")
        return <float *>space.view.buf

    cdef _Question _question(self, vector, terms, counts, names, asked, extra, weights, float k1,
                             float b, whole):
        cdef _Buffer query = _read(vector, b"f", 1, "vector")
        cdef _Buffer wanted = _read(terms, b"Q", 1, "terms")
        cdef _Buffer times = _read(counts, b"H", 1, "counts")
        cdef _Buffer factors = _read(weights, b"f", 1, "weights")
        cdef _Buffer marks = None, people = None, more = None, texts_with = None, runs_with = None
        cdef Py_ssize_t q = wanted.size(0)
        cdef _Question made = _Question.__new__(_Question)
        if self._self.n_segments and query.size(0) != <Py_ssize_t>self._self.dim:
            raise ValueError(f"vector has {query.size(0)} dimensions, not {self._self.dim}")
        if times.size(0) != q:
            raise ValueError(f"{q} terms, but {times.size(0)} counts")
        if factors.size(0) != 8:
            raise ValueError(f"weights must be 8, got {factors.size(0)}")
        if not (0 <= k1 < 1e30) or not 0 <= b <= 1:
            raise ValueError(f"k1 must be >= 0 and b in 0..1, got {k1} and {b}")
        made.at.vector = <const float *>query.view.buf
        made.at.terms = <const uint64_t *>wanted.view.buf
        made.at.counts = <const uint16_t *>times.view.buf
        made.at.weights = <const agm_weights *>factors.view.buf
        made.at.n_terms = q
        made.at.k1 = k1
        made.at.b = b
        if names is not None:
            marks = _read(names, b"B", 1, "names")
            if marks.size(0) != q:
                raise ValueError(f"{q} terms, but names has {marks.size(0)}")
            made.at.names = <const uint8_t *>marks.view.buf
        if asked is not None:
            people = _read(asked, b"B", 1, "asked")
            if people.size(0) != self._n_actors + 1:
                raise ValueError(f"asked has {people.size(0)} entries, not {self._n_actors + 1}")
            made.at.asked = <const uint8_t *>people.view.buf
        if extra is not None:
            more = _read(extra, b"f", 1, "extra")
            if more.size(0) != self._self.runs.slots:
                raise ValueError(f"extra has {more.size(0)} entries, not {self._self.runs.slots}")
            made.at.extra = <const float *>more.view.buf
        if whole is not None:
            made.whole.slots, made.whole.runs = whole[0], whole[1]
            texts_with = _read(whole[2], b"i", 1, "texts_with")
            runs_with = _read(whole[3], b"i", 1, "runs_with")
            if texts_with.size(0) != q or runs_with.size(0) != q:
                raise ValueError(f"{q} terms, but the whole counts {texts_with.size(0)} and "
                                 f"{runs_with.size(0)}")
            made.whole.texts_with = <const int32_t *>texts_with.view.buf
            made.whole.runs_with = <const int32_t *>runs_with.view.buf
            made.at.whole = &made.whole
        made.held = (query, wanted, times, factors, marks, people, more, texts_with, runs_with)
        return made
