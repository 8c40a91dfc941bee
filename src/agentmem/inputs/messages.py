"""Values as error messages show them."""

from __future__ import annotations

__all__ = ["shorten", "without_secrets"]


def shorten(value: object, width: int = 60) -> str:
    """``repr`` of a value, cut to about ``width`` characters for an error message."""
    try:
        text = repr(value[: width + 1] if isinstance(value, str) else value)
    except ValueError:  # an int with more digits than Python writes
        text = f"a {type(value).__name__} of thousands of digits"
    return text if len(text) <= width else f"{text[: width - 3]}..."


def without_secrets(uri: str) -> str:
    """A URI for a message: without the user, the password and the query."""
    head, mark, rest = uri.partition("://")
    if not mark:
        return uri
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{head}://{host.rpartition('@')[2]}{slash}{path}"
