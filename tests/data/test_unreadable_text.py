"""Text that a tokenizer has no ids for is the sender's to mend, not an error of ours."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from afina.data.render import Renderer
from afina.data.tokenizer import encoded
from afina.errors import DataError

WORDS = {"known": 0, "</s>": 1, "\n": 2, "a": 3, "\na": 4}


@pytest.fixture
def narrow() -> Tokenizer:
    """It knows a few words, and has no token for others."""
    tokenizer = Tokenizer(models.WordLevel(vocab=WORDS, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    return tokenizer


@pytest.mark.parametrize("special", [True, False])
def test_an_unknown_word_is_a_data_error(narrow: Tokenizer, special: bool):
    assert encoded(narrow, "known", special=special) == [0]
    with pytest.raises(DataError, match="cannot read a part of the text") as found:
        encoded(narrow, "Ana", special=special)
    assert (found.value.status, found.value.code) == (400, "text_not_readable")
    assert "Ana" not in found.value.message


def test_so_it_is_in_a_conversation(narrow: Tokenizer, tmp_path: Path):
    narrow.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    renderer = Renderer(tmp_path)
    assert renderer.prompt([{"role": "user", "content": "known"}]) == [0]
    with pytest.raises(DataError):
        renderer.prompt([{"role": "user", "content": "Ana"}])
