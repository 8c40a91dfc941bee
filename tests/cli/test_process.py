"""The program as a process: start-up, streams, signals, pipes, terminals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"numpy", "lancedb", "onnxruntime", "pyarrow", "rich", "apsw", "tokenizers"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['agentmem', '--help']\n"
        "try: runpy.run_module('agentmem', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "agentmem demo" in done.stdout
    assert HEAVY.isdisjoint(done.stderr.split())


def test_reading_commands_load_no_model(process) -> None:
    process("add", "likes tea", "--user", "a")
    code = (
        "import sys\n"
        "from agentmem.cli.app import cli\n"
        "cli.main(['count', '--user', 'a'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'onnxruntime', 'lancedb', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n[]\n"


def test_the_version_is_the_packages(process) -> None:
    import agentmem

    assert process("--version").stdout.strip().endswith(agentmem.__version__)


def test_results_and_messages_use_different_streams(process, tmp_path) -> None:
    (tmp_path / "facts.txt").write_text("likes tea\n" * 5)
    done = process("import", str(tmp_path / "facts.txt"), "--user", "a", "--json")
    assert json.loads(done.stdout)["added"] == 5
    assert done.stderr == ""
    failed = process("get", "nonsense", "--json")
    assert failed.returncode == 3
    assert json.loads(failed.stdout) == [None]
    assert failed.stderr.startswith("error: ")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_any_text_can_be_printed_in_any_encoding(process, encoding) -> None:
    process("add", "café \U0001f600 \x1b[31m", "--user", "a")
    environment = {"PYTHONIOENCODING": encoding}
    listed = process("list", "--user", "a", env=environment)
    assert listed.returncode == 0
    assert "\x1b" not in listed.stdout
    memory = json.loads(process("list", "--user", "a", "--json", env=environment).stdout)
    assert memory["results"][0]["memory"] == "café \U0001f600 \x1b[31m"


@pytest.mark.parametrize(
    ("closed", "shown"),
    [(">&-", False), ("2>&-", True), ("<&-", True), ("<&- >&- 2>&-", False)],
)
def test_a_closed_stream_is_read_and_written_as_nothing(program, process, closed, shown) -> None:
    process("add", "likes tea", "--user", "a")

    def result(*arguments: str) -> tuple[int, bool]:
        shell = ["sh", "-c", f'"$@" {closed}', "sh", *program, *arguments]
        done = subprocess.run(shell, input="", capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, "likes tea" in done.stdout

    assert result("list", "--user", "a") == (0, shown)
    assert result("add", "--user", "a") == (2, False)  # there is nothing to add


def test_a_reader_that_goes_away_is_no_error(process, program, tmp_path) -> None:
    (tmp_path / "facts.txt").write_text("".join(f"fact number {i}\n" for i in range(5000)))
    process("import", str(tmp_path / "facts.txt"), "--user", "a")
    running = subprocess.Popen(
        [*program, "export", "--user", "a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline().startswith(b'{"id":')
    running.stdout.close()
    message = running.stderr.read()
    running.stderr.close()
    assert running.wait(60) == 141
    assert message == b""


@pytest.mark.skipif(os.name == "nt", reason="named pipes and POSIX signals")
def test_ctrl_c_ends_a_command(program, process, tmp_path) -> None:
    pipe = tmp_path / "facts"
    os.mkfifo(pipe)
    process("add", "likes tea", "--user", "a")
    running = subprocess.Popen(
        [*program, "import", str(pipe), "--user", "a"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    with pipe.open("w") as facts:  # opens when the program reads
        facts.write("likes coffee\n")
        facts.flush()
        output, message = interrupt(running)
    assert running.returncode == 130
    assert (output, message.strip()) == ("", "error: interrupted")
    assert process("count", "--user", "a").stdout == "1\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("module", ["click", "agentmem.cli.commands.read", "apsw"])
def test_ctrl_c_while_modules_load_ends_without_a_traceback(environment, module) -> None:
    code = (
        "import signal, sys\n"
        "class Finger:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finger())\n"
        "from agentmem.cli import main\n"
        "sys.argv = ['agentmem', 'list', '--user', 'a']\n"
        "main()"
    )
    environment.mkdir()
    (environment / "agentmem.db").touch()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=heed_interrupts,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def heed_interrupts() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(running: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C until the process ends; one that comes just before a read starts is lost."""
    for _ in range(60):
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.communicate(timeout=1)
    running.kill()
    running.communicate()
    raise AssertionError("Ctrl-C does not end the process")


@pytest.mark.skipif(os.name == "nt", reason="named pipes")
def test_a_pipe_can_be_imported(process, tmp_path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m agentmem import <(echo likes tea) --user a --json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["added"] == 1


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_at_a_terminal_there_are_tables(process, program, no_color) -> None:
    process("add", "likes [bold]tea[/bold] \x1b[31m", "--user", "a", "-m", "dia_id=D1:3")
    shown = at_terminal([*program, "search", "tea", "--user", "a"], {"NO_COLOR": no_color})
    assert "─" in shown
    assert "D1:3" in shown
    assert "[bold]tea[/bold]" in shown
    assert r"\x1b[31m" in shown
    assert "\x1b[31m" not in shown


def at_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command prints to a terminal of 100 columns."""
    import pty

    settings = {key: value for key, value in environment.items() if value}
    master, terminal = pty.openpty()
    running = subprocess.Popen(
        command,
        stdout=terminal,
        stderr=terminal,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **settings},
    )
    os.close(terminal)
    chunks = []
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(master)
    assert running.wait(60) == 0
    return b"".join(chunks).decode()


def test_the_program_is_installed_under_its_name() -> None:
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="agentmem")
    assert script.value == "agentmem.cli:main"
    assert Path(sys.executable).is_absolute()
