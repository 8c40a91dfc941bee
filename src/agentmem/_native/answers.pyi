from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from agentmem.types import Hit

Held = tuple[int, dict[str, Any], str | None, int]

_H = TypeVar("_H", bound=tuple[Any, ...])

def hits(kind: type[_H], keys: list[int], scores: list[float], seqs: list[int]) -> list[_H]: ...
def match(
    ranked: Sequence[Hit], held: dict[int, Held]
) -> tuple[list[tuple[Hit, Held | None]], dict[int, int]]: ...
def copies(
    answer: list[tuple[Hit, Held]], decode: Callable[[str], Any]
) -> list[dict[str, Any]]: ...
def keys_of(answer: list[tuple[Hit, Held]]) -> list[int]: ...
