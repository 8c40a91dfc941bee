"""SQLite: records, vectors, keyword rows and the log, in one transaction.

``store``        the folder, and reading and writing it
``transaction``  what one write transaction may change
``snapshot``     what one read transaction answers
``schema``       tables and migrations
``filters``      the filter algebra, as SQL
"""

from agentmem.store import filters
from agentmem.store.store import Store

__all__ = ["Store", "filters"]
