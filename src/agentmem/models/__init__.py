"""Getting an embedding model onto this machine.

The door: ``resolve`` says what a model is without touching its files, ``provision`` makes
its files ready.  Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from agentmem.models.provision import provision
from agentmem.models.registry import Spec, names, resolve

__all__ = ["Spec", "names", "provision", "resolve"]
