"""``agentmem import`` into a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "file.txt") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def jsonl(*values: object) -> str:
    return "".join(f"{json.dumps(value)}\n" for value in values)


def test_a_text_file_is_stored_line_by_line(run, run_json, write) -> None:
    shown = run("import", write("likes tea\nplays the cello\n"), "--user", "alice").stdout
    assert shown.startswith("text: stored 2 memories (")
    listed = run_json("list", "--user", "alice")["results"]
    assert [item["memory"] for item in listed] == ["likes tea", "plays the cello"]


def test_standard_input_is_a_file_too(run, run_json) -> None:
    report = json.loads(
        run("import", "-", "--user", "alice", "--json", input=jsonl({"text": "likes tea"})).stdout
    )
    assert report["format"] == "jsonl"
    assert (report["read"], report["added"], report["known"]) == (1, 1, 0)


@pytest.mark.parametrize("text", ["", " \n\n", "[]", "{}\n"])
@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--json",)])
def test_a_file_without_memories_is_said_to_have_none(run, write, text, options) -> None:
    result = run("import", write(text), "--user", "alice", *options, code=6)
    assert result.stdout == ""


def test_what_the_file_says_goes_before_the_options(run, run_json, write) -> None:
    path = write(jsonl({"text": "hers", "user": "ann"}, {"text": "his"}))
    run("import", path, "--user", "bob", "--agent", "helper")
    by_user = {i["memory"]: i["user_id"] for i in run_json("list", "--unscoped")["results"]}
    assert by_user == {"hers": "ann", "his": "bob"}
    assert run_json("count", "--agent", "helper") == {"count": 2}


def test_memories_without_any_scope_are_refused_with_their_place(run, write) -> None:
    path = write(jsonl({"text": "hers", "user": "ann"}, {"text": "whose?"}))
    message = run("import", path, code=6).stderr
    assert f"error: {path}, line 2: it does not say whose memory" in message
    assert message.rstrip().endswith("nothing was stored")


def test_the_report_says_whose_memories_they_are(run, write) -> None:
    path = write(jsonl(*({"text": "x", "user": f"u{i}"} for i in range(7))))
    shown = run("import", path).stdout
    assert "scope: user u0, user u1, user u2, user u3, user u4 and 2 more\n" in shown
    path = write(json.dumps([{"role": "user", "content": "x"}]), "monday.json")
    assert "scope: run monday\n" in run("import", path).stdout


def test_a_conversation_imported_twice_is_stored_once(run, run_json, write) -> None:
    path = write(json.dumps([{"role": "user", "content": "ok"}] * 3))
    assert run_json("import", path, "--user", "a")["added"] == 3
    again = run_json("import", path, "--user", "a")
    assert (again["added"], again["known"]) == (0, 3)
    assert "3 were already there" in run("import", path, "--user", "a").stdout


def test_a_malformed_line_stops_the_import_at_its_batch(run, run_json, write) -> None:
    path = write(jsonl(*({"text": f"fact {i}"} for i in range(10))) + '{"text": \n')
    result = run("import", path, "--user", "a", "--batch-size", 4, code=6)
    assert f"{path}, line 11: not JSON" in result.stderr
    assert "8 memories were stored before it" in result.stderr
    assert run_json("count", "--user", "a") == {"count": 8}


def test_a_value_that_is_refused_names_its_line(run, run_json, write) -> None:
    path = write(jsonl({"text": "fine"}, {"text": "x", "importance": 7}))
    message = run("import", path, "--user", "a", code=6).stderr
    assert f"{path}, line 2: importance must be" in message
    assert run_json("count", "--user", "a") == {"count": 0}


def test_an_id_of_another_memory_is_a_conflict(run, write) -> None:
    identity = "00000000-0000-7000-8000-000000000001"
    run("add", "likes tea", "--user", "a", "--id", identity)
    path = write(jsonl({"text": "likes coffee", "id": identity}))
    message = run("import", path, "--user", "a", code=7).stderr
    assert f"{path}, line 1: " in message
    assert identity in message


def test_a_vector_of_the_wrong_size_names_its_line(run, write) -> None:
    path = write(jsonl({"text": "fine"}, {"text": "x", "vector": [1.0, 2.0]}))
    assert f"{path}, line 2: vector" in run("import", path, "--user", "a", code=6).stderr


def test_vectors_are_used_unless_refused(run, run_json, write) -> None:
    path = write(jsonl({"text": "likes tea", "vector": [1.0] + [0.0] * 255}))
    run("import", path, "--user", "a")
    run("import", path, "--user", "b", "--no-vectors")
    run("import", write(jsonl({"text": "x", "vector": [1.0]})), "--user", "b", "--no-vectors")
    lines = run("export", "--unscoped").stdout.splitlines()
    sources = [json.loads(line)["vector"]["source"] for line in lines]
    assert sources == ["caller", "model", "model"]


def test_a_dry_run_stores_nothing(run, run_json, environment, write) -> None:
    assert run("import", write("a\nb\n"), "--dry-run").stdout == "text: 2 memories\n"
    assert not environment.exists()


def test_dedupe_and_split_reach_the_import(run_json, write) -> None:
    path = write("same\nsame\n\nsame\nsame\n")
    assert run_json("import", path, "--user", "a", "--dedupe")["added"] == 1
    both = run_json("import", path, "--user", "b", "--split", "paragraphs")
    assert both["added"] == 2


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_file_that_cannot_be_read_is_named(run, environment, name) -> None:
    assert f"cannot read {name}" in run("import", name, "--user", "a", code=6).stderr
    assert not environment.exists()


def test_turns_without_text_are_reported(run, write) -> None:
    path = write(json.dumps([{"role": "user", "content": "x"}, {"role": "tool", "content": ""}]))
    assert "1 without text left out" in run("import", path, "--user", "a").stdout


def test_locomo_is_stored_whole_and_the_turn_is_found(run, run_json) -> None:
    path = DATA / "locomo-dev5.json"
    if not path.exists():
        pytest.skip("no evaluation data beside the repository")
    report = run_json("import", path, "--format", "locomo")
    assert (report["added"], report["known"], report["empty"]) == (2760, 0, 0)
    assert run_json("import", path)["known"] == 2760
    assert run_json("count", "--user", "conv-26", "--run", "session_1") == {"count": 18}
    question = "When did Caroline go to the LGBTQ support group?"
    shown = run("search", question, "--user", "conv-26").stdout.splitlines()
    assert any("dia_id=D1:3 " in line for line in shown[1:4])
    found = run_json("search", question, "--user", "conv-26", "-k", 3)["results"]
    turn = next(hit for hit in found if hit["metadata"] == {"dia_id": "D1:3"})
    assert turn["run_id"] == "session_1"
    assert turn["timestamp"] == "2023-05-08T13:56:00+00:00"
    assert turn["actor_id"] == "Caroline"
