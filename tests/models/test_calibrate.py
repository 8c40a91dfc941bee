"""The shipped constants are what the calibrator in this package finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agentmem.models.architecture import load_weights, read_architecture
from agentmem.models.calibrate import calibrate, texts
from agentmem.models.quantize import parse
from agentmem.models.registry import MINILM, WEIGHTS, data_bytes


@pytest.mark.slow
def test_constants_of_minilm_are_found_again(published: Path) -> None:
    weights = load_weights(published / WEIGHTS, MINILM.architecture)
    stages: list[tuple[int, int]] = []
    found = calibrate(
        MINILM.architecture,
        weights,
        published / "tokenizer.json",
        256,
        lambda _stage, done, total: stages.append((done, total)),
    )
    shipped = parse(data_bytes("minilm-ranges.json"))
    assert found.keys() == shipped.keys()
    for name, site in found.items():
        expected = shipped[name]
        np.testing.assert_allclose(
            [site.low, site.high], [expected.low, expected.high], rtol=2e-3, err_msg=name
        )
        # a channel at the threshold may fall on either side of it on another machine
        for k in site.channels.keys() ^ expected.channels.keys():
            scale, _ = {**site.channels, **expected.channels}[k]
            assert scale < 1.01, (name, k)
        for k in site.channels.keys() & expected.channels.keys():
            np.testing.assert_allclose(site.channels[k], expected.channels[k], rtol=0.01, atol=0.01)
    assert stages[-1] == (len(texts()), len(texts()))


def test_the_text_is_varied() -> None:
    lines = texts()
    assert len(lines) == len(set(lines)) > 300
    lengths = sorted(len(line.split()) for line in lines)
    assert lengths[0] == 1
    assert lengths[-1] > 300
    assert any(not line.isascii() for line in lines)


def test_a_little_bert_calibrates(make_bert: Callable[..., Path]) -> None:
    folder = make_bert()
    arch = read_architecture(folder)
    weights = load_weights(folder / WEIGHTS, arch)
    sites = calibrate(arch, weights, folder / "tokenizer.json", 32, lambda *_: None)
    assert len(sites) == 1 + 2 * 4 - 1  # the last output enters no product
    for name, site in sites.items():
        assert site.low <= 0 <= site.high, name
        assert site.high > site.low, name
    json.dumps({n: [s.low, s.high] for n, s in sites.items()}, allow_nan=False)
