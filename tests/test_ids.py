"""Ids ascend, and no two are the same, whoever makes them."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from agentmem.ids import new_ids

_NOISE = (1 << 62) - 1


def test_ids_ascend_and_are_of_version_7() -> None:
    made = [*new_ids(3), *new_ids(2000), *new_ids(1)]
    assert made == sorted(set(made))
    assert {one[6] >> 4 for one in made} == {7}
    assert {one[8] >> 6 for one in made} == {0b10}


def test_the_random_bits_are_never_used_twice() -> None:
    made: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: made.extend(one for _ in range(300) for one in new_ids(3)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({_noise(one) for one in made}) == len(made) == 3600


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_makes_ids_of_its_own() -> None:
    new_ids(1)
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, b"".join(new_ids(8)))
        os._exit(0)
    os.waitpid(child, 0)
    found = os.read(ours, 128)
    os.close(ours)
    os.close(theirs)
    of_child = {_noise(found[i : i + 16]) for i in range(0, 128, 16)}
    assert len(of_child) == 8
    assert of_child.isdisjoint(_noise(one) for one in new_ids(8))


def _noise(one: bytes) -> int:
    return int.from_bytes(one, "big") & _NOISE
