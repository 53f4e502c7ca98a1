"""Words, in languages with accents and without."""

import unicodedata

import pytest

from afina.evals.words import content_words, language, plain, words


def test_words_keep_their_accents():
    assert words("¿Qué es la diabetes? ¡Está así, a los 50 años!") == [
        "qué",
        "es",
        "la",
        "diabetes",
        "está",
        "así",
        "a",
        "los",
        "50",
        "años",
    ]


def test_composed_and_decomposed_letters_are_the_same_words():
    text = "Corazón, pingüino, niño"
    assert words(unicodedata.normalize("NFD", text)) == words(text) == ["corazón", "pingüino", "niño"]


def test_a_plain_word_has_no_accents_and_keeps_its_tilde():
    assert [plain(word) for word in ("corazón", "pingüino", "niño", "asthma")] == [
        "corazon",
        "pinguino",
        "niño",
        "asthma",
    ]


def test_content_words_say_what_a_text_is_about():
    assert content_words("What is asthma, and how can I treat it?") == {"asthma", "treat"}
    assert content_words("¿Qué es el asma y cómo se trata?") == {"asma", "trata"}
    assert content_words("Is it?") == frozenset()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What helps with a cough at night?", "en"),
        ("¿Qué ayuda con la tos por la noche?", "es"),
        ("Asthma", None),
        ("", None),
    ],
)
def test_a_text_tells_its_language_by_its_small_words(text: str, found: str | None):
    assert language(text) == found
