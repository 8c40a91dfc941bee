"""An archive makes of an empty store the one that was exported, to the byte."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Memory
from agentmem.store import Store

DIM = 256
WORDS = [
    "tea",
    "cello",
    "bakery",
    "Lisbon",
    "train",
    "attic",
    "hazelnut",
    "surf",
    "Ghent",
    "café",
    "東京",
    "rehearsal",
]
USERS = ("ann", "bob")
MOMENT = 1_700_000_000


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 9))) + rng.choice(("", "!\n", ' "so"'))


def item(rng: random.Random) -> dict[str, Any]:
    optional = {
        "run_id": rng.choice(("r1", "r2")),
        "agent_id": "helper",
        "actor_id": rng.choice(("Ann", "Zoë")),
        "role": "user",
        "memory_type": rng.choice(("semantic", "core")),
        "level": rng.choice(("high", 3, -1)),
        "importance": rng.random(),
        "metadata": {"n": rng.random() * 10 ** rng.randint(-9, 9), "deep": [None, {"é": True}]},
        "timestamp": rng.randint(0, MOMENT) + 0.000001,
        "expiration_date": rng.choice((MOMENT * 2, 4_000_000_000)),
        "idempotency_key": f"k{rng.random()}",
        "vector": np.random.default_rng(rng.randint(0, 99)).normal(size=DIM).tolist(),
    }
    chosen = {name: value for name, value in optional.items() if rng.random() < 0.3}
    return {"content": text(rng), "user_id": rng.choice(USERS), **chosen}


def live(mem: Memory) -> list[str]:
    return [found["id"] for found in mem.get_all(unscoped=True, show_expired=True)["results"]]


def operate(mem: Memory, rng: random.Random, steps: int) -> set[str]:
    """Random operations; returns every id there ever was."""
    seen: set[str] = set()
    for _ in range(steps):
        ids = live(mem)
        choice = rng.random()
        if choice < 0.45 or not ids:
            added = mem.add_batch([item(rng) for _ in range(rng.randint(1, 6))])["results"]
            seen.update(result["id"] for result in added)
            if rng.random() < 0.2:  # the same id again, after a deletion
                mem.delete(added[0]["id"])
                mem.add_batch([{**item(rng), "id": added[0]["id"]}])
        elif choice < 0.7:
            changes = item(rng)
            allowed = {"metadata", "memory_type", "level", "importance", "timestamp", "vector"}
            kept = {name: value for name, value in changes.items() if name in allowed}
            mem.update(rng.choice(ids), changes["content"], actor_id="editor", **kept)
        elif choice < 0.85:
            mem.delete_batch(rng.sample(ids, k=min(len(ids), 2)), actor_id="cleaner")
        elif choice < 0.9:
            mem.purge(rng.choice(ids))
        else:
            mem.search(text(rng), user_id=rng.choice(USERS))
    return seen


def answers(path: Path, ids: set[str]) -> dict[str, Any]:
    """Everything that Memory tells of these ids, and some searches."""
    rng = random.Random(7)
    with Memory(path, embedder="static") as mem:
        assert mem.check()["problems"] == []
        return {
            "get": {id_: mem.get(id_, show_expired=True) for id_ in sorted(ids)},
            "history": {id_: mem.history(id_) for id_ in sorted(ids)},
            "pages": [
                mem.get_all(unscoped=True, order=order)
                for order in ("created_at", "-updated_at", "timestamp")
            ],
            "search": [
                mem.search(text(rng), user_id=user, mode=mode, explain=True, show_expired=True)
                for user in USERS
                for mode in ("hybrid", "dense", "keyword")
            ],
        }


def dump(path: Path) -> dict[str, list[Any]]:
    """Every row of every table, but for the epoch and when the schema was made."""
    with closing(Store(path)) as store, store.read() as snapshot:
        db = snapshot._db
        tables = db.values("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        found = {name: sorted(db.rows(f"SELECT * FROM {name}"), key=repr) for name in tables}
    for name in ("migrations", "sqlite_sequence"):
        found.pop(name)
    found["meta"] = [row for row in found["meta"] if row[0] != "epoch"]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_random_operations_survive_to_the_bit(run, environment, tmp_path, seed) -> None:
    rng = random.Random(seed)
    with Memory(environment, embedder="static") as mem:
        ids = operate(mem, rng, 60)
    before = dump(environment)
    told = answers(environment, ids)
    assert {len(before[name]) > 9 for name in ("memories", "versions", "events")} == {True}
    assert {row[1] for row in before["vectors"]} == {1, 2}
    run("export", tmp_path / "all.archive", "--unscoped")
    shown = run("--store", tmp_path / "copy", "import", tmp_path / "all.archive").stdout
    assert shown.startswith(f"archive: stored {len(before['memories'])} memories")
    after = dump(tmp_path / "copy")
    del before["access"], after["access"]  # answers() has read the first once more
    assert after == before
    assert answers(tmp_path / "copy", ids) == told
    with Memory(tmp_path / "copy", embedder="static") as copy:
        copy.add("the next", user_id="ann")
        assert copy.check()["ok"]


@pytest.fixture
def archive(run, environment, tmp_path) -> Path:
    with Memory(environment, embedder="static") as mem:
        mem.add_batch(["likes tea", "plays the cello"], user_id="ann", run_id="r")
        (mine,) = mem.add("a train", user_id="bob")["results"]
        mem.update(mine["id"], "the train", actor_id="x")
        (gone,) = mem.add("lost", user_id="bob")["results"]
        mem.delete(gone["id"])
    run("export", tmp_path / "a.archive", "--unscoped")
    return tmp_path / "a.archive"


def test_texts_in_which_the_model_knows_no_token(run, environment, tmp_path) -> None:
    texts = ["გამარჯობა", "สวัสดี", "0123456789abcdef" * 9]
    with Memory(environment, embedder="static", user_id="u") as mem:
        mem.add_batch(texts)
        assert mem.check()["problems"] == []
    run("export", tmp_path / "a.archive", "--unscoped")
    run("--store", tmp_path / "copy", "import", tmp_path / "a.archive")
    with Memory(tmp_path / "copy", embedder="static", user_id="u") as copy:
        assert copy.check()["problems"] == []
        for text in texts:
            assert copy.search(text)["results"][0]["memory"] == text


def test_reads_are_counted_on(run, environment, archive, tmp_path) -> None:
    run("--store", tmp_path / "copy", "import", archive)
    assert dump(tmp_path / "copy") == dump(environment)


def test_a_scope_alone_may_be_moved(run, environment, archive, tmp_path) -> None:
    result = run("export", "--format", "archive", "--user", "bob")
    assert "wrote 1 memory" in result.stderr
    run("--store", tmp_path / "copy", "import", "-", input=result.stdout)
    before, after = dump(environment), dump(tmp_path / "copy")
    assert [row[3] for row in after["memories"]] == ["the train"]
    assert len(after["events"]) == 4
    for name in ("memories", "events", "vectors", "scopes"):
        assert set(after[name]) < set(before[name])
    assert after["versions"] == before["versions"]  # all of them bob's


def test_a_zipped_one_is_read_like_any_file(run, environment, archive, tmp_path) -> None:
    zipped = tmp_path / "a.gz"
    zipped.write_bytes(gzip.compress(archive.read_bytes()))
    run("--store", tmp_path / "copy", "import", zipped)
    assert dump(tmp_path / "copy") == dump(environment)


def test_an_emptied_store_takes_it_in_place(run, environment, archive) -> None:
    before = dump(environment)
    with Memory(environment, embedder="static") as mem:
        mem.reset()
        run("import", archive)
        assert mem.count(user_id="bob") == 1  # the one that was open goes on with it
        assert mem.search("train", user_id="bob")["results"][0]["memory"] == "the train"
    now = dump(environment)
    del before["access"], now["access"]
    assert now == before


def test_a_store_that_has_something_gets_the_memories_alone(
    run, run_json, environment, archive, tmp_path
) -> None:
    other = ("--store", tmp_path / "other")
    run(*other, "add", "its own", "--user", "cid")
    report = run_json(*other, "import", archive)
    assert (report["added"], report["known"]) == (3, 0)
    assert run_json(*other, "import", archive)["known"] == 3
    with Memory(environment, embedder="static") as mem:
        theirs = mem.get_all(unscoped=True)["results"]
    with Memory(tmp_path / "other", embedder="static") as mem:
        for item in theirs:
            found = mem.get(item["id"])
            for name in ("created_at", "updated_at"):
                assert found.pop(name) > item.pop(name)
            assert found == item
            assert len(mem.history(item["id"])) == 1
        assert mem.check()["ok"]


Bend = Callable[..., list[str]]


def bender(lines: list[str]) -> Bend:
    def bent(number: int, **changes: Any) -> list[str]:
        line = {**json.loads(lines[number]), **changes}
        return [*lines[:number], json.dumps(line) + "\n", *lines[number + 1 :]]

    return bent


def cases_of(lines: list[str]) -> list[tuple[str, list[str]]]:
    """What an error says of what was done to the lines of an archive."""
    bent = bender(lines)
    kinds = [json.loads(line).get("kind") for line in lines]
    memory, event, scope = (kinds.index(kind) for kind in ("memory", "event", "scope"))
    second = json.loads(lines[memory + 1])
    return [
        ("cut off", lines[:-1]),
        ("not whole", [*lines[:-2], lines[-1]]),
        ("after the archive's last one", [*lines, lines[-2]]),
        ("line 4: not a line of an archive", [*lines[:3], '{"text": "x"}\n', *lines[3:]]),
        ("it has no content", bent(memory, content=None)),
        ("content must be a string", bent(memory, content=5)),
        ("content is empty", bent(memory, content="")),
        ("NUL", bent(memory, content="a\0b")),
        ("lone surrogate", bent(memory, content="\ud800")),
        ("blanks around", bent(memory, role=" user")),
        ("key 1 of a memory stands after 1", bent(memory + 1, key=1)),
        (f"{second['id']}' stands there twice", bent(memory, id=second["id"])),
        ("is no UUID", bent(memory, id="x")),
        ("seq must be an integer", bent(memory, seq=1 << 80)),
        ("event_at must be microseconds", bent(memory, event_at=10**18)),
        ("created_at must be microseconds", bent(memory, created_at=10**18)),
        ("expires_at must be microseconds", bent(memory, expires_at=10**18)),
        ("importance must be a number from 0 to 1, not 7", bent(memory, importance=7)),
        ("memory_type 'zzz' is not one of", bent(memory, memory_type="zzz")),
        ("metadata must be a dictionary", bent(memory, metadata="[1]")),
        ("unknown key 'colour'", bent(memory, colour="red")),
        ("scope 99 is none of the archive's", bent(memory, scope=99)),
        ("a vector of a wrong size", bent(memory, vector="AAAA")),
        ("is not base64", bent(memory, vector="?")),
        ("a scope needs one of", bent(scope, user_id=None, run_id=None)),
        ("event 'MOVE' is not one of ADD", bent(event, event="MOVE")),
        ("upgrade", bent(0, version=2)),
        ("first line of the archive is damaged", bent(0, dim="many")),
        ("first line of the archive is damaged", bent(0, more=1)),
    ]


def test_what_is_cut_off_or_bent_is_refused_whole(run, archive, tmp_path) -> None:
    lines = archive.read_text("utf-8").splitlines(keepends=True)
    kinds = [json.loads(line).get("kind") for line in lines]
    lost = [*lines[: kinds.index("memory")], *lines[kinds.index("memory") + 1 :]]
    rows = json.loads(lines[0])["rows"]
    event, memory = kinds.index("event"), kinds.index("memory")
    cases = [
        *cases_of(lines),
        ("does not fit together", bender(lines)(event, key=99)),
        ("never deleted", bender(lost)(0, rows={**rows, "memory": rows["memory"] - 1})),
        ("does not fit together", bender(lines)(memory, position=9)),
    ]
    for message, changed in cases:
        path = tmp_path / "bad.archive"
        path.write_text("".join(changed), "utf-8")
        result = run("--store", tmp_path / "new", "import", path, code=6)
        assert message in result.stderr, (message, result.stderr)
        assert not (tmp_path / "new").exists()


def test_a_store_that_has_something_takes_all_of_it_or_nothing(run, archive, tmp_path) -> None:
    lines = archive.read_text("utf-8").splitlines(keepends=True)
    other = ("--store", tmp_path / "other")
    run(*other, "add", "its own", "--user", "cid")
    before = dump(tmp_path / "other")
    for message, changed in cases_of(lines):
        text = "".join(changed)
        result = run(*other, "import", "-", "--batch-size", "1", input=text, code=6)
        assert message in result.stderr, (message, result.stderr)
    cut = "".join(lines[:-1])
    for option in ("--no-vectors", "--dedupe", "--dry-run"):
        run("--store", tmp_path / "new", "import", "-", option, input=cut, code=6)
        assert not (tmp_path / "new").exists()
    assert dump(tmp_path / "other") == before


def test_options_that_leave_something_out_are_refused(run, archive, tmp_path) -> None:
    target = tmp_path / "b.archive"
    run("export", target, "--unscoped", "--no-vectors", code=2)
    run("export", target, "--unscoped", "--filter", '{"role": "user"}', code=2)
    run("export", target, code=2)
    assert not target.exists()


def test_another_model_is_refused_and_its_own_is_found(run, archive, tmp_path, monkeypatch) -> None:
    message = run(
        "--store", tmp_path / "new", "--embedder", "minilm", "import", archive, code=4
    ).stderr
    assert "agentmem reembed minilm" in message
    assert not (tmp_path / "new").exists()
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "minilm")  # an archive says itself what made it
    run("--store", tmp_path / "new", "import", archive)
    shown = run("--store", tmp_path / "new", "search", "train", "--user", "bob").stdout
    assert "the train" in shown


def test_a_dry_run_counts(run, archive, tmp_path) -> None:
    shown = run("--store", tmp_path / "new", "import", archive, "--dry-run").stdout
    assert shown == "archive: 3 memories\n"
    assert not (tmp_path / "new").exists()
