"""What counts as the same word."""

from __future__ import annotations

import threading
from hashlib import blake2b

import numpy as np
import pytest

from agentmem.index.analyzer import EnglishAnalyzer


@pytest.fixture(scope="module")
def analyzer() -> EnglishAnalyzer:
    return EnglishAnalyzer()


def terms(analyzer: EnglishAnalyzer, text: str) -> dict[int, int]:
    batch = analyzer.analyze([text])
    return dict(zip(batch.terms.tolist(), batch.counts.tolist(), strict=True))


def term(stem: str) -> int:
    return int.from_bytes(blake2b(stem.encode(), digest_size=8).digest(), "big")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("running", "RUNS"),
        ("Caroline's houses", "caroline house"),
        ("café", "CAFE"),
        ("naïve", "naive"),
        ("Straße", "STRASSE"),
        ("Москва", "москва"),
        ("paint, the sunset!", "painting sunsets"),
    ],
)
def test_spellings_that_are_the_same(analyzer: EnglishAnalyzer, one: str, other: str) -> None:
    assert terms(analyzer, one) == terms(analyzer, other) != {}


@pytest.mark.parametrize(
    ("one", "other"), [("cat", "dog"), ("2022", "2023"), ("Москва", "Киев"), ("東京", "大阪")]
)
def test_words_that_differ(analyzer: EnglishAnalyzer, one: str, other: str) -> None:
    assert not terms(analyzer, one).keys() & terms(analyzer, other).keys()


def test_stop_words_and_what_contractions_leave_are_no_terms(analyzer: EnglishAnalyzer) -> None:
    assert terms(analyzer, "What is it that she wasn't and they're not?") == {}


def test_names_months_and_achievements_are_terms(analyzer: EnglishAnalyzer) -> None:
    assert len(terms(analyzer, "Will won in May")) == 3


def test_text_in_scripts_without_spaces_matches_by_its_parts(analyzer: EnglishAnalyzer) -> None:
    assert terms(analyzer, "東京に住んでいます").keys() & terms(analyzer, "東京").keys()


def test_terms_are_stable_across_processes_and_versions(analyzer: EnglishAnalyzer) -> None:
    """They are stored; a change needs another recipe."""
    assert analyzer.recipe == "english-snowball-1"
    assert terms(analyzer, "houses house guitar") == {term("hous"): 2, term("guitar"): 1}


def test_lengths_and_order(analyzer: EnglishAnalyzer) -> None:
    batch = analyzer.analyze(["cats cat guitar", "", "the piano"])
    assert batch.lengths.tolist() == [3, 0, 1]
    assert batch.offsets.tolist() == [0, 2, 2, 3]
    assert np.all(np.diff(batch.terms[:2].astype(object)) > 0)


def test_many_threads_agree() -> None:
    """The stemmer underneath is not thread-safe."""
    texts = [f"walking{i} talked{i} houses{i}es ponies{i}" for i in range(300)]
    expected = EnglishAnalyzer().analyze(texts).terms.tolist()
    shared = EnglishAnalyzer()
    found: list[list[int]] = []

    def work() -> None:
        found.append(shared.analyze(texts).terms.tolist())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8
