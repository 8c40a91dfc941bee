"""Every command on a real store with a real model."""

from __future__ import annotations

import pytest

ID = "00000000-0000-7000-8000-000000000001"
OTHER = "00000000-0000-7000-8000-000000000002"


@pytest.fixture
def alice(run):
    """Alice has three memories, the one about a dog under ``ID``; Bob has one."""
    run("add", "I moved to Lisbon in March", "Works at the bakery", "--user", "alice")
    run("add", "Has a dog", "--user", "alice", "--id", ID, "-m", "src=crm", "--actor", "Ana")
    run("add", "I live in Ghent", "--user-id", "bob")


# -- add and search


def test_what_is_added_is_found(run, alice) -> None:
    shown = run("search", "which city did she move to?", "--user", "alice").stdout
    header, first, *_ = shown.splitlines()
    assert header.split() == ["#", "score", "when", "metadata", "memory"] or "who" in header
    assert first.startswith("1  ")
    assert "Lisbon" in first
    assert "Ghent" not in shown


def test_a_search_shows_speaker_and_metadata(run, alice) -> None:
    line = run("search", "dog", "--user", "alice", "-k", 1).stdout.splitlines()[1]
    assert "Ana" in line
    assert "src=crm" in line
    assert ID not in line
    assert ID in run("search", "dog", "--user", "alice", "--ids").stdout
    assert "src=crm" not in run("search", "dog", "--user", "alice", "--no-metadata").stdout


def test_search_results_are_json_for_scripts(run_json, alice) -> None:
    results = run_json("search", "dog", "--user", "alice", "--top-k", 2)["results"]
    assert len(results) == 2
    assert results[0]["id"] == ID
    assert results[0]["metadata"] == {"src": "crm"}
    assert results[0]["score"] >= results[1]["score"]


def test_explained_parts_add_up(run, run_json, alice) -> None:
    hit = run_json("search", "dog", "--user", "alice", "--explain")["results"][0]
    assert sum(hit["explain"].values()) == pytest.approx(hit["score"], abs=1e-5)
    assert "parts" in run("search", "dog", "--user", "alice", "--explain").stdout


def test_filters_modes_and_thresholds_reach_the_search(run_json, alice) -> None:
    def found(*options):
        results = run_json("search", "the dog", "--user", "alice", *options)["results"]
        return {result["id"] for result in results}

    assert found("--filter", '{"metadata.src": "crm"}') == {ID}
    assert found("--mode", "keyword", "--threshold", "0.01") == {ID}
    assert found("--threshold", "1e9") == set()


def test_nothing_found_is_no_error(run, alice) -> None:
    result = run("search", "dog", "--user", "nobody")
    assert (result.stdout, result.stderr) == ("", "nothing found\n")


def test_an_unscoped_search_says_whose_memories_it_shows(run, alice) -> None:
    shown = run("search", "where do they live?", "--unscoped").stdout
    assert "user=alice" in shown
    assert "user=bob" in shown


def test_text_comes_from_standard_input(run, run_json) -> None:
    run("add", "--user", "alice", input="likes tea\n")
    run("add", "-", "--user", "alice", input="likes coffee\n")
    listed = run_json("list", "--user", "alice")["results"]
    assert [item["memory"] for item in listed] == ["likes tea", "likes coffee"]


@pytest.mark.parametrize(
    ("given", "stored"), [("3", 3), ("-1", -1), ("07", "07"), ("+1", "+1"), ("high", "high")]
)
def test_a_level_is_an_integer_or_a_label(run_json, given, stored) -> None:
    added = run_json("add", "likes tea", "--user", "a", f"--level={given}")["results"][0]
    assert run_json("get", added["id"])[0]["level"] == stored


def test_every_field_can_be_given(run_json) -> None:
    fields = {
        "--user": "u", "--agent": "a", "--run": "r", "--org": "o", "--actor": "Ana",
        "--role": "user", "--type": "factual", "--level": "high", "--importance": "0.5",
        "--timestamp": "2024-03-09T14:00:00+01:00", "--expires": "2099-01-01", "--key": "k1",
        "--metadata": '{"n": 5, "tags": ["x"]}',
    }  # fmt: skip
    options = [part for pair in fields.items() for part in pair]
    added = run_json("add", "likes tea", *options, "-m", "src=crm")["results"][0]
    assert added["event"] == "ADD"
    stored = run_json("get", added["id"])[0]
    assert stored | {
        "user_id": "u", "agent_id": "a", "run_id": "r", "org_id": "o", "actor_id": "Ana",
        "role": "user", "memory_type": "factual", "level": "high", "importance": 0.5,
        "timestamp": "2024-03-09T13:00:00+00:00",
        "expiration_date": "2099-01-01T00:00:00+00:00",
        "metadata": {"n": 5, "tags": ["x"], "src": "crm"},
    } == stored  # fmt: skip
    assert run_json("add", "likes tea", *options)["results"][0]["event"] == "NONE"


def test_dedupe_stores_a_text_once(run, run_json) -> None:
    for _ in range(2):
        run("add", "likes tea", "likes tea", "--user", "alice", "--dedupe")
    assert run_json("count", "--user", "alice") == {"count": 1}


# -- reading


def test_lists_come_in_pages(run, run_json, alice) -> None:
    first = run("list", "--user", "alice", "-n", 2)
    cursor = first.stderr.split("--cursor ")[1].strip()
    rest = run("list", "--user", "alice", "-n", 2, "--cursor", cursor)
    assert len(first.stdout.splitlines()) == 3
    assert [ID in text for text in (first.stdout, rest.stdout)] == [False, True]
    assert rest.stderr == ""
    assert len(run_json("list", "--all")["results"]) == 4


def test_an_empty_list_says_so(run, alice) -> None:
    assert run("list", "--user", "nobody").stderr == "no memories\n"


def test_get_shows_all_fields(run, run_json, alice) -> None:
    shown = run("get", ID).stdout
    assert shown.startswith("Has a dog\n")
    assert "actor_id:" in shown
    assert run_json("get", ID)[0]["id"] == ID


def test_get_of_an_unknown_id_shows_the_others(run, alice) -> None:
    result = run("get", ID, OTHER, code=3)
    assert "Has a dog" in result.stdout
    assert OTHER in result.stderr


def test_count(run, run_json, alice) -> None:
    assert run("count", "--user", "alice").stdout == "3\n"
    assert run_json("count", "--unscoped", "--filter", '{"actor_id": "Ana"}') == {"count": 1}


def test_expired_memories_are_shown_on_request(run, run_json) -> None:
    run("add", "gone", "--user", "alice", "--expires", "2001-01-01", "--id", ID)
    assert run_json("count", "--user", "alice") == {"count": 0}
    assert run_json("count", "--user", "alice", "--show-expired") == {"count": 1}
    assert run_json("list", "--user", "alice")["results"] == []
    assert len(run_json("list", "--user", "alice", "--show-expired")["results"]) == 1
    run("get", ID, code=3)
    assert run_json("get", ID, "--show-expired")[0]["memory"] == "gone"
    assert len(run_json("search", "gone", "--user", "alice", "--show-expired")["results"]) == 1


def test_history_tells_what_happened(run, run_json, alice) -> None:
    run("update", ID, "Has two dogs")
    run("delete", ID, "--yes")
    events = run_json("history", ID)
    assert [event["event"] for event in events] == ["ADD", "UPDATE", "DELETE"]
    assert [event["old_memory"] for event in events] == [None, "Has a dog", "Has two dogs"]
    assert run("history", ID).stdout.count("Has two dogs") == 2
    run("history", OTHER, code=3)


# -- changing


def test_update_changes_text_metadata_or_both(run, run_json, alice) -> None:
    run("update", ID, "Has two dogs")
    run("update", ID, "--metadata", "since=2025")
    item = run_json("get", ID)[0]
    assert (item["memory"], item["metadata"]) == ("Has two dogs", {"since": "2025"})
    run("update", ID, "-m", "{}")
    assert not run_json("get", ID)[0]["metadata"]
    assert run_json("update", ID, "Has a cat")["results"][0]["previous_memory"] == "Has two dogs"


def test_deleting_asks_first(run, run_json, alice) -> None:
    refused = run("delete", ID, input="n\n", code=1)
    assert "Delete 1 memory? [y/N]" in refused.stderr
    assert run_json("count", "--user", "alice") == {"count": 3}
    assert run("delete", ID, input="y\n").stdout == "deleted 1 memory\n"
    assert run_json("count", "--user", "alice") == {"count": 2}


def test_a_question_that_nobody_answers_changes_nothing(run, run_json, alice) -> None:
    assert "--yes" in run("delete", ID, input="", code=2).stderr
    assert "--yes" in run("purge", ID, input="", code=2).stderr
    assert "--yes" in run("reembed", "minilm", input="", code=2).stderr
    assert run_json("count", "--user", "alice") == {"count": 3}


def test_a_scope_is_deleted_as_a_whole_and_no_other(run, run_json, alice) -> None:
    assert "3 memories of user alice" in run("delete", "--user", "alice", input="n", code=1).stderr
    assert run_json("delete", "--user", "alice", "--yes") == {"deleted": 3}
    assert run_json("count", "--unscoped") == {"count": 1}


def test_purge_erases_the_history_and_the_bytes(run, environment, alice) -> None:
    run("add", "the password is xyzzy-plugh", "--user", "alice", "--id", OTHER)
    run("delete", OTHER, "--yes")
    assert run("purge", OTHER, "--yes").stdout == "purged 1 memory\n"
    run("history", OTHER, code=3)
    for path in environment.rglob("*"):
        assert not path.is_file() or b"xyzzy-plugh" not in path.read_bytes(), path


def test_a_scope_can_be_purged(run, run_json, alice) -> None:
    assert run_json("purge", "--user", "alice", "--yes")["purged"] == 3
    assert run_json("count", "--unscoped") == {"count": 1}


# -- upkeep


def test_a_sound_store_passes_its_check(run, run_json, alice) -> None:
    assert run("check").stdout == "ok\n"
    assert run_json("check", "--repair") == {"ok": True, "problems": [], "repaired": []}


def test_a_damaged_store_fails_its_check(run, run_json, environment, alice) -> None:
    import apsw

    db = apsw.Connection(str(environment / "agentmem.db"))
    db.execute("DELETE FROM vectors WHERE key = (SELECT max(key) FROM vectors)")
    db.close()
    assert "problem: " in run("check", code=1).stdout
    assert run_json("check", code=1)["problems"]


def test_stats_and_flush(run, run_json, environment, alice) -> None:
    run("flush")
    stats = run_json("stats")
    assert stats["store"]["path"] == str(environment)
    assert str(environment) in run("stats").stdout


def test_a_store_moves_to_another_model_and_is_opened_with_it(
    run, run_json, alice, monkeypatch
) -> None:
    run("reembed", "minilm", "--yes")
    run("--embedder", "static", "search", "dog", "--user", "alice", code=4)
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "static")  # is for a store that is yet to be made
    assert run_json("search", "dog", "--user", "alice")["results"][0]["id"] == ID


def test_migrating_a_current_store_changes_nothing(run, alice) -> None:
    assert "current schema" in run("migrate").stdout
