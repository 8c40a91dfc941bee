"""AgentMem beside other stores: the same texts, the same model, the same machine, one command.

``ci/compare`` makes the environment and runs this package (``python -m compare --help``).  Every
run of a contender is a process of its own (``worker``), contenders take turns (``rounds``), all
of them are timed by the same code (``measure``) and each counts what it has stored.
"""
