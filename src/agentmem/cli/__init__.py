"""The command line.

``app`` is the group of commands and turns errors into messages and exit codes, ``commands`` has
one module per family of commands, ``formats`` reads the files of others, ``exporters`` writes ours,
and ``render`` and ``progress`` are all there is of looks.  Only click is imported before a command
runs.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from agentmem.cli.app import run

        run()
    except KeyboardInterrupt:  # while modules were loading, or after the command
        import sys

        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
