"""The comparison with other stores: its harness at a tiny size, without the others' packages."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Load = Callable[[str], Any]

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "asv_benchmarks"
_OURS = "agentmem minilm"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Modules of the comparison, importable for one test."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("benchmarks", "compare"):
            del sys.modules[name]


@pytest.fixture
def few(load: Load) -> Any:
    """The least of every task."""
    small = {"stored": 20, "single": 2, "batch": 4, "threads": 4, "each": 2}
    return load("compare.measure").Sizes(**small, questions=3, repeats=3, top_k=5)


def test_texts_are_timed_counted_and_found_again(load: Load, few: Any) -> None:
    said: list[str] = []
    names = ["agentmem static"]
    runs, failed = load("compare.rounds").rounds(names, few, 1, said.append, first=True)
    assert failed == {}
    (found,) = runs["agentmem static"]
    assert (found["stored"], found["lost"], found["errors"]) == (few.total, 0, 0)
    timed = {"fill", "add", "batch", "threads", "search", "repeat", "import", "class", "first"}
    assert all(found[name] > 0 for name in (*timed, "memory", "disk"))
    assert len(said) == 1


def test_mem0_can_be_asked_whatever_an_evaluation_asks(load: Load) -> None:
    from agentmem.evaluation.runner import Judged

    asked = {name for name in vars(Judged) if name[0] != "_"} - {"context"}
    assert asked >= {"add_batch", "search", "count"}
    mem0 = load("compare.contenders.mem0_memory").Mem0Answers
    assert {name for name in asked if not callable(getattr(mem0, name, None))} == set()


def test_stores_are_compared_with_the_exact_answer(load: Load, few: Any) -> None:
    names = ["agentmem", "SQLite", "NumPy"]
    main, sizes = load("compare.__main__"), load("compare.measure").Sizes
    part = main.timed(names, sizes(**{**_fields(few), "given": True}), 1, first=False)
    assert part["failed"] == {}
    assert [part["runs"][name][0].get("agreement") for name in names] == [1, None, 1]
    text = load("compare.page").section({"machine": "m", "python": "p", "stores": part}, "p.png")
    assert "| AgentMem |" in text
    assert "| NumPy: scan of 20 vectors | - | - |" in text


def _fields(sizes: Any) -> dict[str, Any]:
    return {name: getattr(sizes, name) for name in sizes.__dataclass_fields__}


def test_a_contender_that_forgets_is_found_out(load: Load, few: Any, tmp_path: Path) -> None:
    base = load("compare.contenders.base").Contender

    class Forgetful(base):  # type: ignore[misc]
        """Keeps every row but those that come alone, and refuses some of the threads' rows."""

        setup = durability = ""

        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            self.texts: list[str] = []
            self.calls = 0

        def add(self, row: Any) -> None:
            self.calls += 1
            if self.calls == 5:
                raise OSError("full")

        def add_batch(self, rows: Sequence[Any]) -> None:
            self.texts += [row.text for row in rows]

        def search(self, query: Any, top_k: int) -> list[str]:
            return [text for text in self.texts if text == query.text][:top_k]

        def count(self) -> int:
            return len(self.texts)

        def close(self) -> None: ...

    measure = load("compare.measure")
    figures = measure.measure(Forgetful(tmp_path), few, ("fill", "add", "threads"))
    assert (figures["stored"], figures["errors"]) == (20 + 1 + 2 + 8 - 1, 1)
    with pytest.raises(measure.WrongAnswerError, match="does not find itself"):
        measure.measure(Forgetful(tmp_path), few, ("fill", "add", "find"))


def test_a_contender_that_fails_is_named_with_its_reason(
    load: Load, few: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AGENTMEM_MODELS", raising=False)
    monkeypatch.setenv("AGENTMEM_CACHE", str(tmp_path))
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    rounds = load("compare.rounds").rounds
    runs, failed = rounds(["ONNX Runtime fp32"], few, 2, lambda line: None)
    assert runs == {}
    assert failed["ONNX Runtime fp32"].startswith("OfflineError: ")


def test_contenders_are_refused_the_network(load: Load) -> None:
    program = (
        "import sys, socket; from compare.worker import refuse_network;"
        " sys.addaudithook(refuse_network); socket.create_connection(('127.0.0.1', 9))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError: a contender asked for the network" in done.stderr


def test_the_model_run_plainly_is_the_same_model(load: Load) -> None:
    """mem0 is given this embedder: its vectors are those that AgentMem stores."""
    import numpy as np

    from agentmem import Memory

    texts = load("compare.data").facts(40, sentences=2)
    plain = load("compare.contenders.plain_onnx").PlainOnnx("minilm-fp32")
    with Memory(":memory:", embedder="minilm-fp32") as memory:
        ours = memory._engine.embedder.embed_queries(texts)
    np.testing.assert_allclose([plain.one(text) for text in texts], ours, atol=1e-5)
    np.testing.assert_allclose(plain.many(texts), ours, atol=1e-5)


def test_a_ratio_is_taken_within_a_round_and_turned_round_where_less_is_better(load: Load) -> None:
    figures = load("compare.figures")
    ours = [{"add": 20.0, "disk": 1.0}, {"add": 90.0, "disk": 1.0}, {"add": 40.0, "disk": 1.0}]
    theirs = [{"add": 10.0, "disk": 3.0}, {"add": 30.0, "disk": 2.0}, {"add": 10.0, "disk": 5.0}]
    assert figures.ratio(ours, theirs, "add") == (3.0, 2.0, 4.0)
    assert figures.ratio(ours, theirs, "disk") == (3.0, 2.0, 5.0)
    assert figures.ratio(ours, theirs, "threads") is None
    found = {name: {"overall": {"recall@10": x}} for name, x in (("mem0", 0.5), (_OURS, 0.79))}
    assert figures.goals_met({"mem0": theirs, _OURS: ours}, found) == [
        "agentmem minilm, add: 3.00 x mem0 (2.00 to 4.00), goal 3: reached",
        "agentmem minilm, LoCoMo recall@10: +29.0 points, goal +30: NOT REACHED",
    ]


def test_only_whole_parts_replace_what_was_kept(load: Load) -> None:
    main = load("compare.__main__")
    results = {"texts": "old", "recall": {"locomo": {"date": "d", "runs": {"mem0": 1, "b": 1}}}}
    found = {"texts": "new", "recall": {"locomo": {"date": "e", "runs": {"b": 2}}}}
    for arguments in (["--only", "mem0", "--limit", "1"], ["--only", "mem0"], []):
        main.keep(found, results, main.options_of(arguments))
        whole, judged = not arguments, "--limit" not in arguments
        assert results["texts"] == ("new" if whole else "old")
        assert results["recall"]["locomo"]["runs"] == {"mem0": 1, "b": 2 if judged else 1}


def test_a_page_is_written_between_its_markers_and_nothing_else_is_touched(
    load: Load, tmp_path: Path
) -> None:
    page = load("compare.page")
    path = tmp_path / "page.md"
    path.write_text(f"# A\n\n{page.BEGIN}\n{page.END}\n\n## After\n")
    page.write_section(path, "first\n")
    page.write_section(path, "second\n")
    assert path.read_text() == f"# A\n\n{page.BEGIN}\nsecond\n{page.END}\n\n## After\n"
    path.write_text("| a | `b` |\n| x | 1 | `ci/compare` |\n\nEnd\n")
    page.write_readme(path, ["| x | 2 | `ci/compare` |", "| y | 2 | `ci/compare --parts z` |"])
    page.write_readme(path, ["| x | 3 | `ci/compare` |"])
    assert path.read_text() == "| a | `b` |\n| x | 3 | `ci/compare` |\n\nEnd\n"
    for write in (page.write_section, page.write_readme):
        path.write_text("# A\n")
        with pytest.raises(ValueError, match=r"page\.md"):
            write(path, "text")


def test_every_option_is_documented(load: Load) -> None:
    known = vars(load("compare.__main__").options_of([])).keys() - {"some"}
    text = (ROOT / "docs" / "building.md").read_text("utf-8").partition("## Side by side")[2]
    told = set(re.findall(r"`--([a-z-]+)", text))
    assert told == {name.replace("_", "-") for name in known}


def test_what_is_published_is_what_was_measured(load: Load) -> None:
    """The page and the README say what results.json says; neither is edited by hand."""
    page = load("compare.page")
    results = json.loads((FOLDER / "compare" / "results.json").read_text("utf-8"))
    published = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert page.section(results, "comparison.png") in published
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert [row for row in page.readme_rows(results) if row not in readme] == []
