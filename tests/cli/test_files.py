import json

import pytest

ROWS = b'{"messages": []}\n' * 3


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROWS)
    return path


def test_an_upload_prints_the_id_and_sends_every_byte(afina, played, rows):
    ran = afina("files", "upload", str(rows))
    assert (ran.code, ran.out) == (0, "file-1\n")
    assert played.contents["file-1"] == ROWS
    assert played.files["file-1"]["filename"] == "rows.jsonl"
    assert played.files["file-1"]["purpose"] == "fine-tune"


def test_without_a_screen_an_upload_draws_nothing(afina, rows):
    assert afina("files", "upload", str(rows)).err == ""


def test_json_is_the_object_alone(afina, rows):
    ran = afina("files", "upload", str(rows), "--purpose", "batch", "--json")
    assert json.loads(ran.out)["purpose"] == "batch"


def test_a_file_that_is_not_there_is_wrong_usage(afina):
    assert afina("files", "upload", "nothere.jsonl").code == 2


def test_the_list_shows_newest_first_and_json_gives_a_line_each(afina, rows):
    afina("files", "upload", str(rows))
    afina("files", "upload", str(rows))
    shown = afina("files", "list").out
    assert shown.index("file-2") < shown.index("file-1")
    assert "51 B" in shown
    lines = afina("files", "list", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["file-2", "file-1"]
    assert len(afina("files", "list", "--limit", "1", "--json").out.splitlines()) == 1


def test_content_comes_back_byte_for_byte(afina, rows, tmp_path):
    afina("files", "upload", str(rows))
    assert afina("files", "content", "file-1").out.encode() == ROWS
    afina("files", "content", "file-1", "-o", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == ROWS


def test_csv_is_asked_for_by_its_type(afina, played, rows):
    afina("files", "upload", str(rows))
    afina("files", "content", "file-1", "--csv")
    assert played.headers[-1]["accept"] == "text/csv"


def test_get_and_delete(afina, played, rows):
    afina("files", "upload", str(rows))
    assert "rows.jsonl" in afina("files", "get", "file-1").out
    assert afina("files", "delete", "file-1").out == "deleted file-1\n"
    assert played.files == {}


def test_a_missing_file_is_one_red_line_and_exit_1(afina):
    ran = afina("files", "get", "file-nothere")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: No such File object: file-nothere (param: id)\n"
