"""The hot index: exact hybrid search over what one process holds in memory.

``analyzer.EnglishAnalyzer`` and ``hot.HotIndex``; imported from there, because the second needs
NumPy and opening a store does not.
"""
