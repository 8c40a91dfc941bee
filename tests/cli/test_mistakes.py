"""A user's mistakes: a message that helps, a documented exit code, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

ID = "00000000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["serach", "x"], 2, "Did you mean 'search'?"),
        (["add", "x"], 2, "say whose memories: --user ID"),
        (["search", "x"], 2, "or --unscoped for all"),
        (["search", "x", "--user", "a", "--unscoped"], 2, "leave it or the scope out"),
        (["search", "x", "--user", "a", "--top-k", "0"], 2, "--top-k"),
        (["search", "x", "--user", "a", "--filter", "{"], 2, "is not JSON"),
        (["search", "x", "--user", "a", "--filter", "[]"], 2, "is not a JSON object"),
        (["count", "--user", "a", "--filter", '{"level": ' + 5000 * "9" + "}"], 2, "5000 digits"),
        (["count", "--user", "a", "--filter", '{"level": ' + 10**5 * "["], 2, "cannot be read"),
        (["--store", "~nobody-of-this-name/x", "count", "--user", "a"], 4, "without '~'"),
        (["search", "x", "--user", "a", "--filter", '{"role": "u", "role": "a"}'], 2, "twice"),
        (["search", "x", "--user", "a", "--filter", '{"metadata.a": {"near": 1}}'], 2, "near"),
        (["search", " ", "--user", "a"], 2, "error: "),
        (["list", "--user", " "], 2, "user_id"),
        (["list", "--user", "a", "--user-id", "b"], 2, "'--user-id': is given more than once"),
        (["count", "--user", "a", "--filter", "{}", "--filter", "{}"], 2, "more than once"),
        (["list", "--user", "a", "--cursor", "x"], 2, "cursor"),
        (["add", " ", "--user", "a"], 2, "empty"),
        (["add", "x", "--user", "a", "--timestamp", "noon"], 2, "'noon'"),
        (["add", "x", "--user", "a", "-m", "novalue"], 2, "neither KEY=VALUE"),
        (["add", "x", "--user", "a", "-m", "k=1", "-m", " k =2"], 2, "'k' is given twice"),
        (["add", "x", "--user", "a", "-m", "k=1", "-m", '{"k": 2}'], 2, "'k' is given twice"),
        (["add", "x", "--user", "a", "-m", '{"k": 1, "k": 2}'], 2, "has the key 'k' twice"),
        (["add", "x", "--user", "a", "--level", "1" + 18 * "0" + "0"], 2, "beyond 64 bits"),
        (["add", "x", "--user", "a", "--level", 5000 * "9"], 2, "beyond 64 bits"),
        (["add", "x", "--user", "a", "--id", "17"], 2, "not a UUID"),
        (["add", "x", "y", "--user", "a", "--key", "k"], 2, "belong to one TEXT"),
        (["update", ID], 2, "nothing to change"),
        (["update", ID, "x"], 3, ID),
        (["delete", ID, "--yes"], 3, ID),
        (["purge", ID, "--yes"], 3, ID),
        (["delete"], 2, "say what"),
        (["delete", ID, "--user", "a"], 2, "not both"),
        (["export"], 2, "say whose memories"),
        (["export", "--json", "--user", "a"], 2, "--json reports about a FILE"),
        (["--store", "x", "models", "list"], 2, "leave --store out"),
        (["--embedder", "static", "models", "verify"], 2, "leave --embedder out"),
        (["--embedder", "static", "reembed", "minilm", "--yes"], 2, "leave --embedder out"),
        (["migrate", "--embedder", "static"], 2, "leave --embedder out"),
        (["backup", "x", "--embedder", "static"], 2, "leave --embedder out"),
        (["restore", "x", "y", "--store", "z"], 2, "leave --store out"),
        (["restore", "x", "--embedder", "static"], 2, "leave --embedder out"),
        (["export", "x.archive", "--user", "a", "--embedder", "static"], 2, "leave --embedder out"),
        (["--store", "s3://k@bucket/x", "count", "--user", "a"], 4, "'s3://bucket/x' is a URI"),
        (["models", "path", "nonsense"], 5, "nonsense"),
        (["models", "pull", "nonsense"], 5, "nonsense"),
        (["--embedder", "nonsense", "add", "x", "--user", "a"], 5, "nonsense"),
        (["reembed", "nonsense", "--yes"], 5, "nonsense"),
    ],
)
def test_a_mistake_is_explained(run, arguments, code, message) -> None:
    run("add", "likes tea", "--user", "a")
    result = run(*arguments, code=code)
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "x", "--user", "a"],
        ["list", "--user", "a"],
        ["count", "--unscoped"],
        ["check"],
        ["stats"],
        ["export", "--unscoped"],
        ["delete", "--user", "a", "--yes"],
        ["reembed", "static", "--yes"],
        ["migrate"],
    ],
)
def test_a_misspelt_store_is_not_made(run, environment, arguments) -> None:
    assert f"there is no store at {environment}" in run(*arguments, code=4).stderr
    assert not environment.exists()


def test_a_file_is_no_store(run, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    result = run("--store", tmp_path / "file", "add", "x", "--user", "a", code=4)
    assert str(tmp_path / "file") in result.stderr


def test_a_store_of_another_model_names_the_remedy(run) -> None:
    run("add", "likes tea", "--user", "a")
    assert "reembed" in run("--embedder", "minilm", "list", "--user", "a", code=4).stderr


def test_an_id_that_is_taken_is_a_conflict(run) -> None:
    run("add", "likes tea", "--user", "a", "--id", ID)
    assert ID in run("add", "likes coffee", "--user", "a", "--id", ID, code=7).stderr


def test_a_store_that_exists_needs_no_embedder(run, monkeypatch) -> None:
    run("add", "likes tea", "--user", "a")
    monkeypatch.delenv("AGENTMEM_EMBEDDER")
    assert "likes tea" in run("search", "tea", "--user", "a").stdout


def test_adding_does_not_speak_of_an_option_that_it_lacks(run) -> None:
    assert "--unscoped" not in run("add", "x", code=2).stderr


def test_a_parquet_file_is_told_where_to_go(run, tmp_path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1\x15\x04\x15\xa0PAR1")
    assert "Memory.add_arrow" in run("import", path, "--user", "a", code=6).stderr


def test_a_backup_needs_a_folder(run) -> None:
    run("add", "likes tea", "--user", "a")
    assert "in memory" in run("backup", ":memory:", code=4).stderr


def test_a_name_that_is_too_long_is_no_store(run) -> None:
    assert "name too long" in run("--store", "x" * 300, "add", "x", "--user", "a", code=4).stderr


def test_options_of_the_store_may_follow_the_command(run, tmp_path) -> None:
    run("add", "likes tea", "--user", "a", "--store", tmp_path / "other")
    assert run("--store", tmp_path / "other", "count", "--user", "a").stdout == "1\n"
    assert (tmp_path / "other").is_dir()


def test_the_default_store_is_in_the_users_data(monkeypatch, tmp_path) -> None:
    from agentmem.cli.options import Settings

    monkeypatch.delenv("AGENTMEM_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = Settings().path
    assert "agentmem" in path.parts
    assert path.is_absolute()
    assert Settings(store="~/x").path == Path.home() / "x"
