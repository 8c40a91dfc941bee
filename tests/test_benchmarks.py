"""The benchmarks can be loaded and run, their data is the same everywhere, and a change between two
commits is told from noise."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Load = Callable[[str], Any]

FOLDER = Path(__file__).parents[1] / "asv_benchmarks"
NAMES = sorted(p.stem for p in (FOLDER / "benchmarks").glob("*.py") if p.stem != "__init__")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """The package of benchmarks, importable for one test."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "benchmarks":
            del sys.modules[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_file_defines_benchmarks(load: Load, name: str) -> None:
    module = load(f"benchmarks.{name}")
    if name == "common":
        return
    prefixes = ("time_", "track_", "peakmem_", "mem_", "timeraw_")
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    found = [n for owner in (module, *classes) for n in vars(owner) if n.startswith(prefixes)]
    assert found, f"asv finds nothing to run in {name}.py"


def test_the_texts_are_many_real_and_repeatable(load: Load) -> None:
    common = load("benchmarks.common")
    texts = common.texts(2000)
    assert texts == common.texts(2000)
    assert len(set(texts)) == 2000
    assert len(common.sentences()) > 300
    assert all(any(sentence in text for sentence in common.sentences()) for text in texts[:20])


def test_the_vectors_are_unit_vectors(load: Load) -> None:
    import numpy as np

    made = load("benchmarks.common").vectors(100, 64)
    assert made.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


def test_every_kernel_and_its_twin_can_be_measured(load: Load) -> None:
    kernels = load("benchmarks.kernels")
    measured = 0
    for kind in vars(kernels).values():
        if isinstance(kind, type) and issubclass(kind, kernels._Gain) and hasattr(kind, "setup"):
            one, choices = kind(), getattr(kind, "params", ())
            if choices and not isinstance(choices[0], list | tuple):
                choices = (choices,)
            first = [values[0] for values in choices]
            one.setup(*first)
            one.time_native(*first)
            one.twin()
            measured += 1
    assert measured > 10


def test_growth_can_be_measured(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growth = load("benchmarks.growth")
    monkeypatch.setattr(growth, "SIZES", (1_000,))
    monkeypatch.chdir(tmp_path)
    one = growth.Growth()
    folder = one.setup_cache()
    one.setup(folder, 1_000)
    one.time_search(folder, 1_000)
    one.time_search_dense(folder, 1_000)
    assert one.memory.count() == 1_000
    one.teardown(folder, 1_000)
    on_disk = growth.GrowthOnDisk()
    on_disk.setup(folder, 1_000)
    assert on_disk.track_add_batch(folder, 1_000) > 0
    assert on_disk.track_bytes_a_memory(folder, 1_000) > 768


def test_what_was_not_written_has_no_rate(load: Load) -> None:
    store = load("benchmarks.common").TemporaryStore()
    memory = store.open("static", {"projection": {"enabled": False}})
    try:
        added = memory.add_batch(["one", "two", "three"])["results"]
        gone = memory.delete(added[2]["id"])["results"]
        store.verify(2, [*added[:2], *gone])
        assert store.memory is not memory
        for count, answers in (
            (3, added[:2]),  # one was lost
            (2, [added[0] | {"memory": "other"}]),
            (2, added),  # deleted meanwhile
            (2, [added[0] | {"event": "DELETE"}]),
        ):
            with pytest.raises(AssertionError):
                store.verify(count, answers)
    finally:
        store.teardown()


def test_what_is_counted_runs_without_valgrind_too(load: Load) -> None:
    instructions = load("benchmarks.instructions")
    done = subprocess.run(
        [sys.executable, str(FOLDER / "counted.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name, _ in json.loads(done.stdout)]
    assert tuple(names) == (*instructions.KERNELS, *instructions.PATHS)


def test_without_valgrind_counting_is_skipped(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotImplementedError, match="not installed"):
        load("benchmarks.instructions").counts()


@pytest.fixture(scope="module")
def difference() -> Any:
    spec = importlib.util.spec_from_file_location("difference", FOLDER / "difference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["difference"] = module  # dataclasses look there
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["difference"]


def test_what_lies_outside_the_noise_is_a_change(difference: Any) -> None:
    before = {"a": [1.0, 1.1, 0.9], "b": [1.0, 1.1, 0.9], "c.track_rate": [100.0, 110.0]}
    after = {"a": [2.0, 2.2, 1.9], "b": [1.05, 0.95, 1.2], "c.track_rate": [50.0, 55.0]}
    found = difference.changes(before, after, {"c.track_rate": "memories/s"})
    by_name = {change.name: change for change in found}
    assert by_name["a"].ratio == 2.0
    assert (by_name["a"].least, by_name["a"].most) == (1.9 / 1.1, 2.2 / 0.9)
    assert [change.name for change in found if change.worse(1.05)] == ["a", "c.track_rate"]
    assert by_name["c.track_rate"].ratio == 2.0
    back = difference.changes(after, before, {"c.track_rate": "memories/s"})
    assert {change.name for change in back if change.better(1.05)} == {"a", "c.track_rate"}


def test_a_single_run_tells_nothing_of_noise(difference: Any) -> None:
    once, often = {"a": [1.0]}, {"a": [2.0, 2.1]}
    assert difference.changes(once, often, {}) == difference.changes(often, once, {}) == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["compare", "--help"], 0, "usage: ci/compare"),
        (["compare", "--only", "nobody"], 2, "no such contender: nobody"),
        (["bench-compare", "-h"], 0, "usage: ci/bench-compare"),
        (["bench-compare", "A"], 2, "required: after"),
        (["bench-compare", "A", "B", "--rounds", "1"], 2, "must be 2 or more, not 1"),
    ],
)
def test_help_and_mistakes_are_told_before_anything_is_installed(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    environment = tmp_path / "env"
    script, *rest = arguments
    done = subprocess.run(
        ["bash", FOLDER.parent / "ci" / script, *rest],
        env={**os.environ, "AGENTMEM_VENV": str(environment), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert told in done.stdout + done.stderr
    assert not environment.exists()


def test_larger_is_better_where_it_is(difference: Any) -> None:
    better = difference.is_larger_better
    assert better("write.AddOne.track_rate", "memories/s")
    assert better("kernels.HashTexts.track_gain", "times the twin's speed")
    assert not better("write.AddFromMany.track_longest_wait", "ratio")
    assert not better("search.Scope.time_search", "seconds")
    assert not better("instructions.Paths.track_instructions", "instructions")


def test_values_are_read_from_results_of_asv(difference: Any) -> None:
    """Those that the project keeps."""
    files = [p for p in FOLDER.glob("results/*/*.json") if p.name != "machine.json"]
    assert files, "the history of the benchmarks is kept in the repository"
    for file in files:
        read = dict(difference.values(file))
        assert read, f"no value in {file.name}"
        assert all(isinstance(value, float) for value in read.values())


def test_the_kept_results_name_no_machine_and_no_folder() -> None:
    for file in FOLDER.glob("results/**/*.json"):
        text = file.read_text("utf-8")
        named = [word for word in ("/home", "/root", "/tmp", "/work", "/Users") if word in text]
        assert not named, f"{file.name} names {named}"
