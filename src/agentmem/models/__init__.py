"""Getting an embedding model onto this machine.

The door: ``resolve`` says what a model is without touching its files, ``provision`` makes
its files ready, ``verify`` checks them, ``catalogue`` lists.  Nothing heavy is imported
before a model has to be made.
"""

from __future__ import annotations

from agentmem.models.catalogue import Entry, catalogue, entry, locate
from agentmem.models.progress import bars
from agentmem.models.provision import provision, verify
from agentmem.models.registry import Source, Spec, names, resolve

__all__ = [
    "Entry",
    "Source",
    "Spec",
    "bars",
    "catalogue",
    "entry",
    "locate",
    "names",
    "provision",
    "resolve",
    "verify",
]
