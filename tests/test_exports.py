"""``__all__`` tells the truth, and in order."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

import agentmem
from agentmem import errors


def modules() -> list[str]:
    found = pkgutil.walk_packages(agentmem.__path__, "agentmem.")
    return sorted(info.name for info in found if not info.name.endswith("__main__"))


def order(name: str) -> tuple[int, list[tuple[int, str]]]:
    """CONSTANTS, then Classes, then functions, each in natural order (as ruff sorts them)."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, [(int(n or 0), text) for n, text in re.findall(r"(\d*)(\D*)", name)]


def test_public_names_are_exactly_those_of_all() -> None:
    public = {name for name in dir(agentmem) if not name.startswith("_")}
    submodules = {info.name for info in pkgutil.iter_modules(agentmem.__path__)}
    assert public - submodules == {n for n in agentmem.__all__ if not n.startswith("_")}


def test_every_public_name_can_be_imported() -> None:
    for name in agentmem.__all__:
        assert getattr(agentmem, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = agentmem.no_such_name


def test_every_error_is_public() -> None:
    assert set(errors.__all__) <= set(agentmem.__all__)


def test_the_error_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    """Each drawn line is ``Name(builtins)`` under its parent, and none is missing."""
    drawn: dict[str, list[str]] = {}
    path: list[str] = []
    for depth, name, builtins in re.findall(
        r"^    ([│├└─ ]*)(\w+Error)(?:\((\w+)\))?", errors.__doc__ or "", flags=re.MULTILINE
    ):
        path[len(depth) // 4 :] = [name]
        drawn[name] = [*path[-2:-1], *([builtins] if builtins else [])]
    defined = {
        name: [base.__name__ for base in getattr(errors, name).__bases__] for name in errors.__all__
    }
    assert drawn == {**defined, "AgentMemError": ["Exception"]}


@pytest.mark.parametrize("name", modules())
def test_all_of_a_module_is_sorted_and_true(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        compiled = not (module.__file__ or "").endswith(".py")  # its stub says what it offers
        private = name.rpartition(".")[2].startswith("_")
        assert compiled or private or public_definitions(module) == [], f"{name} has no __all__"
        return
    assert list(exported) == sorted(set(exported), key=order)
    assert [n for n in exported if not hasattr(module, n)] == []


def public_definitions(module: object) -> list[str]:
    """Classes and functions that a module defines itself under a public name."""
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == getattr(module, "__name__", None)
    )
