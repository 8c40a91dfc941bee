"""Languages other than English are found by their words."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem import Memory

#: A memory, and a question that shares a word with it: in other letters or accents at times.
SAID = {
    "German": ("Meine Schwester wohnt seit März in der Königstraße", "Wer wohnt KÖNIGSTRASSE?"),
    "French": ("L'été dernier nous avons loué une péniche à Lyon", "la péniche de cet ete"),
    "Spanish": ("El médico me prohibió comer cacahuetes", "¿puedo comer CACAHUETES?"),
    "Portuguese": ("Comprámos um veleiro velho em Setúbal", "veleiro em setubal"),
    "Polish": ("Źrebię urodziło się w stajni pod Łodzią", "gdzie jest ŹREBIĘ?"),
    "Turkish": ("Kardeşim İzmir'de bağlama çalıyor", "bağlama çalan kim?"),
    "Russian": ("Бабушка печёт пироги с капустой", "ПИРОГИ с чем?"),
    "Greek": ("Ο γάτος κοιμάται πάνω στο πληκτρολόγιο", "πληκτρολογιο"),
    "Arabic": ("أختي تعزف على العود كل مساء", "من يعزف على العود؟"),
    "Hebrew": ("הכלב שלי מפחד מרעמים", "ממה מפחד הכלב"),
    "Hindi": ("मेरी बहन जयपुर में रहती है", "जयपुर में कौन रहता है"),
    "Chinese": ("我妹妹去年搬到了杭州", "谁住在杭州？"),
    "Japanese": ("祖母から梅干しの作り方を習った", "梅干しは誰に習った？"),
    "Korean": ("동생은 부산에서 도자기를 굽는다", "도자기를 굽는 사람"),
    "Thai": ("น้องสาวของฉันเลี้ยงแมวสามตัว", "ใครเลี้ยงแมว"),
    "Vietnamese": ("Chị tôi bán phở ở Đà Nẵng", "ai bán PHỞ"),
}  # fmt: skip


@pytest.fixture
def speakers(memory: Memory) -> Memory:
    memory.add_batch(
        [{"content": text, "metadata": {"in": name}} for name, (text, _) in SAID.items()],
        user_id="u",
    )
    return memory


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_each_is_found_among_all_others(speakers: Memory, mode: Any) -> None:
    answers = speakers.search_batch([q for _, q in SAID.values()], user_id="u", mode=mode, top_k=1)
    found = [answer["results"][0]["metadata"]["in"] for answer in answers if answer["results"]]
    assert found == list(SAID)


def test_accents_and_letters_of_a_kind_do_not_matter(memory: Memory) -> None:
    memory.add("Crème brûlée in the Café Müller", user_id="u")
    for query in ("creme brulee", "CAFE", "muller", "Mu\u0308ller", "ｃａｆé"):
        assert memory.search(query, user_id="u", mode="keyword")["results"], query
