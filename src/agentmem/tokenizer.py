"""A model's own tokenizer, as the library of its authors reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem.errors import ModelCorruptError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_tokenizer"]


def open_tokenizer(path: Path, *, max_length: int = 0) -> Any:
    """A ``tokenizers.Tokenizer`` that never pads.

    Args:
        max_length: tokens at which a text is cut, special ones included; 0 cuts none.

    Raises:
        ModelCorruptError: the file cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        made = Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises Exception itself, and no kind of it
        if type(e) is not Exception:
            raise
        raise ModelCorruptError(
            f"{path} is not a readable tokenizer ({e}); agentmem models verify says which "
            "model is damaged, agentmem models pull --force fetches it again"
        ) from e
    made.no_padding()
    if max_length:
        made.enable_truncation(max_length)
    else:
        made.no_truncation()
    return made
