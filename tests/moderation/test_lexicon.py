"""The phrases: each category in both languages, what they must leave alone, and how they are written."""

import re

import pytest

from afina.moderation import lexicon
from afina.schemas.moderations import CATEGORIES

FOUND = {
    "harassment": ("You're a complete idiot.", "Eres una completa basura."),
    "harassment/threatening": ("I WILL kill you!", "¡Te voy a  MATAR!"),
    "hate": ("Immigrants are nothing but vermin", "Los inmigrantes son todos unas ratas"),
    "hate/threatening": ("Kill all the immigrants", "Hay que exterminar a los gitanos"),
    "illicit": ("How do I synthesize some meth?", "¿Cómo puedo fabricar metanfetamina?"),
    "illicit/violent": ("how to make a pipe bomb", "¿cómo hacer una bomba casera?"),
    "self-harm": ("thoughts of suicide", "ideas de suicidio"),
    "self-harm/intent": ("I want to kill myself", "Quiero suicidarme"),
    "self-harm/instructions": ("How many of these pills to die?", "¿Cuántas pastillas para morir?"),
    "sexual": ("free porn", "sexo explícito"),
    "sexual/minors": ("child porn", "pornografía infantil"),
    "violence": ("They wanted to murder him.", "Querían decapitarlo."),
    "violence/graphic": ("The entrails hung out.", "Las vísceras colgaban."),
}
LEFT_ALONE = (
    "How do I kill a Python process?",
    "The antibiotic kills the bacteria.",
    "El paciente refiere dolor abdominal; se cortó el pan con un cuchillo.",
    "She died of cancer last year. Murió de cáncer.",
    "Can you make a chocolate bomb cake with her?",
    "I am dying to see you",
    "",
    "...",
)


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_in_both_languages(category: str):
    for text in FOUND[category]:
        assert lexicon.scores(text)[category] >= 0.5, text


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_is_left_alone(text: str):
    assert not any(lexicon.scores(text).values())


def test_more_phrases_make_surer():
    one, two = (lexicon.scores(text)["violence"] for text in ("a massacre", "a massacre; I will kill you"))
    assert 0.5 <= one < two < 1


def test_phrases_can_be_found_by_how_they_begin():
    text = lexicon.PHRASES.read_text("utf-8")
    for key, entries in lexicon.phrases().items():
        assert 0 < len(key) <= lexicon.KEY and re.fullmatch(r"\w+", key)
        for rule, _ in entries:
            assert 0 < rule.score < 1 and set(rule.categories) <= set(CATEGORIES)
    for word in re.findall(r"(\w+)\*", text):
        assert len(word) >= lexicon.KEY
