"""``agentmem backup`` and ``agentmem restore``."""

from __future__ import annotations


def test_there_and_back(run, run_json, environment, tmp_path) -> None:
    run("add", "likes tea", "plays the cello", "--user", "a")
    shown = run("backup", tmp_path / "copy").stdout
    assert shown.startswith("backed up 2 memories (")
    assert shown.rstrip().endswith(str(tmp_path / "copy"))
    run("add", "later", "--user", "a")
    made = run_json("restore", tmp_path / "copy", tmp_path / "new")
    assert (made["memories"], made["migrated"]) == (2, [])
    assert run_json("--store", tmp_path / "new", "count", "--unscoped") == {"count": 2}
    assert run_json("count", "--unscoped") == {"count": 3}


def test_a_store_is_replaced_after_a_question(run, run_json, tmp_path) -> None:
    run("add", "likes tea", "--user", "a")
    run("backup", tmp_path / "copy")
    run("add", "later", "--user", "a")
    assert "nobody is there to answer" in run("restore", tmp_path / "copy", code=2).stderr
    assert "nothing was changed" in run("restore", tmp_path / "copy", input="n\n", code=1).stderr
    assert run_json("count", "--user", "a") == {"count": 2}
    run("restore", tmp_path / "copy", input="y\n")
    assert run_json("count", "--user", "a") == {"count": 1}
    run("add", "later", "--user", "a")
    run("restore", tmp_path / "copy", "--yes")
    assert run_json("count", "--user", "a") == {"count": 1}


def test_mistakes_are_named(run, environment, tmp_path) -> None:
    assert "no store" in run("backup", tmp_path / "copy", code=4).stderr
    assert not (tmp_path / "copy").exists()
    run("add", "likes tea", "--user", "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    assert "not empty" in run("backup", tmp_path / "full", code=4).stderr
    assert "no store" in run("restore", tmp_path / "absent", code=4).stderr
    assert "no store" in run("restore", tmp_path / "full", "--yes", code=4).stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["precious"]


def test_a_store_that_lost_its_database_is_told_so_by_every_command(
    run, run_json, environment, tmp_path
) -> None:
    run("add", "likes tea", "--user", "a")
    run("flush")
    run("backup", tmp_path / "copy")
    (environment / "agentmem.db").unlink()
    for command in (["stats"], ["check"], ["add", "x", "--user", "a"], ["list", "--user", "a"]):
        message = run(*command, code=4).stderr
        assert "agentmem.db' is missing" in message
        assert "agentmem restore" in message
    run("restore", tmp_path / "copy", "--yes")
    assert run_json("count", "--user", "a") == {"count": 1}
