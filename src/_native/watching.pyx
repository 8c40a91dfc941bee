"""Whether a SQLite database has been written to, by a look at shared memory."""

cimport cython
from libc.stdint cimport uint32_t, uintptr_t
from libc.string cimport memcmp


cdef extern from "walindex.h" nogil:
    enum: AGM_WAL_WORDS
    bint agm_wal_header(const volatile uint32_t *index, uint32_t *header)


cdef class WalIndex:
    """The header of a WAL index that SQLite has mapped into this process.

    Args:
        address: where the first page of the index begins; it must stay mapped until ``close``.
    """

    cdef const volatile uint32_t *_index

    def __cinit__(self, address):
        self._index = <const volatile uint32_t *><uintptr_t>address

    @cython.critical_section
    def header(self):
        """48 bytes that no two commits have in common; None while they are being written."""
        cdef uint32_t header[AGM_WAL_WORDS]
        if self._index is NULL or not agm_wal_header(self._index, header):
            return None
        return (<char *>header)[:sizeof(header)]

    @cython.critical_section
    def holds(self, bytes header):
        """Whether nobody has committed since ``header`` was read."""
        cdef uint32_t now[AGM_WAL_WORDS]
        if self._index is NULL or len(header) != sizeof(now):
            return False
        return agm_wal_header(self._index, now) and memcmp(now, <const char *>header,
                                                           sizeof(now)) == 0

    @cython.critical_section
    def close(self):
        """The memory is not looked at again."""
        self._index = NULL
