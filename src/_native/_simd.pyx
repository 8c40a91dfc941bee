"""The table of vector kernels, picked once for this process.

The other extension modules take it from the capsule ``dispatch``.  ``select`` exists for the
door (at import) and for tests; it stores one pointer, so kernels that already run keep the
table that they began with.
"""

from cpython.pycapsule cimport PyCapsule_New

from kernels cimport agm_available, agm_dispatch, agm_kernels

cdef agm_dispatch _dispatch
cdef const agm_kernels *_levels[4]
cdef size_t _count = agm_available(_levels)

_dispatch.current = _levels[_count - 1]
dispatch = PyCapsule_New(&_dispatch, "agentmem._native._simd.dispatch", NULL)


def available() -> tuple:
    """Names of the levels that this machine can run, lowest first."""
    return tuple([_levels[i].name.decode() for i in range(_count)])


def level() -> str:
    """The level in use."""
    return _dispatch.current.name.decode()


def select(str name not None) -> None:
    """Use level ``name`` from now on, in every module.

    Raises:
        KeyError: ``name`` is not one of ``available()``.
    """
    cdef size_t i
    for i in range(_count):
        if _levels[i].name.decode() == name:
            _dispatch.current = _levels[i]
            return
    raise KeyError(name)
