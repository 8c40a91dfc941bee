"""Text to token ids, by the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from agentmem._native.wordpiece import WordPiece
from agentmem.errors import InvalidInputError
from agentmem.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Reader", "token_counter", "windows"]

#: Texts and characters that are tokenised at once: enough to sort by length and to keep every
#: core of the (parallel) tokenizer busy, few enough that the token lists of a huge call never
#: exist all at the same time.
WINDOW_TEXTS = 4096
WINDOW_CHARS = 4_000_000

#: Characters of a text that are looked at first, per token that can be kept.  English has
#: about 4.5; text that has more than this is read whole.
CHARS_PER_TOKEN = 16

_LONGEST_WORD = 200  # characters, of those that ``WordPiece`` reads


def windows(texts: list[str]) -> Iterator[range]:
    """Consecutive ranges of ``texts`` that are tokenised together; each has at least one."""
    start = chars = 0
    for i, text in enumerate(texts):
        chars += len(text)
        if i > start and (i - start >= WINDOW_TEXTS or chars > WINDOW_CHARS):
            yield range(start, i)
            start, chars = i, len(text)
    if start < len(texts):
        yield range(start, len(texts))


class Reader:
    """A tokenizer that truncates and never pads; any thread."""

    def __init__(self, path: Path, max_length: int, *, special: bool) -> None:
        """Read ``tokenizer.json``.

        Args:
            max_length: most tokens kept of a text, special ones included.
            special: whether special tokens ([CLS], [SEP]) are added.

        Raises:
            ModelCorruptError: the file cannot be read.
        """
        tokenizer = self._tokenizer = open_tokenizer(path, max_length=max_length)
        self._special = special
        self._max_length = max_length
        self._clip_at = max_length * CHARS_PER_TOKEN if _splits_at_spaces(tokenizer) else 0
        self._around: list[int] = tokenizer.encode("", add_special_tokens=special).ids
        self._plain = _plain_reader(tokenizer) if len(self._around) in (0, 2) else None

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text.

        Raises:
            InvalidInputError: a text has no UTF-8 form (a lone surrogate).
        """
        if not self._clip_at or all(len(t) <= self._clip_at for t in texts):
            return self._encode(texts)
        clipped = [self._clip(t) for t in texts]
        ids = self._encode(clipped)
        short = [
            i
            for i, row in enumerate(ids)
            if len(row) < self._max_length and len(clipped[i]) < len(texts[i])
        ]
        for i, row in zip(short, self._encode([texts[i] for i in short]), strict=True):
            ids[i] = row
        return ids

    def _clip(self, text: str) -> str:
        """The text up to the first space after the characters that matter.

        What a tokenizer of this kind does before a space does not depend on what follows it,
        so if the clipped text still fills ``max_length`` its ids are those of the whole text.
        """
        if len(text) <= self._clip_at:
            return text
        ends = [e for e in (text.find(" ", self._clip_at), text.find("\n", self._clip_at)) if e > 0]
        return text[: min(ends)] if ends else text

    def _encode(self, texts: list[str]) -> list[list[int]]:
        try:
            found = [self._read_plainly(text) for text in texts]
            strange = [i for i, ids in enumerate(found) if ids is None]
            if strange:
                for i, ids in zip(strange, self._ask([texts[i] for i in strange]), strict=True):
                    found[i] = ids
        except (TypeError, UnicodeEncodeError) as e:
            raise _unreadable(texts, e) from e
        return cast("list[list[int]]", found)

    def _read_plainly(self, text: str) -> list[int] | None:
        """By our own kernel; None where only the library can tell."""
        if self._plain is None:
            return None
        around = self._around
        ids = self._plain.ids(text, self._max_length - len(around))
        return ids if ids is None or not around else [around[0], *ids, around[1]]

    def _ask(self, texts: list[str]) -> list[list[int]]:
        """The library."""
        if len(texts) == 1:  # keeps the tokenizer's thread pool, and its locks, out of it
            return [self._tokenizer.encode(texts[0], add_special_tokens=self._special).ids]
        encode = self._tokenizer.encode_batch_fast
        return [e.ids for e in encode(texts, add_special_tokens=self._special)]


def token_counter(path: Path) -> Callable[[Sequence[str]], list[int]]:
    """Counts the tokens of whole texts with the tokenizer in ``path``, no special ones.

    Raises:
        ModelCorruptError: the file cannot be read.
    """
    tokenizer = open_tokenizer(path)

    def count(texts: Sequence[str]) -> list[int]:
        found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoded) for encoded in found]

    return count


def _unreadable(texts: list[str], cause: Exception) -> InvalidInputError:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as e:
            return InvalidInputError(
                f"text has a lone surrogate at character {e.start}: {text[:40]!r}; "
                'clean it with text.encode("utf-8", "replace").decode()'
            )
    return InvalidInputError(f"texts cannot be tokenised: {cause}")


def _plain_reader(tokenizer: Any) -> WordPiece | None:
    """What reads plain texts for this tokenizer; None for one that is not BERT's for texts in small
    letters."""
    from tokenizers.models import WordPiece as Model
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    model, normalizer = tokenizer.model, tokenizer.normalizer
    added = tokenizer.get_added_tokens_decoder().values()
    if not (
        isinstance(model, Model)
        and isinstance(normalizer, BertNormalizer)
        and normalizer.lowercase
        and normalizer.clean_text
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and all("[" in token.content for token in added)
        and model.max_input_chars_per_word <= _LONGEST_WORD
    ):
        return None
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    return WordPiece(
        vocabulary,
        model.continuing_subword_prefix,
        vocabulary[model.unk_token],
        model.max_input_chars_per_word,
    )


def _splits_at_spaces(tokenizer: Any) -> bool:
    """Whether this is BERT's tokenizer, whose words end at every space."""
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import BertPreTokenizer

    added = tokenizer.get_added_tokens_decoder().values()
    return (
        isinstance(tokenizer.model, WordPiece)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and not any(" " in token.content for token in added)
    )
