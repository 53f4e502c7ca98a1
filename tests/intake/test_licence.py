import pytest

from afina.intake import licence


def card(folder, text):
    (folder / "README.md").write_text(text)


@pytest.mark.parametrize("name", ["apache-2.0", "mit", "Apache-2.0"])
def test_a_plain_permissive_one(tmp_path, name):
    card(tmp_path, f"---\nlanguage:\n- en\nlicense: {name}\n---\n# A model\n")
    assert licence.read(tmp_path) == licence.Licence(name.lower())


@pytest.mark.parametrize(
    ("fields", "name", "remark"),
    [
        ("license: llama3.1", "llama3.1", "community licence"),
        ("license: other\nlicense_name: mrl", "mrl", "not for commercial use"),
        ("license: cc-by-nc-4.0", "cc-by-nc-4.0", "Not for commercial use"),
        ('license: "gemma"', "gemma", "prohibited uses"),
        ("license: other", "other", "does not know what it permits"),
    ],
)
def test_others_get_a_sentence(tmp_path, fields, name, remark):
    card(tmp_path, f"---\n{fields}\n---\n")
    found = licence.read(tmp_path)
    assert found.name == name
    assert remark in found.remark


def test_the_licence_file_speaks_where_the_card_does_not(tmp_path):
    card(tmp_path, "license: mit\n")  # not in the front matter
    (tmp_path / "LICENSE").write_text("\n   Apache License\n   Version 2.0, January 2004\n")
    assert licence.read(tmp_path).name == "apache-2.0"
    (tmp_path / "LICENSE").write_text("Our own terms\n")
    assert licence.read(tmp_path).name == "other"


def test_none_at_all(tmp_path):
    assert licence.read(tmp_path).name == "unknown"
    assert "names no licence" in licence.read(tmp_path).remark
