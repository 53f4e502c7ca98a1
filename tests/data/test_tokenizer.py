"""Text to ids and back under tokenizers of two kinds."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from afina import base
from afina.data.render import Renderer

BASE = Renderer(base.path())
_TOKENIZER = Tokenizer.from_file(str(base.path() / "tokenizer.json"))
texts = st.lists(
    st.text(max_size=30) | st.sampled_from(["<|im_end|>", " a ", "\n\n", "ñ😀"]), max_size=4
).map("".join)


def test_pieces_get_no_space_of_their_own(tmp_path: Path):
    vocabulary: dict[str, int] = {
        token: i for i, token in enumerate(["<unk>", "</s>", "▁", "a", "b", "▁a", "▁b", "[", "]", "\n"])
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("▁", "a"), ("▁", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'user' %}[{{ m.content }}]{% else %}{{ m.content }}</s>"
        "{% endif %}{% endfor %}"
    )
    (row,) = Renderer(tmp_path).example(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b a"}]
    )
    tokens = [tokenizer.id_to_token(i) for i in row.ids]
    assert tokens == ["▁", "[", "a", "]", "b", "▁a", "</s>"]
    assert row.weights == [0, 0, 0, 0, 1, 1, 1]


@given(texts, st.lists(st.integers(0, 5)))
def test_streamed_text_is_the_decoded_text(text: str, sizes: list[int]):
    ids = _TOKENIZER.encode(text, add_special_tokens=False).ids
    decoder = BASE.stream_decoder()
    given_out, place = "", 0
    for size in (*sizes, *([1] * len(ids))):
        given_out += decoder.feed(*ids[place : place + size])
        assert BASE.decode(ids).startswith(given_out)
        place += size
    assert given_out + decoder.flush() == BASE.decode(ids)


@given(st.lists(st.integers(0, _TOKENIZER.get_vocab_size() - 1), max_size=40))
def test_any_ids_stream_without_losing_text(ids: list[int]):
    decoder = BASE.stream_decoder()
    streamed = [decoder.feed(token) for token in ids]
    assert "".join(streamed) + decoder.flush() == BASE.decode(ids)


def test_an_unfinished_character_waits_for_its_bytes(tiny: Renderer):
    ids = _TOKENIZER.encode("😀", add_special_tokens=False).ids
    assert len(ids) > 1
    decoder = tiny.stream_decoder()
    assert [decoder.feed(token) for token in ids] == [""] * (len(ids) - 1) + ["😀"]
    decoder = tiny.stream_decoder()
    decoder.feed(ids[0])
    assert decoder.flush() == "\ufffd"


@given(st.text(max_size=40))
def test_the_bytes_of_tokens_are_those_of_the_text(text: str):
    ids = _TOKENIZER.encode(text, add_special_tokens=False).ids
    assert b"".join(map(BASE.bytes_of, ids)) == text.encode()


def test_the_bytes_of_tokens_that_are_no_text():
    (end,) = BASE.stop_ids - {0} or {2}
    assert BASE.bytes_of(end) == BASE.bytes_of(10**6) == b""
    assert BASE.bytes_of(BASE.ids_by_bytes[b"<tool_call>"]) == b"<tool_call>"
    assert all(BASE.bytes_of(id) == said for said, id in BASE.ids_by_bytes.items())
    assert set(map(int.to_bytes, range(256))) <= BASE.ids_by_bytes.keys() and b"" not in BASE.ids_by_bytes


def test_the_bytes_of_sentencepiece_tokens(tmp_path: Path):
    vocabulary = {token: i for i, token in enumerate(["<unk>", "</s>", "<0xC3>", "<0xB1>", "▁a", "b"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    renderer = Renderer(tmp_path)
    assert [renderer.bytes_of(i) for i in range(1, 6)] == [b"", b"\xc3", b"\xb1", b" a", b"b"]
    assert renderer.vocab_size == 6


def test_a_document_begins_as_its_tokenizer_says(tmp_path: Path):
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "<unk>": 2}, unk_token="<unk>"))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert (Renderer(tmp_path).document("a"), Renderer(tmp_path).document("")) == ([1], [])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert (Renderer(tmp_path).document("a"), Renderer(tmp_path).document("")) == ([0, 1], [0])
