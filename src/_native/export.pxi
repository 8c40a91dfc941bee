# The structures of the Arrow C data interface, filled from columns, and their release.  Textually
# included by ``arrow.pyx``.  Every structure is allocated on its own, since a consumer may move
# children out.

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define agm_is_finalizing Py_IsFinalizing
    #else
    #define agm_is_finalizing _Py_IsFinalizing
    #endif
    static int agm_may_lock(void) { return Py_IsInitialized() && !agm_is_finalizing(); }
    """
    bint agm_may_lock() noexcept nogil

cdef struct ArrowSchema:
    const char *format
    const char *name
    const char *metadata
    int64_t flags
    int64_t n_children
    ArrowSchema **children
    ArrowSchema *dictionary
    void (*release)(ArrowSchema *) noexcept nogil
    void *private_data

cdef struct ArrowArray:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers
    ArrowArray **children
    ArrowArray *dictionary
    void (*release)(ArrowArray *) noexcept nogil
    void *private_data

cdef int64_t _NULLABLE = 2


cdef void _release_schema(ArrowSchema *schema) noexcept nogil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i] is not NULL:
            if schema.children[i].release is not NULL:
                schema.children[i].release(schema.children[i])
            free(schema.children[i])
    free(schema.children)
    free(<void *>schema.format)
    free(<void *>schema.name)
    schema.release = NULL


cdef void _drop(void *owner) noexcept with gil:
    Py_DECREF(<object>owner)


cdef void _release_array(ArrowArray *array) noexcept nogil:
    """Called by the consumer, on any thread, with or without the interpreter lock."""
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i] is not NULL:
            if array.children[i].release is not NULL:
                array.children[i].release(array.children[i])
            free(array.children[i])
    free(array.children)
    free(array.buffers)
    # Once the interpreter ends there is nobody to give the reference back to, and a thread that
    # asked for its lock would be ended there and then, in the middle of what called this.
    if array.private_data is not NULL and agm_may_lock():
        _drop(array.private_data)
    array.release = NULL


cdef char *_copy_text(bytes text) except NULL:
    cdef char *copy = <char *>calloc(len(text) + 1, 1)
    if copy is NULL:
        raise MemoryError()
    memcpy(copy, PyBytes_AS_STRING(text), len(text))
    return copy


cdef int _fill_schema(ArrowSchema *schema, str format, str name, Py_ssize_t children) except -1:
    """Everything but the children themselves; from here on ``schema`` can be released."""
    schema.release = _release_schema
    schema.format = _copy_text(format.encode())
    schema.name = _copy_text(name.encode())
    schema.flags = _NULLABLE
    schema.children = <ArrowSchema **>calloc(children + 1, sizeof(ArrowSchema *))
    if schema.children is NULL:
        raise MemoryError()
    schema.n_children = children
    return 0


cdef int _export_schema(Column column, str name, ArrowSchema *schema) except -1:
    _fill_schema(schema, column.format, name, 0 if column.child is None else 1)
    if column.child is not None:
        schema.children[0] = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
        if schema.children[0] is NULL:
            raise MemoryError()
        _export_schema(column.child, "item", schema.children[0])
    return 0


cdef int _fill_array(ArrowArray *array, object owner, Py_ssize_t length, int buffers,
                     Py_ssize_t children) except -1:
    array.release = _release_array
    array.length = length
    array.buffers = <const void **>calloc(buffers + 1, sizeof(void *))
    array.children = <ArrowArray **>calloc(children + 1, sizeof(ArrowArray *))
    if array.buffers is NULL or array.children is NULL:
        raise MemoryError()
    array.n_buffers = buffers
    array.n_children = children
    Py_INCREF(owner)
    array.private_data = <void *>owner
    return 0


cdef int _export_array(Column column, ArrowArray *array) except -1:
    cdef int i
    _fill_array(array, column, column.length, column.n_buffers, 0 if column.child is None else 1)
    array.null_count = column.null_count
    for i in range(column.n_buffers):
        array.buffers[i] = column.buffers[i]
    if column.child is not None:
        array.children[0] = <ArrowArray *>calloc(1, sizeof(ArrowArray))
        if array.children[0] is NULL:
            raise MemoryError()
        _export_array(column.child, array.children[0])
    return 0


cdef void _free_schema_capsule(object capsule) noexcept:  # a destructor has nobody to raise to
    cdef ArrowSchema *schema = <ArrowSchema *>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release is not NULL:
        schema.release(schema)
    free(schema)


cdef void _free_array_capsule(object capsule) noexcept:  # a destructor has nobody to raise to
    cdef ArrowArray *array = <ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    if array.release is not NULL:
        array.release(array)
    free(array)
