"""The LoCoMo layout, on a made-up sample."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentmem.cli.formats import FormatError

SAMPLE = {
    "sample_id": "conv-1",
    "qa": [{"question": "?", "evidence": ["D1:1"]}],
    "conversation": {
        "speaker_a": "Ada",
        "speaker_b": "Bo",
        "session_10_date_time": "12:05 am on 2 June, 2023",
        "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "Back again."}],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [
            {"speaker": "Ada", "dia_id": "D2:1", "text": "Hi Bo!"},
            {
                "speaker": "Bo",
                "dia_id": "D2:2",
                "text": "Look.",
                "img_url": ["http://example.org/1.jpg"],
                "blip_caption": "a photo of a dog",
                "query": "dog",
            },
            {"speaker": "Ada", "dia_id": "D2:3", "text": "", "blip_caption": "a cat"},
        ],
        "session_11_date_time": "1:00 pm on 3 June, 2023",
    },
}


def test_every_turn_is_a_memory_with_its_place_in_the_conversation(items) -> None:
    found = items("locomo", [SAMPLE])
    assert found[0] == {
        "content": "Ada: Hi Bo!",
        "user_id": "conv-1",
        "run_id": "session_2",
        "actor_id": "Ada",
        "metadata": {"dia_id": "D2:1"},
        "idempotency_key": "session_2:D2:1",
        "timestamp": datetime(2023, 5, 8, 13, 56, tzinfo=UTC),
    }
    assert [item["metadata"]["dia_id"] for item in found] == ["D2:1", "D2:2", "D2:3", "D10:1"]


def test_a_shared_image_is_told_by_its_caption(items) -> None:
    found = items("locomo", [SAMPLE])
    assert found[1]["content"] == "Bo: Look. [shared image: a photo of a dog]"
    assert found[2]["content"] == "Ada: [shared image: a cat]"


def test_a_single_sample_needs_no_list_and_no_id_of_its_own(items) -> None:
    sample = {"conversation": SAMPLE["conversation"]}
    assert {item["user_id"] for item in items("locomo", sample, user_id="me")} == {"me"}


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"sample_id": "x"}, "not a LoCoMo sample"),
        ({"conversation": SAMPLE["conversation"]}, "no sample_id; give --user"),
        (
            {"sample_id": "x", "conversation": {"session_1": [{"text": "hm"}]}},
            "x session_1: turn 1 is not an object with a speaker",
        ),
        (
            {"sample_id": "x", "conversation": {"session_1": [], "session_1_date_time": "noon"}},
            "x session_1: time 'noon'",
        ),
    ],
)
def test_what_is_no_sample_is_an_error_that_says_where(entries, sample, reason) -> None:
    with pytest.raises(FormatError) as caught:
        entries("locomo", [sample])
    assert "line 2: " in str(caught.value)
    assert reason in str(caught.value)
