"""The documentation is true: every code block in README.md and docs/ runs.

Blocks of one file run in order in one folder, with ``AGENTMEM_STORE`` set to a store of its own:
``python`` blocks in one namespace, the lines after ``$`` of ``console`` blocks in a shell.  What a
console block prints need not be repeated word for word, but each ``$`` line must succeed.
A block that cannot run here says why in a comment right above its fence::

    <!-- not run: needs a fresh clone; ci/demo does it -->
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentmem import Memory, errors
from agentmem.config import Config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = {"console", "python"}
#: Shown, not run.
DATA = {"json", "jsonl", "sql", "text", "toml"}
SKIP = re.compile(r"<!-- not run: (.+) -->")
FENCE = re.compile(r"^( *)```(.*)$")


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int  # of the opening fence
    skipped: str | None  # the reason given


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order; an unclosed fence is an error."""
    found, above = [], ""
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), start=1))
    for number, line in lines:
        fence = FENCE.match(line)
        if fence is None:
            above = line.strip() or above
            continue
        indent, language = fence.groups()
        body: list[str] = []
        for _, inner in lines:
            if inner.strip() == "```":
                break
            body.append(inner.removeprefix(indent))
        else:
            raise ValueError(f"{page.name}:{number}: the fence is never closed")
        reason = SKIP.fullmatch(above)
        found.append(
            Block(language.strip(), "\n".join(body) + "\n", number, reason[1] if reason else None)
        )
        above = ""
    return found


def run_python(block: Block, page: Path, namespace: dict[str, object]) -> None:
    """Execute with the page's own line numbers, so that a traceback points into the page."""
    code = compile("\n" * block.line + block.code, str(page), "exec")
    exec(code, namespace)


def run_console(block: Block, page: Path) -> None:
    """Run each ``$`` line (with its ``\\`` continuations); the rest is what it prints."""
    lines = iter(block.code.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue
        command = line[2:]
        while command.endswith("\\"):
            command = command[:-1] + next(lines)
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120
        )
        output = f"{done.stdout}{done.stderr}"
        assert done.returncode == 0, f"{page.name}:{block.line}: {command}\n{output}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, with this environment's ``agentmem`` first on the path."""
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AGENTMEM_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    assert shutil.which("agentmem"), "the agentmem program is not installed beside Python"
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_block_of_the_page_runs(page: Path, place: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(page):
            if block.skipped is not None or block.language in DATA:
                continue
            if block.language == "python":
                run_python(block, page, namespace)
            else:
                run_console(block, page)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_block_names_a_known_language(page: Path) -> None:
    unknown = {b.line: b.language for b in blocks(page) if b.language not in RUN | DATA}
    assert not unknown, "write python, console, or one of " + ", ".join(sorted(DATA))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [t for t in targets if not re.match(r"[a-z]+:", t)]
    assert [t for t in local if not (page.parent / t).exists()] == []


def test_every_public_call_and_argument_is_documented() -> None:
    """docs/api.md has a heading for each call of Memory and names each of its arguments."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    sections = dict(re.findall(r"^### `(\w+)[^\n]*\n(.*?)(?=^##|\Z)", text, flags=re.M | re.S))
    shared = text.partition("\n### ")[0]
    missing = []
    for name, call in inspect.getmembers(Memory, callable):
        if name.startswith("_"):
            continue
        if name not in sections:
            missing.append(name)
            continue
        known = set(re.findall(r"`(\w+)", sections[name] + shared))
        arguments = set(inspect.signature(call).parameters) - {"self"}
        missing += [f"{name}({argument}=)" for argument in sorted(arguments - known)]
    assert missing == []


def test_every_error_is_documented() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    assert [name for name in errors.__all__ if f"`{name}`" not in text] == []


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \|", text, flags=re.MULTILINE))
    words = {"empty": "", "true": True, "false": False}
    config = Config()
    for section in Config.__dataclass_fields__:
        settings = getattr(config, section)
        for name in settings.__dataclass_fields__:
            told = rows.pop(f"{section}.{name}", "not at all").replace(",", "").strip("`")
            number, _, unit = told.partition(" ")
            value = words.get(told, told)
            if number.replace(".", "").isdigit():
                value = float(number) * {"": 1, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
            assert value == getattr(settings, name), f"{section}.{name} is documented as {told}"
    assert rows == {}, "settings that do not exist"
