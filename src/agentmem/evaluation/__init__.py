"""How well a store finds what it should, measured.

The door::

    from agentmem.evaluation import Collection, Labelled, Question, evaluate

    talk = Collection(
        name="alice",
        memories=[Labelled("m1", {"content": "I moved to Lisbon", "user_id": "alice"})],
        questions=[Question("where does she live?", frozenset({"m1"}), {"user_id": "alice"})],
    )
    with Memory(":memory:") as memory:
        print(evaluate(memory, [talk]).summary(ks=(1, 5)))

``cases`` says what is asked, ``runner`` asks it, ``metrics`` are pure functions over ranks,
``report`` puts them together, ``trials`` compares, ``chart`` draws them.
"""

from __future__ import annotations

from agentmem.evaluation.cases import Collection, Labelled, Question
from agentmem.evaluation.report import Evaluation
from agentmem.evaluation.runner import evaluate
from agentmem.evaluation.trials import HeldOut, held_out

__all__ = ["Collection", "Evaluation", "HeldOut", "Labelled", "Question", "evaluate", "held_out"]
