"""What a question says besides its words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.search import cues
from agentmem.search.cues import cues_of, dates_in, names_in, words_of
from agentmem.search.relative import TRIGGERS, spans_in
from agentmem.types import Cues

ANALYZER = EnglishAnalyzer()


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("What did she bake on 3 July 2023?", [(2023, 7, 3)]),
        ("What did she bake on July 3rd, 2023?", [(2023, 7, 3)]),
        ("on the 3rd of July", [(0, 7, 3)]),
        ("JULY 2023", [(2023, 7, 0)]),
        ("in june", [(0, 6, 0)]),
        ("Sept. 4", [(0, 9, 4)]),
        ("between 3 May and 9 June 2024", [(0, 5, 3), (2024, 6, 9)]),
        ("What happened in 2021?", [(2021, 0, 0)]),
        ("the call of 2024-02-29, please", [(2024, 2, 29)]),
        ("invoices of 2024-02", [(2024, 2, 0)]),
        ("what was said at 2025-03-14T10:00?", [(2025, 3, 14)]),
        ("from 2025-03-14t10:00:00Z to 2025-03-15 10:00", [(2025, 3, 14), (2025, 3, 15)]),
        ("mid-May plans", [(0, 5, 0)]),
        ("(October)", [(0, 10, 0)]),
        ("June, June and June", [(0, 6, 0)]),
        # no dates
        ("May I come in?", []),
        ("It may rain; they march on", []),
        ("Did Marcia decide on the marble?", []),
        ("room 2023 has 300 seats", []),
        ("at 10:30", []),
        ("", []),
    ],
)
def test_dates(text: str, dates: list[tuple[int, int, int]]) -> None:
    assert list(dates_in(text, words_of(text))) == dates


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What did Ana say to Ben?", ["Ana", "Ben?"]),
        ("Ana left. Then came Ben.", ["Ben."]),
        ('who is "Élodie"?', ['"Élodie"?']),
        ("where does she live", []),
        ("WHERE DOES ANA LIVE", []),
        ("Ana", []),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_names_become_terms_as_in_memories() -> None:
    asked = ANALYZER.analyze(["ana porto"]).terms.tolist()
    assert cues_of("When did Ana's sister see Porto?", ANALYZER) == Cues(tuple(asked), ())


def test_a_pronoun_is_no_name() -> None:
    assert cues_of("what did I say?", ANALYZER) == Cues()


def test_a_question_without_cues_has_none() -> None:
    assert cues_of("what food must be avoided?", ANALYZER) == Cues()


words = "Ana ana ANA (Bo \"Cy\" ' end. May may in Last week ago 2 x7 yesterday July/5 O'Neil été Š"
pieces = st.sampled_from([*words.split(), *" \t\n\x1c-,:? "])


@given(st.lists(pieces, max_size=12).map("".join))
def test_a_glance_sees_what_a_longer_look_would(text: str) -> None:
    seen = cues._GLANCE.look(text)
    if seen is None:
        assert not text.isascii()
        return
    names, dated = seen
    assert names == names_in(text)
    if not dated:
        assert dates_in(text, words_of(text)) == ()
        assert TRIGGERS.isdisjoint(words_of(text))
        assert spans_in(text, 0) == ()
