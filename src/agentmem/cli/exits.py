"""Exit codes, and which error leads to which."""

from __future__ import annotations

import sys
from typing import IO, Any

import click

from agentmem.cli.formats.entry import FormatError
from agentmem.errors import (
    AgentMemError,
    ClosedError,
    ConflictError,
    ModelError,
    NotFoundError,
    StoreError,
)

__all__ = [
    "BROKEN_PIPE",
    "CONFLICT",
    "INPUT_FILE",
    "INTERRUPTED",
    "MODEL",
    "NOT_FOUND",
    "OK",
    "PROBLEMS",
    "STORE",
    "USAGE",
    "Failure",
    "exit_code",
]

OK = 0
PROBLEMS = 1  # check found problems; a question was answered with no
USAGE = 2  # an option or value that cannot be accepted
NOT_FOUND = 3  # no memory with this id
STORE = 4  # the folder on disk cannot serve the command
MODEL = 5  # an embedding model cannot be provided
INPUT_FILE = 6  # a file to import that cannot be read, or holds nothing
CONFLICT = 7  # an id is taken by another memory
INTERRUPTED = 130  # Ctrl-C
BROKEN_PIPE = 141  # the reader of our output went away

_CODES: tuple[tuple[type[AgentMemError], int], ...] = (
    (FormatError, INPUT_FILE),
    (NotFoundError, NOT_FOUND),
    (ConflictError, CONFLICT),
    (ModelError, MODEL),
    (StoreError, STORE),
    (ClosedError, STORE),
)


def exit_code(error: AgentMemError) -> int:
    """The code of an error; invalid input, and whatever has no code of its own, is usage."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), USAGE)


class Failure(click.ClickException):
    """Ends the command: a message on standard error and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # a class variable by its annotation only

    def show(self, file: IO[Any] | None = None) -> None:
        if self.message:
            click.echo(f"error: {self.message}", file=file or sys.stderr)
