"""Real models, loaded once for all tests of this folder."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from agentmem import embed, models
from agentmem.config import EmbeddingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentmem.embed.local import LocalEmbedder
    from agentmem.types import ModelFiles


#: What people and programs really send, besides sentences.
_STRANGE = [
    "",
    " ",
    "\n\t \r\n",
    "\0",
    "before\0after",
    "🙂",
    "👩‍👩‍👧‍👦 went to the 🏖️ with 🐶🐶🐶",
    "שלום עולם, מה שלומך היום?",
    "مرحبا بالعالم\u200f (hello) \u202eabc",
    "東京で寿司を食べました。",
    "naïve café — “quoted” … e\u0301",
    "a" * 5000,
    "?!?! ... ---",
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "http://example.com/a/b?c=d&e=f#g " * 40,
    "\u200b\u200c\u200d\ufeff",
    "word " * 10_000,
    " " * 10_000 + "end",
    "x\u2028y\u2029z",
    "0x7fffffff 1e-300 NaN inf -0.0",
]

_WORDS = [
    *("river", "mountain", "coffee", "train", "yesterday", "remember", "Lisbon", "surfing"),
    *("sister", "birthday", "painting", "quick", "meeting", "budget", "invoice", "kernel"),
    *("vector", "latency", "the", "a", "of", "and", "to", "in", "she", "he", "they", "moved"),
    *("bought", "likes", "hates", "visited", "promised", "forgot", "tomorrow", "museum"),
    *("violin", "garden", "recipe", "antidisestablishment"),
]


def _sentences(n: int, seed: int = 0, longest: int = 60) -> list[str]:
    """n distinct texts of 1 to ``longest`` words; short ones are the more frequent."""
    rng = random.Random(seed)
    made = [
        " ".join(rng.choices(_WORDS, k=1 + int(rng.random() ** 3 * longest))) + f" {i}"
        for i in range(n)
    ]
    rng.shuffle(made)
    return made


@pytest.fixture(scope="session")
def strange() -> list[str]:
    """Texts that are no sentences."""
    return list(_STRANGE)


@pytest.fixture(scope="session")
def sentences() -> Callable[..., list[str]]:
    """``sentences(n, seed=0, longest=60)``."""
    return _sentences


@pytest.fixture(scope="session")
def minilm_files() -> ModelFiles:
    return models.provision("minilm")


@pytest.fixture(scope="session", params=["minilm", "minilm-fp32", "static"])
def local(request: pytest.FixtureRequest) -> Iterator[LocalEmbedder]:
    """Each builtin model, as the engine makes it."""
    name = request.param
    spec = models.resolve(name)
    made = embed.create(spec, lambda: models.provision(name), EmbeddingConfig())
    yield made
    made.close()


@pytest.fixture(scope="session")
def minilm() -> Iterator[LocalEmbedder]:
    spec = models.resolve("minilm")
    made = embed.create(spec, lambda: models.provision("minilm"), EmbeddingConfig())
    yield made
    made.close()


@pytest.fixture
def opened() -> Iterator[Callable[..., LocalEmbedder]]:
    """Embedders of given files and settings, closed afterwards."""
    made: list[LocalEmbedder] = []

    def make(files: ModelFiles, **settings: int) -> LocalEmbedder:
        # ModelFiles has all that must be known beforehand, so it describes itself.
        made.append(embed.create(files, lambda: files, EmbeddingConfig(**settings)))
        return made[-1]

    yield make
    for embedder in made:
        embedder.close()
