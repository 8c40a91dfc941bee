from collections.abc import Iterator
from typing import Any

def gather(
    rows: Iterator[tuple[Any, ...]], kinds: str, most: int, size: int
) -> tuple[int, int, list[Any]]: ...
