"""``update``, ``delete``, ``purge``, ``reset`` and what the history says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem import Memory, NotFoundError


def only_id(answer: dict) -> str:
    [result] = answer["results"]
    return result["id"]


def test_update_changes_text_and_search(mem: Memory) -> None:
    id = only_id(mem.add("lives in Porto", user_id="u", metadata={"src": "chat"}))
    [changed] = mem.update(id, "lives in Lisbon", actor_id="editor")["results"]
    assert changed["event"] == "UPDATE"
    assert (changed["memory"], changed["previous_memory"]) == ("lives in Lisbon", "lives in Porto")
    item = mem.get(id)
    assert item["memory"] == "lives in Lisbon"
    assert item["metadata"] == {"src": "chat"}
    assert item["updated_at"] > item["created_at"]
    assert mem.search("Lisbon", user_id="u", mode="keyword")["results"][0]["id"] == id
    assert mem.search("Porto", user_id="u", mode="keyword")["results"] == []


def test_update_of_fields_alone(mem: Memory) -> None:
    id = only_id(mem.add("text", user_id="u", metadata={"a": 1}, expiration_date="2999-01-01"))
    before = mem.search("text", user_id="u")["results"][0]["score"]
    mem.update(id, metadata={"b": 2}, importance=0.5, memory_type="core", level=3)
    item = mem.get(id)
    assert item["metadata"] == {"b": 2}
    assert (item["importance"], item["memory_type"], item["level"]) == (0.5, "core", 3)
    assert mem.search("text", user_id="u")["results"][0]["score"] == before
    mem.update(id, metadata={}, expiration_date="never")
    item = mem.get(id)
    assert item["metadata"] is None
    assert item["expiration_date"] is None


def test_update_batch_is_all_or_none(mem: Memory) -> None:
    ids = [r["id"] for r in mem.add_batch(["a one", "b two"], user_id="u")["results"]]
    with pytest.raises(NotFoundError):
        mem.update_batch([{"id": ids[0], "text": "changed"}, {"id": "nope", "text": "x"}])
    assert mem.get(ids[0])["memory"] == "a one"
    mem.update_batch([{"id": ids[0], "metadata": {"k": 1}}, {"id": ids[1], "text": "b three"}])
    first, second = mem.get_batch(ids)
    assert (first["metadata"], second["memory"]) == ({"k": 1}, "b three")


def test_history_tells_the_whole_life(mem: Memory) -> None:
    id = only_id(mem.add({"role": "user", "content": "one", "name": "Ann"}, user_id="u"))
    mem.update(id, "two")
    mem.update(id, metadata={"k": 1})
    mem.delete(id, actor_id="gardener")
    entries = mem.history(id)
    assert [e["event"] for e in entries] == ["ADD", "UPDATE", "UPDATE", "DELETE"]
    assert [(e["old_memory"], e["new_memory"]) for e in entries] == [
        (None, "one"),
        ("one", "two"),
        ("two", "two"),
        ("two", None),
    ]
    assert [e["is_deleted"] for e in entries] == [False, False, False, True]
    assert {e["memory_id"] for e in entries} == {id}
    assert len({e["id"] for e in entries}) == 4
    assert entries[-1]["actor_id"] == "gardener"
    times = [e["updated_at"] or e["created_at"] for e in entries]
    assert times == sorted(times)


def test_delete_takes_it_out_of_every_answer(mem: Memory) -> None:
    id = only_id(mem.add("to be forgotten", user_id="u"))
    keep = only_id(mem.add("to be kept", user_id="u"))
    [gone] = mem.delete(id)["results"]
    assert (gone["id"], gone["event"], gone["memory"]) == (id, "DELETE", "to be forgotten")
    assert mem.get(id) is None
    assert [i["id"] for i in mem.get_all(user_id="u")["results"]] == [keep]
    assert [h["id"] for h in mem.search("forgotten", user_id="u")["results"]] == [keep]
    with pytest.raises(NotFoundError):
        mem.delete(id)


def test_delete_all_stays_inside_its_scope(mem: Memory) -> None:
    mem.add_batch(["a", "b", "c"], user_id="u", run_id="r1")
    mem.add("d", user_id="u", run_id="r2")
    mem.add("e", user_id="v", run_id="r1")
    assert mem.delete_all(user_id="u", run_id="r1") == {"deleted": 3}
    assert mem.count(unscoped=True) == 2
    assert mem.delete_all(run_id="r1") == {"deleted": 1}
    assert mem.delete_all(user_id="nobody") == {"deleted": 0}


def test_an_id_may_live_twice(mem: Memory) -> None:
    id = only_id(mem.add("first life", user_id="u"))
    mem.delete(id)
    mem.add_batch([{"content": "second life", "id": id}], user_id="u")
    assert [e["event"] for e in mem.history(id)] == ["ADD", "DELETE", "ADD"]
    assert mem.get(id)["memory"] == "second life"


def files_with(folder: Path, words: bytes) -> list[str]:
    return [
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and words in file.read_bytes()
    ]


def test_purge_leaves_no_byte(path: Path) -> None:
    secret = "xylophone-7731-quokka"
    with Memory(path, embedder="static") as mem:
        mem.add_batch([f"harmless note {i}" for i in range(50)], user_id="u")
        ids = [
            r["id"]
            for r in mem.add_batch(
                [{"content": f"the word is {secret}", "metadata": {"s": secret}}, f"{secret} x"],
                user_id="u",
            )["results"]
        ]
        mem.update(ids[0], f"the word was {secret}")
        mem.delete(ids[1])
        mem.flush()
        assert files_with(path, secret.encode())
        assert mem.purge(ids[0]) == {"purged": 1}
        assert mem.purge(ids[1]) == {"purged": 1}
        assert files_with(path, secret.encode()) == []
        assert mem.history(ids[0]) == []
        assert mem.count(user_id="u") == 50
        assert mem.check()["problems"] == []
    assert files_with(path, secret.encode()) == []


def test_purge_of_a_scope(path: Path) -> None:
    with Memory(path, embedder="static") as mem:
        mem.add_batch(["kestrel one", "kestrel two"], user_id="u", run_id="r")
        mem.add("stays", user_id="u", run_id="other")
        assert mem.purge(user_id="u", run_id="r") == {"purged": 2}
        assert mem.count(user_id="u") == 1
        assert files_with(path, b"kestrel") == []


def test_reset_empties_the_store(mem: Memory, path: Path) -> None:
    id = only_id(mem.add("marmalade", user_id="u"))
    mem.search("marmalade", user_id="u")
    assert mem.reset() == {"deleted": 1}
    assert mem.count(unscoped=True) == 0
    assert mem.get(id) is None
    assert mem.history(id) == []
    assert mem.search("marmalade", user_id="u")["results"] == []
    assert files_with(path, b"marmalade") == []
    mem.add("new life", user_id="u")
    assert [h["memory"] for h in mem.search("life", user_id="u")["results"]] == ["new life"]
