"""Every error has an exit code of its kind."""

from __future__ import annotations

import pytest

from agentmem import errors
from agentmem.cli import exits
from agentmem.cli.formats import FormatError

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_code_of_an_error_is_that_of_its_kind(kind) -> None:
    code = exits.exit_code(kind("x"))
    if issubclass(kind, errors.StoreError | errors.ClosedError):
        assert code == exits.STORE
    elif issubclass(kind, errors.ModelError):
        assert code == exits.MODEL
    elif kind is errors.NotFoundError:
        assert code == exits.NOT_FOUND
    elif kind is errors.ConflictError:
        assert code == exits.CONFLICT
    else:
        assert code == exits.USAGE


def test_a_file_that_cannot_be_read_has_a_code_of_its_own() -> None:
    assert exits.exit_code(FormatError("x")) == exits.INPUT_FILE
