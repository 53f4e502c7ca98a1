import json

from afina.blobs import Blobs
from afina.cli.serve import open_rows
from afina.settings import Settings
from afina.store.database import Database


def test_a_directory_that_is_not_there(command, tmp_path):
    ran = command("fsck", "--data", str(tmp_path / "nothere"))
    assert ran.code == 1
    assert "name the data directory with --data" in ran.err
    assert not (tmp_path / "nothere").exists()


def test_a_directory_that_is_not_ours_stays_as_it_is(command, tmp_path):
    ran = command("fsck", "--data", str(tmp_path))
    assert ran.code == 1
    assert "afina.db is not there" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_new_directory_is_whole_and_a_lost_blob_is_found(command, tmp_path):
    settings = Settings(data=tmp_path)
    open_rows(Database(settings.database), settings)
    assert command("fsck", "--data", str(tmp_path)).out == "every invariant holds\n"
    assert command("fsck", "--data", str(tmp_path), "--json").out == ""
    lose_a_blob(settings)
    ran = command("fsck", "--data", str(tmp_path), "--json")
    assert ran.code == 1
    assert [json.loads(line)["subject"] for line in ran.out.splitlines()] == ["file-1"]


def lose_a_blob(settings: Settings) -> None:
    from afina.schemas.files import FileObject
    from afina.store import files, projects

    database, blobs = Database(settings.database), Blobs(settings.data / "blobs")
    written = blobs.write("files/file-1", [b"{}\n"])
    with database.system() as system:
        project = projects.every(system)[0]
    with database.scope(project.id) as scope:
        file = FileObject(
            id="file-1",
            bytes=written.bytes,
            created_at=1,
            filename="rows.jsonl",
            purpose="fine-tune",
            project_id=project.id,
            sha256=written.sha256,
        )
        files.insert(scope, file)
    blobs.delete("files/file-1")
