"""The tasks, timed: one code for every contender."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from compare import data
from compare.data import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compare.contenders.base import Contender

__all__ = ["Sizes", "WrongAnswerError", "bytes_of", "measure", "resident"]

_FILL = 1000  # rows of a call that fills the store
_CHECKED = 10  # stored texts that are looked for


class WrongAnswerError(Exception):
    """A contender does not find what it was given."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each task; the defaults are those of texts."""

    stored: int = 1000  # before anything is timed but the filling itself
    single: int = 50
    batch: int = 100
    threads: int = 20
    each: int = 5
    questions: int = 60
    repeats: int = 100
    top_k: int = 10
    sentences: int = 1
    given: bool = False  # vectors come with the texts

    @property
    def total(self) -> int:
        """Rows that are stored when all is done, the one that warms up included."""
        return 1 + self.stored + self.single + self.batch + self.threads * self.each


def measure(contender: Contender, sizes: Sizes, tasks: Sequence[str]) -> dict[str, float]:
    """Rates a second by task; ``stored``, the rows whose add has returned; ``errors``, the adds of
    threads that raised; ``memory`` in bytes; ``agreement`` with the exact answer.

    The contender is left open.

    Raises:
        WrongAnswerError: it does not find a row by its own text.
    """
    rows, questions = _given(sizes)
    taken = iter(rows)
    stored = [next(taken)]
    contender.add(stored[0])
    if "search" in tasks:
        contender.search(questions[0], sizes.top_k)
    contender.settle()
    figures: dict[str, float] = {}
    for name in tasks:
        if name in _WRITING:
            own = list(islice(taken, _WRITING[name](sizes)))
            done: list[Row] = []
            seconds = _seconds(_writing(name, contender, own, sizes, done))
            figures[name] = len(done) / seconds
            stored += done
            if name == "threads":
                figures["errors"] = len(own) - len(done)
    if "search" in tasks:
        contender.search(Row("a word before the first", questions[0].vector), sizes.top_k)
        figures["search"] = _rate(contender, questions, sizes)
    if "repeat" in tasks:
        same = [questions[0]] * sizes.repeats
        figures["repeat"] = _rate(contender, same, sizes)
    figures["memory"] = resident()
    figures["stored"] = len(stored)
    if "find" in tasks:
        _check(contender, stored, sizes)
    if sizes.given and "search" in tasks:
        figures["agreement"] = _agreement(contender, stored, questions, sizes)
    return figures


# In the order in which they are done; how many rows each takes.
_WRITING: dict[str, Callable[[Sizes], int]] = {
    "fill": lambda sizes: sizes.stored,
    "add": lambda sizes: sizes.single,
    "batch": lambda sizes: sizes.batch,
    "threads": lambda sizes: sizes.threads * sizes.each,
}


def _given(sizes: Sizes) -> tuple[list[Row], list[Row]]:
    """Every row that may be stored, and every question."""
    texts = data.facts(sizes.total, sizes.sentences)
    if not sizes.given:
        return [Row(text) for text in texts], [Row(q) for q in data.questions(sizes.questions)]
    vectors = data.given_vectors(sizes.total + sizes.questions)
    rows = [Row(text, vector) for text, vector in zip(texts, vectors, strict=False)]
    asked = data.facts(sizes.questions, 3)
    return rows, [Row(q, v) for q, v in zip(asked, vectors[sizes.total :], strict=True)]


def _writing(
    name: str, contender: Contender, rows: list[Row], sizes: Sizes, done: list[Row]
) -> Callable[[], None]:
    """A call that adds the rows and notes which were added."""
    if name == "threads":
        return lambda: _from_threads(contender, rows, sizes.threads, done)
    if name == "add":
        step, call = 1, lambda batch: contender.add(batch[0])
    else:
        step, call = (_FILL if name == "fill" else len(rows)), contender.add_batch
    batches = [rows[start : start + step] for start in range(0, len(rows), step)]

    def write() -> None:
        for batch in batches:
            call(batch)
        done.extend(rows)

    return write


def _from_threads(contender: Contender, rows: Sequence[Row], threads: int, done: list[Row]) -> None:
    """Callers that start together and add their rows one by one.  What raises is not ``done``."""
    together = threading.Barrier(threads)

    def caller(own: Sequence[Row]) -> None:
        together.wait()
        for row in own:
            # Of any kind: that a row was not added is what is counted.
            with contextlib.suppress(Exception):
                contender.add(row)
                done.append(row)

    with ThreadPoolExecutor(threads) as pool:
        for end in [pool.submit(caller, rows[i::threads]) for i in range(threads)]:
            end.result()


def _rate(contender: Contender, questions: Sequence[Row], sizes: Sizes) -> float:
    def ask() -> None:
        for question in questions:
            contender.search(question, sizes.top_k)

    return len(questions) / _seconds(ask)


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _check(contender: Contender, rows: Sequence[Row], sizes: Sizes) -> None:
    """Some stored texts, spread over all tasks, are found by themselves."""
    for row in rows[:: max(len(rows) // _CHECKED, 1)]:
        if row.text not in contender.search(row, sizes.top_k):
            raise WrongAnswerError(f"{row.text!r} is stored and does not find itself")


def _agreement(
    contender: Contender, rows: Sequence[Row], questions: Sequence[Row], sizes: Sizes
) -> float:
    """Share of the exact nearest rows that are found."""
    import numpy as np

    matrix = np.stack([row.vector for row in rows])
    asked = np.stack([question.vector for question in questions])
    hits = 0
    for question, best in zip(questions, data.nearest(matrix, asked, sizes.top_k), strict=True):
        hits += len(
            {rows[i].text for i in best}.intersection(contender.search(question, len(best)))
        )
    return hits / (len(questions) * sizes.top_k)


def resident() -> int:
    """Bytes of this process in memory now; where the system does not tell, at most so far."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(s for s in status.read_text().splitlines() if s.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def bytes_of(folder: Path) -> int:
    """Of all files below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
