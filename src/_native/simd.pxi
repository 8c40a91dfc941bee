# The table of kernels for this machine's instruction set.
#
# Not by PyCapsule_Import, which asks each package for an attribute: that is set a moment after other
# threads may import what is in the package.

from importlib import import_module

from cpython.pycapsule cimport PyCapsule_GetPointer

from kernels cimport agm_dispatch

cdef const agm_dispatch *_simd = <const agm_dispatch *>PyCapsule_GetPointer(
    import_module("agentmem._native._simd").dispatch, "agentmem._native._simd.dispatch")
