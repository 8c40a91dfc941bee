"""``agentmem eval`` on small files in each layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

LOCOMO = [
    {
        "sample_id": "talk",
        "conversation": {
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": "I play the cello in an orchestra"},
                {"speaker": "Bo", "dia_id": "D1:2", "text": "I bake bread on Sundays"},
            ],
            "session_2_date_time": "2:00 pm on 9 May, 2023",
            "session_2": [{"speaker": "Ann", "dia_id": "D2:1", "text": "My cello was repaired"}],
        },
        "qa": [
            {"question": "Who bakes bread?", "evidence": ["D1:2"], "category": 4},
            {"question": "What of the cello?", "evidence": ["D1:1; D2:1", "D"], "category": 1},
            {"question": "Nothing names it", "evidence": [], "category": 3},
            {"question": "Which yacht sank?", "evidence": ["D1:1"], "category": 5},
        ],
    }
]


def longmemeval(name: str) -> dict[str, Any]:
    return {
        "question_id": name,
        "question_type": "multi-session",
        "question": "What does she play?",
        "answer_session_ids": ["s2"],
        "haystack_session_ids": ["s1", "s2"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 02:21"],
        "haystack_sessions": [
            [{"role": "user", "content": f"I bake bread, loaf {i}"} for i in range(6)],
            [{"role": "user", "content": "I play the cello"}],
        ],
    }


def lines(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own file, flat lines in any order."""
    return lines(
        tmp_path / "own.jsonl",
        {"query": "what does she play?", "relevant": ["m1"], "category": "music"},
        {"id": "m1", "content": "Plays the cello"},
        {"id": "m2", "content": "Bakes bread on Sundays", "run": "2025-10-02"},
        {"id": 3, "content": "Sails a boat", "user": "bob"},
        {"query": "who has a boat?", "relevant": [3], "user": "bob"},
        {"query": "quantum chromodynamics"},
    )


def test_locomo(run_json, tmp_path, environment) -> None:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(LOCOMO), "utf-8")
    found = run_json("eval", "locomo", path, "--details")
    assert (found["memories"], found["questions"]) == (3, 2)
    assert (found["left_out"], found["unanswerable"]) == (1, 1)
    assert found["overall"]["recall@5"] == 1
    assert found["categories"]["single-hop"]["recall@1"] == 1
    # Two turns cannot both come first.
    assert found["categories"]["multi-hop"]["recall@1"] == 0.5
    assert found["embedder"] == "static"
    assert sorted(found["details"][1]["ranks"]) == ["D1:1", "D2:1"]
    assert found["abstention_auroc"] is not None
    assert not environment.exists()  # a temporary store, whatever AGENTMEM_STORE says


def test_longmemeval(run_json, tmp_path) -> None:
    """Found by session: that of six turns is one place of the ranking."""
    path = lines(tmp_path / "set.jsonl", longmemeval("q1"), longmemeval("q2_abs"))
    found = run_json("eval", "longmemeval", path, "--k", "1,2")
    assert (found["memories"], found["questions"], found["unanswerable"]) == (14, 1, 1)
    assert found["overall"]["recall@1"] == 1
    assert found["categories"]["multi-session"]["all@2"] == 1
    assert run_json("eval", "longmemeval", path, "--limit", "1")["unanswerable"] == 0


def test_ones_own_memories_and_queries(run_json, own) -> None:
    found = run_json("eval", "jsonl", own)
    assert (found["memories"], found["questions"], found["unanswerable"]) == (3, 2, 1)
    assert found["overall"]["recall@1"] == 1
    assert found["categories"]["music"]["questions"] == 1
    assert found["tokens"]["first@1"] > 0
    assert run_json("eval", "jsonl", own, "--limit", "1")["questions"] == 1


def test_rankings_are_compared_and_judged_on_what_was_left_out(run_json, run, tmp_path) -> None:
    def group(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "memories": [f"{name} plays the cello", {"id": "b", "content": "She bakes bread"}],
            "queries": [{"query": "who bakes?", "relevant": ["b"]}],
        }

    path = lines(tmp_path / "own.jsonl", group("ann"), group("bob"))
    tried = ("--try", "keyword_weight=0,dense_weight=1", "--try", "window=1")
    found = run_json("eval", "jsonl", path, *tried)["trials"]
    names = ["as it is", "keyword_weight=0, dense_weight=1", "window=1"]
    assert list(found["settings"]) == names
    assert found["settings"]["window=1"]["recall@1"] == 1
    assert found["held_out"]["recall@10"] == 1
    assert found["held_out"]["chosen"] == {"ann": "as it is", "bob": "as it is"}
    assert "held out" in run("eval", "jsonl", path, *tried).stdout
    for wrong, says in (("window", "such as"), ("windows=1", "unknown setting config.ranking")):
        assert says in run("eval", "jsonl", path, "--try", wrong, code=2).stderr


def test_contexts_are_packed_on_request(run_json, run, own) -> None:
    assert run_json("eval", "jsonl", own)["context"] is None
    found = run_json("eval", "jsonl", own, "--context", "60", "--no-headings")["context"]
    assert 0 < found["saved"] < 1
    assert found["kept"] > 0
    assert "context: " in run("eval", "jsonl", own, "--context", "60").stdout


def test_groups_are_asked_by_themselves(run_json, tmp_path) -> None:
    def group(verb: str) -> dict[str, Any]:
        return {
            "memories": [f"She {verb} the cello", {"id": "b", "content": "She bakes bread"}],
            "queries": [{"query": "what of the cello?", "relevant": [0]}],
        }

    path = lines(tmp_path / "own.jsonl", group("plays"), group("sold"))
    found = run_json("eval", "jsonl", path, "--details")
    assert (found["collections"], found["memories"], found["questions"]) == (2, 4, 2)
    assert [entry["ranks"] for entry in found["details"]] == [{"0": 1}, {"0": 1}]


def test_a_store_of_ones_own_is_filled_once(run, run_json, own, tmp_path) -> None:
    store = tmp_path / "kept"
    for added in (3, 0):
        found = run_json("eval", "jsonl", own, "--store", store)
        assert found["ingest"]["added"] == added
        assert found["overall"]["recall@1"] == 1
    assert json.loads(run("--store", store, "count", "--all", "--json").stdout)["count"] == 3


def test_a_file_is_known_by_what_is_in_it_not_by_its_name(run_json, run, own, tmp_path) -> None:
    own.write_text('"Sails on Sundays"\n' + own.read_text("utf-8"), "utf-8")  # has no id
    store = ("--store", tmp_path / "kept")
    first = run_json("eval", "jsonl", own, *store)
    assert (first["ingest"]["added"], first["others"]) == (4, {"questions": 0, "most": 0})
    renamed = own.rename(tmp_path / "renamed.jsonl")
    again = run_json("eval", "jsonl", renamed, *store)
    assert again["ingest"]["added"] == 0
    assert (again["overall"], again["others"]) == (first["overall"], first["others"])


def test_what_else_is_searched_is_told(run_json, run, own, tmp_path) -> None:
    store = tmp_path / "kept"
    assert "other memories" not in run("eval", "jsonl", own, "--store", store).stdout
    run("--store", store, "add", "Sold the cello", "--user", "eval")
    run("--store", store, "add", "Plays the viola", "--user", "bob")
    assert run_json("eval", "jsonl", own, "--store", store)["others"] == {"questions": 3, "most": 1}
    shown = run("eval", "jsonl", own, "--store", store).stdout
    assert "3 questions were searched among other memories, too, up to 1 " in shown


def test_another_text_under_an_id_is_refused(run, own, tmp_path) -> None:
    store = tmp_path / "kept"
    run("eval", "jsonl", own, "--store", store)
    own.write_text(own.read_text("utf-8").replace("Plays the cello", "Plays the viola"), "utf-8")
    shown = run("eval", "jsonl", own, "--store", store, code=2).stderr
    assert "'m1'" in shown
    assert "another text, 'Plays the cello'" in shown


def test_the_page_for_people(run, own) -> None:
    shown = run("eval", "jsonl", own, "--mode", "keyword", "--k", "1,5").stdout
    assert "jsonl with static, keyword: 3 memories" in shown
    assert "recall@5" in shown
    assert "music" in shown
    assert "AUROC" in shown
    assert "search: p50" in shown


def test_a_chart_is_drawn(run, own, tmp_path) -> None:
    path = tmp_path / "recall.png"
    assert f"chart: {path}" in run("eval", "jsonl", own, "--chart", path).stdout
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"query": "who?", "relevant": ["m9"]}, "names 'm9', and no memory has this id"),
        ({"query": "who?", "relevant": ["m1"], "user": "bob"}, "belongs to user 'eval'"),
        ({"query": "who?", "relevant": "m1"}, "must be a list of ids"),
        ({"query": ""}, "'query' must be a text"),
        ({"id": "m1", "content": "again"}, "two memories have the id 'm1'"),
        ({"id": "m2"}, "no text under any of"),
        (7, "must be a text or an object"),
        ({"memories": "m1"}, "'memories' must be a list"),
        ({"query": "who?", "relevent": ["m1"]}, "no 'relevent'; known are query, relevant, "),
        ({"memories": ["Sails"], "querys": []}, "no 'querys'; known are name, memories, queries"),
        ({"memories": ["x"], "queries": [{"query": "who?", "usr": "b"}]}, "a query has no 'usr'"),
    ],
)
def test_mistakes_in_a_file_are_placed(run, tmp_path, entry, reason) -> None:
    path = lines(tmp_path / "own.jsonl", {"id": "m1", "content": "Plays the cello"}, entry)
    shown = run("eval", "jsonl", path, code=6).stderr
    assert "line 2" in shown
    assert reason in shown


@pytest.mark.parametrize(
    ("dataset", "value", "reason"),
    [
        ("locomo", {"question_id": "q"}, "not a LoCoMo sample"),
        ("longmemeval", {"sample_id": "q"}, "not a LongMemEval question"),
        ("locomo", {**LOCOMO[0], "qa": [{"category": 9}]}, "category must be 1 to 5"),
    ],
)
def test_another_layout_is_said(run, tmp_path, dataset, value, reason) -> None:
    path = lines(tmp_path / "set.json", value)
    assert reason in run("eval", dataset, path, code=6).stderr


@pytest.mark.parametrize(
    ("dataset", "values"),
    [
        ("jsonl", []),
        ("jsonl", [{"id": "m1", "content": "Plays the cello"}]),
        ("jsonl", [{"memories": ["Plays the cello"], "queries": []}]),
        ("locomo", []),
        ("locomo", [{**LOCOMO[0], "qa": []}]),
        ("longmemeval", []),
    ],
)
def test_a_file_that_asks_nothing_is_said(run, tmp_path, dataset, values) -> None:
    path = lines(tmp_path / "set.json", *values)
    assert "holds no questions" in run("eval", dataset, path, code=6).stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--k", "0"], "ranks lie between"),
        (["--k", "five"], "not a list of numbers"),
        (["--details"], "--details is for --json"),
        (["--no-headings"], "--no-headings is for --context"),
        (["--chart", "recall.txt"], "chart"),
    ],
)
def test_options_that_cannot_be_accepted(run, own, options, reason) -> None:
    assert reason in run("eval", "jsonl", own, *options, code=2).stderr
