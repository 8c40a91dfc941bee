"""Every kernel is tested on every instruction set that this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentmem import _native

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=_native.available_simd())
def simd(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the instruction set in use; tests that take this run once for each."""
    before = _native.simd_level()
    _native._select_simd(request.param)
    yield request.param
    _native._select_simd(before)
