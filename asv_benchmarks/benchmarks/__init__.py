"""Benchmarks for asv.  A benchmark is never changed, only added: its past would be lost."""
