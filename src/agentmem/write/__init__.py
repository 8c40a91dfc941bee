"""The write path: check, embed, commit.

``drafts`` and ``changes`` check what callers hand in, ``settle`` finds what is already there,
``writer`` computes vectors and terms outside the lock and commits everything in one
transaction.
"""
