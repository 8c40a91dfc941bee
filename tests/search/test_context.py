"""Memories packed into a token budget."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count as counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.errors import InvalidInputError
from agentmem.ids import id_to_str
from agentmem.search.context import Template, around, pack
from agentmem.types import Hit, Record, Scope

DAY = 86_400_000_000
_KEYS = counter(1)
FACTS = [("plays chess", 2), ("likes tea", 2), ("moved out", 5)]


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def pieces(texts: Sequence[str]) -> list[int]:
    """Four characters each: like most tokenizers', the tokens of parts do not add up."""
    return [-(-len(text) // 4) for text in texts]


def record(
    content: str,
    *,
    position: int = 0,
    run: str | None = "r1",
    day: int = 0,
    actor: str | None = None,
    key: int | None = None,
    expires_at: int | None = None,
) -> Record:
    key = next(_KEYS) if key is None else key
    return Record(
        key=key,
        id=key.to_bytes(16, "big"),
        scope=Scope("alice", None, run, None),
        content=content,
        content_hash=content.encode().ljust(16, b"\0")[-16:],
        actor_id=actor,
        role=None,
        memory_type="episodic",
        level=None,
        importance=None,
        metadata=None,
        event_at=day * DAY,
        created_at=0,
        updated_at=0,
        expires_at=expires_at,
        position=position,
        seq=key,
        added_seq=key,
        idempotency_key=None,
    )


def ranked(*records: Record) -> list[tuple[Record, Hit]]:
    return [(one, Hit(one.key, 1.0 - place / 100)) for place, one in enumerate(records)]


def test_what_was_said_together_stays_together() -> None:
    """Passages by time, each under its date; within one in the order of the run."""
    last = record("My cello was repaired", run="r2", day=9, actor="Ann")
    second = record("I bake bread", position=4, day=2, actor="Bo")
    first = record("I play the cello", position=3, day=2, actor="Ann")
    alone = record("Good morning", position=0, day=2, actor="Bo")
    found = pack(ranked(last, second, first, alone), words, 100)
    assert found.text == (
        "[1970-01-03]\nBo: Good morning\n\n"
        "[1970-01-03]\nAnn: I play the cello\nBo: I bake bread\n\n"
        "[1970-01-10]\nAnn: My cello was repaired"
    )
    assert found.ids == [id_to_str(one.id) for one in (alone, first, second, last)]
    assert found.tokens == words([found.text])[0]
    assert (found.left_out, found.duplicates) == (0, 0)


def test_by_relevance_the_best_passage_comes_first() -> None:
    late, early = record("late", run="r2", day=9), record("early", day=1)
    assert pack(ranked(late, early), words, 10, order="time").text.endswith("late")
    assert pack(ranked(late, early), words, 10, order="relevance").text.endswith("early")


def test_what_does_not_fit_makes_room_for_what_does() -> None:
    best, long = record("one two three"), record("far " * 50, position=10)
    short = record("four five", position=20)
    found = pack(ranked(best, long, short), words, 7)
    assert found.ids == [id_to_str(best.id), id_to_str(short.id)]
    assert found.tokens == 7  # two dates and five words
    assert found.left_out == 1
    assert pack(ranked(best), words, 3).text == ""


def test_joining_a_passage_saves_its_heading() -> None:
    one, two = record("one"), record("two", position=1)
    assert pack(ranked(one, two), words, 3).tokens == 3  # one date
    far = record("two", position=5)
    assert len(pack(ranked(one, far), words, 3).ids) == 1


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ("She moved to Lisbon in March", 1),
        ("she moved to Lisbon, in March!", 1),
        ("Oh, she actually moved to Lisbon in March", 1),
        ("She moved to Lisbon in May", 0),
        ("She moved to Lisbon in March?", 0),
        ("She never moved to Lisbon in March", 0),
        ("In March she moved to Lisbon", 0),
    ],
)
def test_repetitions_stay_out(text: str, left_out: int) -> None:
    best = record("She moved to Lisbon in March")
    found = pack(ranked(best, record(text, position=9)), words, 100)
    assert found.duplicates == left_out
    assert len(found.ids) == 2 - left_out
    assert found.left_out == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I like tea, not coffee", "I like coffee, not tea"),
        ("Ana owes Ben 5 euros", "Ben owes Ana 5 euros"),
        ("She uses C++", "She uses C"),
        ("Temperature -5", "Temperature 5"),
        ("It starts at 5:30", "It starts at 30:5"),
        (
            "I will be able to come to your birthday party tomorrow",
            "I will not be able to come to your birthday party tomorrow",
        ),
        ("Oh!", "Very?"),
    ],
)
def test_what_differs_in_little_and_says_another_thing_goes_in(one: str, other: str) -> None:
    found = pack(ranked(record(one), record(other, position=9)), words, 100)
    assert (len(found.ids), found.duplicates) == (2, 0)


def test_two_who_say_the_same_are_two() -> None:
    said = [record("I agree", position=i, actor=name) for i, name in enumerate(("Ana", "Ben"))]
    found = pack(ranked(*said, record("I agree.", position=2, actor="Ana")), words, 100)
    assert found.text == "[1970-01-01]\nAna: I agree\nBen: I agree"
    assert found.duplicates == 1
    assert pack(ranked(record("I agree", position=9), *said), words, 100).duplicates == 2


def test_without_a_run_each_day_has_its_heading() -> None:
    facts = [record(text, run=None, position=i, day=d) for i, (text, d) in enumerate(FACTS)]
    found = pack(ranked(*facts), words, 100)
    assert found.text == "[1970-01-03]\nplays chess\nlikes tea\n\n[1970-01-06]\nmoved out"
    assert found.tokens == 8
    assert len(pack(ranked(*facts), words, 8).ids) == 3
    assert len(pack(ranked(*facts), words, 7).ids) == 2


def test_neighbours_follow_their_hit() -> None:
    hit, other = record("b", position=1), record("far away", position=9)
    before, after = record("a", position=0), record("c", position=2)
    found = pack(ranked(hit, other), words, 4, beside={hit.key: [before, after]})
    assert found.text == "[1970-01-01]\na\nb\nc"
    assert found.left_out == 1


def test_the_template_says_how_it_looks() -> None:
    one = record("Ann: hello {there}", actor="Ann", day=1)
    shown = pack(ranked(one), words, 50, template=Template("# {run} {time}", "- {speaker}{text}"))
    assert shown.text == "# r1 1970-01-02 00:00\n- Ann: hello {there}"
    plain = pack(ranked(one), words, 50, template=Template(head="", line="{id} {text}"))
    assert plain.text == f"{id_to_str(one.id)} Ann: hello {{there}}"


@pytest.mark.parametrize("wrong", [{"head": "{text}"}, {"line": "{score}"}, {"line": "{text"}])
def test_a_template_that_cannot_be_filled_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="template"):
        Template(**wrong)


def test_a_budget_and_an_order_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="max_tokens"):
        pack([], words, 0)
    with pytest.raises(InvalidInputError, match="order"):
        pack([], words, 5, order="random")  # type: ignore[arg-type]
    assert pack([], words, 5).text == ""


texts = st.text(st.sampled_from("ab cd\n"), min_size=1, max_size=60).filter(str.strip)


@given(
    st.lists(st.tuples(texts, st.integers(0, 9), st.sampled_from(["r1", "r2"])), max_size=12),
    st.integers(1, 120),
    st.sampled_from([words, pieces]),
    st.sampled_from(["time", "relevance"]),
)
def test_the_budget_always_holds(rows, budget, count, order) -> None:
    places = {(run, position): text for text, position, run in rows}
    records = [
        record(text, position=position, run=run, key=key)
        for key, ((run, position), text) in enumerate(places.items(), 1)
    ]
    found = pack(ranked(*records), count, budget, order=order)
    assert found.tokens == (count([found.text])[0] if found.text else 0)
    assert found.tokens <= budget
    assert len(set(found.ids)) == len(found.ids)
    for one in records:
        if id_to_str(one.id) in found.ids:
            assert one.content in found.text
    assert found.left_out + found.duplicates + len(found.ids) == len(records)


def test_neighbours_are_read_from_the_store(memory) -> None:
    """Those beside it in its own run, nearest first, and nobody else's."""
    talk = [{"content": f"turn {i}", "run_id": "r1"} for i in range(5)]
    memory.add_batch(talk, user_id="alice")
    memory.add("another run", user_id="alice", run_id="r2")
    memory.add("turn 5", user_id="alice", run_id="r1")
    memory.add("another user", user_id="bob", run_id="r1")
    with memory._engine.store.read() as snapshot:
        rows = sorted(snapshot.records(range(1, 9)).values(), key=lambda r: r.key)
        middle = rows[2]
        found = around(snapshot, [middle, rows[4]], 2)
    contents = [[r.content for r in found[one.key]] for one in (middle, rows[4])]
    assert contents[0] == ["turn 1", "turn 3", "turn 0", "turn 4"]
    assert contents[1] == ["turn 3", "turn 2", "turn 5"]


def test_expired_neighbours_stay_away(memory) -> None:
    memory.add_batch(
        ["first", {"content": "gone", "expiration_date": "2999-01-01T00:00:00Z"}, "last"],
        user_id="alice",
    )
    with memory._engine.store.read() as snapshot:
        rows = snapshot.records([1, 2, 3])
        assert [r.content for r in around(snapshot, [rows[1]], 1)[1]] == ["gone"]
        late = rows[2].expires_at
        assert late is not None
        assert around(snapshot, [rows[1]], 1, now=late)[1] == []


def test_a_context_of_a_real_search(memory) -> None:
    memory.add_batch(
        [
            {"content": "I moved to Lisbon", "actor_id": "Ann", "timestamp": "2025-03-01"},
            {"content": "How is the weather there?", "actor_id": "Bo", "timestamp": "2025-03-01"},
            {"content": "Warm and sunny", "actor_id": "Ann", "timestamp": "2025-03-01"},
        ],
        user_id="alice",
        run_id="r1",
    )
    hits = memory.search("weather", user_id="alice", top_k=2)["results"]
    with memory._engine.store.read() as snapshot:
        rows = {id_to_str(r.id): r for r in snapshot.records([1, 2, 3]).values()}
    best = [(rows[hit["id"]], Hit(rows[hit["id"]].key, hit["score"])) for hit in hits]
    shown = pack(best, words, 50)
    assert set(shown.ids) == {hit["id"] for hit in hits}
    assert "Bo: How is the weather there?" in shown.text
    assert re.fullmatch(r"\[2025-03-01\]", shown.text.splitlines()[0])


@pytest.mark.parametrize("form", ["{date:%Y}", "{run!r}", "{time:>9}", "{date:{run}}"])
def test_a_template_takes_no_formats(memory, form) -> None:
    memory.add("Plays the cello", user_id="ann")
    for part in ("head", "line"):
        with pytest.raises(InvalidInputError, match=rf"template {part} .* a format"):
            memory.context("cello", max_tokens=50, user_id="ann", template={part: form})


@pytest.mark.parametrize(
    "tokenizer",
    [
        "gpt",
        7,
        lambda texts: [1] * (len(texts) + 1),
        lambda texts: [],
        lambda texts: [-1] * len(texts),
        lambda texts: [1.5] * len(texts),
        lambda texts: ["3"] * len(texts),
        lambda texts: 3,
        lambda texts: None,
    ],
)
def test_a_tokenizer_that_does_not_count_is_refused(memory, tokenizer) -> None:
    memory.add("Plays the cello", user_id="ann")
    with pytest.raises(InvalidInputError, match="tokenizer must"):
        memory.context("cello", max_tokens=50, user_id="ann", tokenizer=tokenizer)


def test_an_array_of_counts_will_do(memory) -> None:
    memory.add("Plays the cello", user_id="ann")
    packed = memory.context(
        "cello", max_tokens=50, user_id="ann", tokenizer=lambda texts: np.array(words(texts))
    )
    assert packed["tokens"] == 4
    assert type(packed["tokens"]) is int
