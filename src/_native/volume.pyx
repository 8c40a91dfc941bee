"""The words of a large set of runs: turning texts to postings, and the slots most worth scoring.

Arrays come as they are, from memory or from a file that is mapped; nothing is kept of them.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from kernels cimport (
    agm_list, agm_postings, agm_postings_build, agm_postings_free, agm_question,
    agm_volume, agm_volume_best, agm_weights,
)

include "buffers.pxi"
include "simd.pxi"


def invert(offsets, terms, counts):
    """From the terms of each text to the texts of each term.

    Args:
        offsets, terms, counts: int64 (n + 1,), uint64 and uint16 (total,), in CSR form (see
            ``types.TermBatch``); a text's terms are distinct.

    Returns:
        ``(terms uint64 (distinct,), starts int64 (distinct + 1,), texts int32 (total,), counts
        uint16 (total,))``: the terms in ascending order, and for each its texts, ascending.

    Raises:
        ValueError: the arrays do not fit one another.
    """
    cdef _Buffer ends = _read(offsets, b"q", 1, "offsets")
    cdef _Buffer hashes = _read(terms, b"Q", 1, "terms")
    cdef _Buffer times = _read(counts, b"H", 1, "counts")
    cdef Py_ssize_t n = ends.size(0) - 1, total = hashes.size(0), i
    cdef const int64_t *end = <const int64_t *>ends.view.buf
    cdef agm_postings made
    cdef uint32_t *lengths
    cdef int status
    if n < 0 or times.size(0) != total or n >= 0x7fffffff or total >= 0x7fffffff:
        raise ValueError(f"{n + 1} offsets, {total} terms and {times.size(0)} counts do not fit")
    if end[0] != 0 or end[n] != total:
        raise ValueError(f"offsets must run from 0 to {total}, the number of terms")
    for i in range(n):
        if end[i] > end[i + 1]:
            raise ValueError(f"offsets must not descend, but {end[i + 1]} follows {end[i]}")
    lengths = <uint32_t *>calloc(n + 1, sizeof(uint32_t))
    if lengths is NULL:
        raise MemoryError()
    with nogil:
        status = agm_postings_build(&made, n, end, <const uint64_t *>hashes.view.buf,
                                    <const uint16_t *>times.view.buf, lengths)
    free(lengths)
    if status != 0:
        raise MemoryError(f"no memory for the postings of {n} texts")
    try:
        return _sorted_lists(&made)
    finally:
        agm_postings_free(&made)


cdef _sorted_lists(agm_postings *made):
    """The lists of ``made`` in ascending order of terms."""
    cdef Py_ssize_t distinct = made.distinct, i, number, size, begin
    cdef int64_t at = 0
    np = _numpy()
    found = np.empty(distinct, np.uint64)
    cdef _Buffer hashes = _write(found, b"Q", 1, "terms")
    memcpy(hashes.view.buf, made.terms, distinct * sizeof(uint64_t))
    order = np.argsort(found).astype(np.int64)
    starts = np.empty(distinct + 1, np.int64)
    texts = np.empty(made.total, np.int32)
    counts = np.empty(made.total, np.uint16)
    cdef _Buffer numbers = _read(order, b"q", 1, "order")
    cdef _Buffer heads = _write(starts, b"q", 1, "starts")
    cdef _Buffer places = _write(texts, b"i", 1, "texts")
    cdef _Buffer times = _write(counts, b"H", 1, "counts")
    cdef int64_t *first = <int64_t *>heads.view.buf
    cdef int32_t *text = <int32_t *>places.view.buf
    cdef uint16_t *count = <uint16_t *>times.view.buf
    for i in range(distinct):
        number = (<const int64_t *>numbers.view.buf)[i]
        begin = made.starts[number]
        size = made.starts[number + 1] - begin
        memcpy(text + at, made.docs + begin, size * sizeof(int32_t))
        memcpy(count + at, made.counts + begin, size * sizeof(uint16_t))
        first[i] = at
        at += size
    first[distinct] = at
    return found[order], starts, texts, counts


cdef const void *_column(object source, const char *kinds, Py_ssize_t n, str name, list held):
    """The memory of one array of ``n`` entries, NULL for None."""
    cdef _Buffer buffer
    if source is None:
        return NULL
    buffer = _read(source, kinds, 1, name)
    if n >= 0 and buffer.size(0) != n:
        raise ValueError(f"{name} has {buffer.size(0)} entries, not {n}")
    held.append(buffer)
    return buffer.view.buf


cdef class Texts:
    """The texts of a set of runs, by slot: run after run, within a run in its order.

    Args:
        starts: int32 (runs + 1,), the first slot of each run, ascending from 0; none is empty.
        lengths, window_lengths: float32 (slots,), in terms, of texts and of their windows.
        run_lengths: float32 (runs,).
        keys: int64 (slots,).
        actors: int32 (slots,), from 0, which is nobody, to n_actors.
        event_at: int64 (slots,).
        window: neighbours on each side.

    Raises:
        ValueError: the arrays do not fit one another.
    """

    cdef agm_volume _self
    cdef list _held
    cdef float *_shortest  # of each run the least length of a text, then of a window
    cdef Py_ssize_t _n_actors

    def __cinit__(self, starts, lengths, window_lengths, run_lengths, keys, actors, event_at,
                  Py_ssize_t n_actors, Py_ssize_t window):
        cdef _Buffer first = _read(starts, b"i", 1, "starts")
        cdef Py_ssize_t runs = first.size(0) - 1, slots = _read(keys, b"q", 1, "keys").size(0), i
        cdef const int32_t *start = <const int32_t *>first.view.buf
        if runs < 0 or slots >= 0x7fffffff or start[0] != 0 or start[runs] != slots:
            raise ValueError(f"starts must run from 0 to {slots}, the number of slots")
        for i in range(runs):
            if start[i] >= start[i + 1]:
                raise ValueError(f"run {i} from slot {start[i]} to {start[i + 1]} is empty")
            self._self.longest = max(self._self.longest, start[i + 1] - start[i])
        if not 0 <= window < 0x10000:
            raise ValueError(f"window must be from 0 to 65535, got {window}")
        self._held = [first]
        self._n_actors = n_actors
        self._self.slots, self._self.runs, self._self.window = slots, runs, window
        self._self.starts = start
        held = self._held
        self._self.lengths = <const float *>_column(lengths, b"f", slots, "lengths", held)
        self._self.window_lengths = <const float *>_column(
            window_lengths, b"f", slots, "window_lengths", held)
        self._self.run_lengths = <const float *>_column(
            run_lengths, b"f", runs, "run_lengths", held)
        self._self.keys = <const int64_t *>_column(keys, b"q", slots, "keys", held)
        self._self.actors = <const int32_t *>_column(actors, b"i", slots, "actors", held)
        self._self.event_at = <const int64_t *>_column(event_at, b"q", slots, "event_at", held)
        for i in range(slots):
            if not 0 <= self._self.actors[i] <= n_actors:
                raise ValueError(f"actors must be numbers from 0 to {n_actors}")
        self._shortest = <float *>malloc((2 * runs + 1) * sizeof(float))
        if self._shortest is NULL:
            raise MemoryError()
        _least_of(self._self.lengths, start, runs, self._shortest)
        _least_of(self._self.window_lengths, start, runs, self._shortest + runs)
        self._self.shortest = self._shortest
        self._self.shortest_window = self._shortest + runs

    def __dealloc__(self):
        free(self._shortest)

    def best(self, lists, weights, float k1, float b, means, Py_ssize_t room, *, asked=None,
             spans=None, double fade=1.0, float date=0.0, length_part=None, extra=None,
             live=None, mask=None, float floor=0.0):
        """The slots whose words, people and dates score highest, in runs that have a term.

        Args:
            lists: one ``(slots int32, counts uint16, runs int32, run_counts uint16, weight,
                run_weight, is_name)`` per term of the query, in ascending order of terms: its
                postings by text and by run, whose counts are the sums of its texts' or, where
                those are more, 65,535; and its weights among texts and among runs, over their
                bounds.
            weights: float32 (8,), see ``scan.Conversation.score``; those of vectors count nothing.
            k1, b: of BM25.
            means: of the lengths of texts, windows and runs of the partition.
            room: how many at most.
            asked: uint8 (n_actors + 1,), 1 for actors whom the query names; None if none.
            spans: int64 (2 * s,), times ``[from, to)`` that the query names; the part falls from
                1 at the end of a span to 0 at ``fade`` microseconds after it, times ``date``.
            length_part: float32, by length in terms; longer texts have the last one.
            extra: float32 (slots,) to add.
            live: uint8 (runs,), a run counts where it is not 0; None for all.
            mask: uint8 (slots,), a slot may be named where it is not 0; None for all.
            floor: no score below it is wanted.

        Returns:
            ``(slots int32, scores float32)``, best first, equal ones by smaller key; only scores
            above 0.
        """
        cdef list held = []
        cdef Py_ssize_t slots = self._self.slots, n_lists = len(lists), i, n
        cdef agm_question question
        cdef agm_list *terms = <agm_list *>calloc(n_lists + 1, sizeof(agm_list))
        cdef int64_t found, size
        cdef _Buffer part, values, spread
        if terms is NULL:
            raise MemoryError()
        try:
            for i in range(n_lists):
                places, counts, runs, run_counts, weight, run_weight, name = lists[i]
                part = _read(places, b"i", 1, "slots of a term")
                n = part.size(0)
                held.append(part)
                terms[i].slots = <const int32_t *>part.view.buf
                terms[i].counts = <const uint16_t *>_column(counts, b"H", n, "counts", held)
                terms[i].n = n
                spread = _read(runs, b"i", 1, "runs of a term")
                n = spread.size(0)
                held.append(spread)
                terms[i].runs = <const int32_t *>spread.view.buf
                terms[i].run_counts = <const uint16_t *>_column(run_counts, b"H", n,
                                                                "run_counts", held)
                terms[i].n_runs = n
                terms[i].weight, terms[i].run_weight = weight, run_weight
                terms[i].name = bool(name)
                _check_list(terms[i], slots)
            question.weights = (<const agm_weights *>_column(
                weights, b"f", 8, "weights", held))[0]
            question.k1, question.b, question.floor = k1, b, floor
            question.length, question.window_length, question.run_length = means
            question.asked = <const uint8_t *>_column(asked, b"B", self._n_actors + 1, "asked",
                                                      held)
            question.spans = <const int64_t *>_column(spans, b"q", -1, "spans", held)
            question.n_spans = 0 if spans is None else len(spans) // 2
            question.fade, question.date = fade, date
            if length_part is None or not len(length_part):
                question.weights.length = 0
            question.length_part = <const float *>_column(length_part, b"f", -1, "length_part",
                                                          held)
            question.n_length_part = 0 if length_part is None else len(length_part)
            question.extra = <const float *>_column(extra, b"f", slots, "extra", held)
            question.live = <const uint8_t *>_column(live, b"B", self._self.runs, "live", held)
            question.mask = <const uint8_t *>_column(mask, b"B", slots, "mask", held)
            size = max(0, min(room, slots))
            np = _numpy()
            best = np.empty(size, np.int32)
            scores = np.empty(size, np.float32)
            part = _write(best, b"i", 1, "best")
            values = _write(scores, b"f", 1, "scores")
            found = self._best(terms, n_lists, &question, size, <int32_t *>part.view.buf,
                               <float *>values.view.buf)
        finally:
            free(terms)
        if found < 0:
            raise MemoryError("no memory to search a volume")
        return best[:found], scores[:found]

    cdef int64_t _best(self, const agm_list *terms, size_t n, const agm_question *question,
                       int64_t room, int32_t *slots, float *scores) noexcept:  # C: raises nothing
        """How many were found, or a negative number: no memory."""
        cdef int64_t found
        cdef agm_volume own = self._self
        own.kernels = _simd.current
        with nogil:
            found = agm_volume_best(&own, terms, n, question, room, slots, scores)
        return found


cdef void _least_of(const float *values, const int32_t *starts, Py_ssize_t runs,
                    float *out) noexcept nogil:
    """The least value of each run, none of which is empty."""
    cdef Py_ssize_t run, i
    cdef float least
    for run in range(runs):
        least = values[starts[run]]
        for i in range(starts[run] + 1, starts[run + 1]):
            least = min(least, values[i])
        out[run] = least


cdef _check_list(agm_list term, Py_ssize_t slots):
    """Bounds of a posting list: its ends, as it ascends."""
    if term.n and not (0 <= term.slots[0] and term.slots[term.n - 1] < slots):
        raise ValueError(f"a term's slots must lie in 0..{slots - 1}")
