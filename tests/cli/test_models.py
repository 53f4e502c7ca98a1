import json


def test_the_list(afina):
    assert "afina-tiny" in afina("models", "list").out
    assert json.loads(afina("models", "list", "--json").out)["owned_by"] == "afina"


def test_delete_keeps_the_colons_of_a_name(afina):
    name = "ft:afina-tiny:personal:mine:abc"
    assert afina("models", "delete", name).out == f"deleted {name}\n"
