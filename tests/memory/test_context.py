"""``context``: memories packed into a token budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agentmem import InvalidInputError, Memory, ScopeError, UnsupportedError


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


@pytest.fixture
def talk(mem: Memory) -> Memory:
    for day, run in enumerate(("r1", "r2", "r3"), 1):
        mem.add(
            [
                {"role": "user", "name": "Ann", "content": f"Trip {day} goes to the sea by train"},
                {
                    "role": "assistant",
                    "content": f"The train of trip {day} leaves at {day}",
                },
            ],
            user_id="u",
            run_id=run,
            timestamp=f"2024-03-0{day}",
        )
    return mem


def test_the_budget_holds_for_any_tokenizer(talk: Memory) -> None:
    for budget in (1, 5, 20, 60, 500):
        own = talk.context("when does the train leave?", user_id="u", max_tokens=budget)
        assert own["tokens"] <= budget
        packed = talk.context(
            "when does the train leave?", user_id="u", max_tokens=budget, tokenizer=words
        )
        assert packed["tokens"] == len(packed["text"].split()) <= budget


def test_everything_fits_in_order_of_time(talk: Memory) -> None:
    packed = talk.context("train", user_id="u", max_tokens=1000)
    stored = [item["id"] for item in talk.get_all(user_id="u")["results"]]
    assert packed["ids"] == stored
    assert packed["text"].startswith("[2024-03-01]\nAnn: Trip 1 goes to the sea by train\n")
    assert packed["left_out"] == 0


def test_scope_filters_and_template_count(talk: Memory) -> None:
    packed = talk.context(
        "train",
        user_id="u",
        max_tokens=1000,
        filters={"run_id": "r2"},
        template={"head": "", "line": "- {text}"},
    )
    assert packed["text"] == (
        "- Trip 2 goes to the sea by train\n- The train of trip 2 leaves at 2"
    )
    assert talk.context("train", user_id="nobody", max_tokens=10)["text"] == ""


def test_what_is_said_twice_goes_in_once(talk: Memory) -> None:
    talk.add("Trip 1 goes to the sea by train", user_id="u", run_id="r4")
    packed = talk.context("train", user_id="u", max_tokens=1000)
    assert packed["text"].count("Trip 1 goes to the sea by train") == 1
    assert packed["duplicates"] == 1


def test_bad_arguments(talk: Memory) -> None:
    with pytest.raises(ScopeError):
        talk.context("train", max_tokens=10)
    for bad in (
        {"max_tokens": 0},
        {"max_tokens": 10, "order": "size"},
        {"max_tokens": 10, "template": {"heading": "x"}},
        {"max_tokens": 10, "template": {"line": "{colour}"}},
    ):
        with pytest.raises(InvalidInputError):
            talk.context("train", user_id="u", **bad)


def test_an_embedder_without_a_tokenizer_needs_one(path: object) -> None:
    class Tiny:
        dim = 4

        def embed(self, texts: list[str]) -> np.ndarray:
            return np.ones((len(texts), 4), dtype=np.float32)

    with Memory(path, embedder=Tiny()) as mem:
        mem.add("a text", user_id="u")
        with pytest.raises(UnsupportedError, match="tokenizer="):
            mem.context("text", user_id="u", max_tokens=10)
        packed = mem.context("text", user_id="u", max_tokens=10, tokenizer=words)
        assert packed["text"].endswith("a text")
