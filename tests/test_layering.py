"""Imports go down only.

The floors are those of docs/architecture.md.  Every import statement counts, wherever it
stands: at the top, inside a function, under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "src" / "agentmem"

#: From the bottom up.  Modules of one floor never import one another, except on floor 0 and
#: where ``ALLOWED`` says so.
FLOORS = (
    {"config", "disk", "errors", "ids", "inputs", "ports", "times", "tokenizer", "types"},
    {"_native"},
    {"embed", "index", "models", "store", "telemetry", "vector"},
    {"search", "write"},
    {"engine"},
    {"aio", "memory"},
    {"evaluation", "otel", "stress"},
    {"cli"},
    {"__main__"},
)

#: AsyncMemory is the same object seen from asyncio.
ALLOWED = {("aio", "memory")}

#: ``write`` and ``search`` know these only by the protocols of ``ports``.
BEHIND_PORTS = {"embed", "index", "models", "store", "vector"}

FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

#: ``from agentmem import Memory``: the public names are those of the highest library floor.
PUBLIC = "memory"


def top_level(path: Path) -> str:
    """The module or package right under agentmem that ``path`` belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """``(line, top-level name)`` of every import from agentmem; ``package`` holds the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package[: len(package) - node.level + 1]
                base = ".".join((*parents, base)) if base else ".".join(parents)
            # From the root package, each name may be a module of its own.
            targets = [f"{base}.{a.name}" for a in node.names] if base == "agentmem" else [base]
        else:
            continue
        for target in targets:
            head, _, rest = target.partition(".")
            if head == "agentmem":
                name = rest.partition(".")[0]
                yield node.lineno, name if name in FLOOR_OF else PUBLIC


def violations(source: str, module: tuple[str, ...], *, is_package: bool) -> list[str]:
    """What is wrong with the imports of one module, as ``line: reason``."""
    here = module[1]
    found = []
    for line, there in imported(ast.parse(source), module if is_package else module[:-1]):
        if there == here or (here, there) in ALLOWED:
            continue
        if FLOOR_OF[there] > FLOOR_OF[here]:
            found.append(f"{line}: {here} (below) imports {there} (above)")
        elif FLOOR_OF[there] == FLOOR_OF[here] and FLOOR_OF[here] > 0:
            found.append(f"{line}: {here} imports its neighbour {there}")
        elif here in {"search", "write"} and there in BEHIND_PORTS:
            found.append(f"{line}: {here} imports {there} instead of meeting it through ports")
    return found


def sources() -> list[Path]:
    paths = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]
    return sorted(path for path in paths if path != PACKAGE / "__init__.py")


def test_every_module_has_a_floor() -> None:
    homeless = {top_level(path) for path in sources()} - set(FLOOR_OF)
    assert not homeless, f"put {sorted(homeless)} on a floor, here and in docs/architecture.md"


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_down_only(path: Path) -> None:
    is_package = path.stem == "__init__"
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = parts[:-1] if is_package else parts
    assert violations(path.read_text("utf-8"), module, is_package=is_package) == []


@pytest.mark.parametrize(
    "source",
    [
        "import agentmem.engine",
        "from agentmem.memory import Memory",
        "from agentmem import Memory",
        "from agentmem import engine",
        "from .. import engine",
        "from ..engine import Engine",
        "def later():\n    from agentmem.vector import table",
        "if TYPE_CHECKING:\n    from agentmem.store.rows import Row",
        "from agentmem.search import rank",
    ],
)
def test_an_import_upward_or_sideways_is_seen(source: str) -> None:
    assert violations(source, ("agentmem", "write", "group"), is_package=False) != []


def test_imports_downward_are_allowed() -> None:
    source = "from agentmem.errors import ScopeError\nfrom agentmem import _native\nimport json\n"
    source += "from .drafts import Draft\nfrom agentmem.write import drafts\n"
    assert violations(source, ("agentmem", "write", "group"), is_package=False) == []
