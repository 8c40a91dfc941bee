"""What decides, beside segmentation and stemmer, which terms a text has.

``STOP_WORDS`` are the function words of the usual English list (articles, pronouns, auxiliaries,
prepositions, conjunctions, question words), and what word segmentation leaves of contractions
(``don't`` becomes ``don`` and ``t``), compared after folding.  Left out on purpose, because they
are also content: ``will`` and ``may`` (a name, a month), ``can``, ``won``, ``ain``.
"""

from __future__ import annotations

__all__ = ["RECIPE", "STOP_WORDS"]

#: Segmentation, folding, stop words, stemmer and hash, with a version: changes whenever the same
#: text could yield other terms.  Stores keep it in their meta.
RECIPE = "english-snowball-1"

_WORDS = """
a about above after again against all am an and any are as at
be because been before being below between both but by
cannot could did do does doing down during each few for from further
had has have having he her here hers herself him himself his how
i if in into is it its itself me more most my myself no nor not
of off on once only or other ought our ours ourselves out over own
same she should so some such
than that the their theirs them themselves then there these they this those through to too
under until up very was we were what when where which while who whom why with would
you your yours yourself yourselves
d ll m re s t ve
aren couldn didn doesn don hadn hasn haven isn mustn shouldn wasn weren wouldn
"""

STOP_WORDS = frozenset(_WORDS.split())
