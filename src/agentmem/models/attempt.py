"""What the ways to fetch files have in common."""

from __future__ import annotations

__all__ = ["AttemptError"]


class AttemptError(Exception):
    """One source did not deliver; another may.  Never leaves this package."""
