"""From ranked memories to the dictionaries that a search returns: the steps of every search that
are done once for each hit."""

from cpython.dict cimport PyDict_Copy
from cpython.object cimport PyObject_RichCompareBool, Py_EQ
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_SIZE, PyTuple_SET_ITEM

cdef extern from "Python.h":
    object PyType_GenericAlloc(type kind, Py_ssize_t items)


def hits(type kind, list keys, list scores, list seqs):
    """``[kind(key, score, None, seq), ...]`` of as many keys, scores and seqs.

    Args:
        kind: ``types.Hit``, or another named tuple of four fields.

    Raises:
        TypeError: ``kind`` is no class of tuples.
        ValueError: lists of different lengths.
    """
    cdef Py_ssize_t i, n = len(keys)
    cdef list made
    if not issubclass(kind, tuple):
        raise TypeError(f"hits are named tuples, not {kind.__name__}")
    if len(scores) != n or len(seqs) != n:
        raise ValueError(f"{n} keys, {len(scores)} scores and {len(seqs)} seqs")
    made = []
    for i in range(n):
        hit = PyType_GenericAlloc(kind, 4)
        _put(hit, 0, keys[i])
        _put(hit, 1, scores[i])
        _put(hit, 2, None)
        _put(hit, 3, seqs[i])
        made.append(hit)
    return made


cdef inline void _put(object hit, Py_ssize_t at, object value):
    Py_INCREF(value)
    PyTuple_SET_ITEM(hit, at, value)


def match(ranked, dict held):
    """What is held of each hit, if it is of the hit's version.

    Args:
        ranked: a sequence of ``types.Hit``.
        held: key -> a tuple that begins with the event which made the memory what is held.

    Returns:
        ``(answer, missing)``: ``answer`` has ``(hit, what is held)`` for each hit, None where that
        is of another version or nothing; ``missing`` is ``{key: event}`` of those hits.
    """
    cdef list answer = []
    cdef dict missing = {}
    for hit in ranked:
        key, event = _field(hit, 0), _field(hit, 3)
        found = held.get(key)
        if found is not None and not PyObject_RichCompareBool(_field(found, 0), event, Py_EQ):
            found = None
        if found is None:
            missing[key] = event
        answer.append((hit, found))
    return answer, missing


cdef inline object _field(object one, Py_ssize_t at):
    """Of a hit, or of what is held of it: both have four fields."""
    if not PyTuple_Check(one) or PyTuple_GET_SIZE(one) != 4:
        raise TypeError(f"expected a tuple of four fields, got {one!r:.80}")
    return (<tuple>one)[at]


def copies(list answer, decode):
    """The items of an answer with their scores, as the caller's own.

    Args:
        answer: ``(hit, (event, item, metadata, bytes))`` of each hit; ``metadata`` is None where
            the item's can be shared, "" where a copy of the dictionary will do, else the JSON to
            ``decode`` anew.
    """
    cdef list items = []
    cdef tuple pair
    cdef dict kept, item
    for pair in answer:
        hit, held = pair
        kept = _field(held, 1)
        item = PyDict_Copy(kept)
        metadata = _field(held, 2)
        if metadata is not None:
            item["metadata"] = decode(metadata) if metadata else kept["metadata"].copy()
        item["score"] = _field(hit, 1)
        parts = _field(hit, 2)
        if parts is not None:
            item["explain"] = parts
        items.append(item)
    return items


def keys_of(list answer):
    """The keys of an answer's hits, in order."""
    cdef list keys = []
    for pair in answer:
        keys.append(_field((<tuple?>pair)[0], 0))
    return keys
