"""The LanceDB projection: a table that follows the log.

A projection is never asked to be right when SQLite is not: it can be deleted at any time and is
rebuilt.  Nothing here imports lancedb, pyarrow or NumPy before the first drain.
"""
