"""Files, jobs, models, keys and hosts: what goes in comes out, and pages are honest."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from afina.errors import InvalidRequest, NotFound, PermissionDenied
from afina.schemas.adapters import LowRank
from afina.schemas.fine_tuning import JobDetails, JobError, SupervisedHyperparameters
from afina.schemas.models import Model
from afina.store import audit, files, hosts, jobs, keys, models, moves, projects, work
from afina.store.database import Database
from afina.store.jobs import JobChanges
from afina.store.scope import Scope

HOSTILE = ["", "x" * 300, "a\0b", "\ud800", "'; DROP TABLE files; --", "%", "fichero-ñ"]


def test_a_file_is_stored_as_it_is(database: Database, project: str, new_file):
    with database.scope(project) as scope:
        file = new_file(scope, sha256="0" * 64, filename="año 'x'; --.jsonl", bytes=2**40, expires_at=7)
    with database.read(project) as scope:
        assert files.get(scope, file.id) == file
        assert (file.project_id, file.sha256) == (project, "0" * 64)
        assert {"project_id", "sha256"}.isdisjoint(file.wire())


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_there_is_not_found_and_named_in_plain_letters(
    database: Database, project: str, name: str
):
    with database.scope(project) as scope:
        for get in (files.get, jobs.get, models.get, models.resolve, keys.get, files.delete, models.delete):
            with pytest.raises(NotFound) as missing:
                get(scope, name)
            assert missing.value.message.isascii() and missing.value.message.isprintable()
            assert len(missing.value.message) < 150
        assert files.page(scope, after=name).data == []
        assert jobs.page(scope, metadata={name: name}).data == []


def test_the_words_of_what_is_missing(database: Database, project: str):
    with database.read(project) as scope:
        with pytest.raises(NotFound, match=r"^No such File object: file-x$") as missing:
            files.get(scope, "file-x")
        assert missing.value.param == "id"
        with pytest.raises(NotFound, match=r"^Could not find fine tune: ftjob-x$"):
            jobs.get(scope, "ftjob-x")
        with pytest.raises(
            NotFound, match=r"^The model `x` does not exist or you do not have access to it.$"
        ) as missing:
            models.resolve(scope, "x")
        assert (missing.value.param, missing.value.code) == ("model", "model_not_found")


def test_pages_walk_everything_once_in_both_directions(database: Database, project: str, new_file):
    with database.scope(project) as scope:
        ids = [new_file(scope, id=f"file-{number}").id for number in range(7)]
    for ascending, expected in ((True, ids), (False, ids[::-1])):
        walked: list[str] = []
        after: str | None = None
        with database.read(project) as scope:
            for _ in range(3):
                page = files.page(scope, after=after, limit=3, ascending=ascending)
                walked += [file.id for file in page.data]
                assert (page.first_id, page.last_id) == (page.data[0].id, page.data[-1].id)
                assert page.has_more == (len(walked) < 7)
                after = page.last_id
        assert walked == expected


def test_a_page_that_ends_exactly_has_no_more(database: Database, project: str, new_file):
    with database.scope(project) as scope:
        new_file(scope), new_file(scope)
        assert not files.page(scope, limit=2).has_more
        assert files.page(scope, limit=1).has_more


@pytest.mark.parametrize(("limit", "expected"), [(0, 1), (-5, 1), (2, 2), (10**30, 3)])
def test_limits_are_clamped(database: Database, project: str, new_file, limit: int, expected: int):
    with database.scope(project) as scope:
        for _ in range(3):
            new_file(scope)
        assert len(files.page(scope, limit=limit).data) == expected


def test_an_unknown_cursor_gives_an_empty_page(database: Database, project: str, other: str, new_file):
    with database.scope(other) as scope:
        foreign = new_file(scope)
    with database.scope(project) as scope:
        new_file(scope)
        for after in ("file-x", "", foreign.id):
            page = files.page(scope, after=after)
            assert (page.data, page.has_more, page.first_id, page.last_id) == ([], False, None, None)


def test_a_deleted_number_is_not_given_again(database: Database, project: str, new_file):
    with database.scope(project) as scope:
        new_file(scope, id="file-a")
        last = new_file(scope, id="file-b")
        files.delete(scope, last.id)
        new_file(scope, id="file-c")
        seqs = scope.connection.execute(text("SELECT seq FROM files ORDER BY seq")).scalars().all()
    assert seqs == [1, 3]


def test_files_are_filtered_by_purpose(database: Database, project: str, new_file):
    with database.scope(project) as scope:
        new_file(scope, id="file-a", purpose="evals")
        new_file(scope, id="file-b")
        new_file(scope, id="file-c", purpose="evals")
        page = files.page(scope, purpose="evals", limit=1)
        assert ([file.id for file in page.data], page.has_more) == (["file-c"], True)
        page = files.page(scope, purpose="evals", after="file-b")
        assert ([file.id for file in page.data], page.has_more) == (["file-a"], False)


def test_a_file_in_use_stays_until_its_jobs_have_ended(database: Database, project: str, new_file, new_job):
    with database.scope(project) as scope:
        file = new_file(scope)
        trained = new_job(scope, training_file=file.id)
        validated = new_job(scope, validation_file=file.id)
        assert jobs.using_file(scope, file.id) == [trained.id, validated.id]
    for job in (trained, validated):
        with pytest.raises(InvalidRequest, match=job.id) as refused, database.scope(project) as scope:
            files.delete(scope, file.id)
        assert refused.value.code == "file_in_use"
        with database.scope(project) as scope:
            moves.move(scope, job.id, "cancelled", fence=None, event="cancelled")
    with database.scope(project) as scope:
        assert files.delete(scope, file.id, actor="key_x") == file
        with pytest.raises(NotFound):
            files.delete(scope, file.id)
        entries = audit.page(scope, subject=file.id, ascending=True).data
        assert [(entry.action, entry.actor) for entry in entries] == [
            ("file.created", "api"),
            ("file.deleted", "key_x"),
        ]


def test_a_job_needs_files_that_are_there(database: Database, project: str, other: str, new_file, new_job):
    with database.scope(other) as scope:
        foreign = new_file(scope)
    for fields in ({"training_file": "file-x"}, {"validation_file": foreign.id}):
        with (
            pytest.raises(InvalidRequest, match="No such File object") as refused,
            database.scope(project) as scope,
        ):
            new_job(scope, **fields)
        assert refused.value.param in fields


def test_deleting_a_file_and_creating_a_job_with_it_have_one_winner(
    database: Database, project: str, new_file, new_job
):
    def delete(scope: Scope, file_id: str) -> None:
        files.delete(scope, file_id)

    def create(scope: Scope, file_id: str) -> None:
        new_job(scope, training_file=file_id)

    for _ in range(4):
        with database.scope(project) as scope:
            file = new_file(scope)
        assert refusals(database, project, file.id, delete, create) == 1


def refusals(database: Database, project: str, file_id: str, *acts: Callable[[Scope, str], None]) -> int:
    """How many of several acts on one file are refused when all are tried at once."""
    start = threading.Barrier(len(acts))
    refused: list[InvalidRequest] = []

    def attempt(act: Callable[[Scope, str], None]) -> None:
        start.wait()
        try:
            with database.scope(project) as scope:
                act(scope, file_id)
        except InvalidRequest as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(refused)


def test_a_job_is_stored_as_it_is(database: Database, project: str, new_job):
    with database.scope(project) as scope:
        job = new_job(
            scope,
            metadata={"team": "clínica"},
            integrations=[{"type": "wandb", "wandb": {"project": "p"}}],
            afina=JobDetails(adapter=LowRank(rank=8)),
            hyperparameters=SupervisedHyperparameters(n_epochs=3, learning_rate_multiplier=2.0),
            user_provided_suffix="s",
        )
        assert jobs.get(scope, job.id) == job


def test_the_holder_writes_what_it_found_out(database: Database, project: str, new_job):
    with database.scope(project) as scope:
        job = new_job(scope)
    with database.system() as system:
        claim = work.claim(system, "w", ["validate"], lease_seconds=60.0)
    assert claim
    resolved = SupervisedHyperparameters(n_epochs=3, batch_size=4, learning_rate_multiplier=1.0)
    with database.scope(project) as scope:
        error = JobError(code="c", message="m")
        details = job.afina.model_copy(update={"total_steps": 7})
        changes: JobChanges = {"hyperparameters": resolved, "error": error, "afina": details}
        changed = jobs.change(scope, job.id, changes, fence=claim.fence)
        assert jobs.get(scope, job.id) == changed
        assert (changed.hyperparameters, changed.error, changed.afina) == (resolved, error, details)


def test_jobs_are_filtered_by_metadata(database: Database, project: str, new_job):
    odd = "a\"b'].$[0]{}%_\\"
    with database.scope(project) as scope:
        plain = new_job(scope).id
        red = new_job(scope, metadata={"colour": "red", "size": "1"}).id
        blue = new_job(scope, metadata={"colour": "blue", odd: odd}).id
        found = {
            name: [job.id for job in jobs.page(scope, metadata=pairs).data]
            for name, pairs in {
                "red": {"colour": "red"},
                "both": {"colour": "red", "size": "1"},
                "none": {"colour": "red", "size": "2"},
                "odd": {odd: odd},
                "all": {},
            }.items()
        }
        assert found == {"red": [red], "both": [red], "none": [], "odd": [blue], "all": [blue, red, plain]}
        assert [job.id for job in jobs.page(scope, without_metadata=True).data] == [plain]


def model(name: str, **fields: object) -> Model:
    return Model.model_validate({"id": name, "created": 1, "owned_by": "afina"} | fields)


def test_a_name_means_a_model_exactly_then_the_projects_then_everybodys(
    database: Database, project: str, other: str
):
    with database.system() as system:
        for name in ("tiny", "big"):
            models.register(system, model(name, source="bundled"))
        models.alias(system, "gpt", "tiny")
        models.alias(system, "big", "tiny")  # the exact name comes first
    with database.scope(project) as scope:
        models.insert(scope, model("ft:tiny:personal::a", kind="tuned"))
        assert models.resolve(scope, "gpt").id == "tiny"
        assert models.resolve(scope, "big").id == "big"
        models.alias(scope, "gpt", "ft:tiny:personal::a")
        assert models.resolve(scope, "gpt").id == "ft:tiny:personal::a"
        models.alias(scope, "gpt", "big")
        assert models.resolve(scope, "gpt").id == "big"
    with database.system() as system:
        models.alias_unless_taken(system, "gpt", "big")
        models.alias_unless_taken(system, "new", "big")
    with database.read(other) as scope:
        assert models.resolve(scope, "gpt").id == "tiny"
        assert models.resolve(scope, "new").id == "big"


def test_an_alias_leads_nowhere_once_its_model_is_gone(database: Database, project: str):
    with database.scope(project) as scope:
        made = models.insert(scope, model("ft:tiny:personal::a", kind="tuned"))
        models.alias(scope, "old", made.id)
        assert models.delete(scope, made.id).status == "deleted"
        for name in ("old", made.id):
            with pytest.raises(NotFound):
                models.resolve(scope, name)
        assert models.page(scope).data == []


def test_a_base_is_for_everybody_and_not_for_deletion(database: Database, project: str, other: str):
    with database.system() as system:
        models.register(system, model("tiny", base="tiny", source="bundled"))
        models.register(system, model("tiny", base="tiny", source="elsewhere"))
        assert models.base(system, "tiny").source == "elsewhere"
        with pytest.raises(NotFound):
            models.base(system, "ft:tiny:personal::a")
    with database.scope(other) as scope:
        assert [found.id for found in models.page(scope).data] == ["tiny"]
        with pytest.raises(PermissionDenied):
            models.delete(scope, "tiny")


def test_the_first_start_happens_once(database: Database, project: str):
    with database.system() as system:
        assert not projects.create_first(system, "sk-another")
        assert [found.id for found in projects.every(system)] == [project]
        key = keys.find(system, "sk-first")
        assert keys.find(system, "sk-another") is None
    assert key and (key.role, key.project_id) == ("owner", project)
    with database.read(project) as scope:
        assert projects.organization(scope).slug == "personal"


def test_a_key_is_found_by_its_whole_secret_and_never_stored(database: Database, project: str, url: str):
    secret = "sk-afina-" + "s" * 40
    with database.scope(project) as scope:
        key = keys.insert(scope, secret, name="n", role="member", expires_at=10)
        assert keys.get(scope, key.id) == key
        assert keys.page(scope).data[0] == key
        assert {"sha256", "project_id"}.isdisjoint(key.wire())
        stored = scope.connection.execute(text("SELECT * FROM keys")).all()
    assert secret not in repr(stored)
    with database.system(read=True) as system:
        found = keys.find(system, secret)
        assert found == key
        assert found.is_expired(10) and not found.is_expired(9)
        for wrong in (secret[:-1], secret + "s", "", "\ud800"):
            assert keys.find(system, wrong) is None


def test_revoking_lasts_and_spares_the_last_owner(database: Database, project: str):
    with database.scope(project) as scope:
        member = keys.insert(scope, "sk-m", name="m", role="member")
        revoked = keys.revoke(scope, member.id)
        assert revoked.revoked_at is not None
        assert keys.revoke(scope, member.id) == revoked
        entries = audit.page(scope, subject=member.id, ascending=True).data
        assert [entry.action for entry in entries] == ["key.created", "key.revoked"]
        owner = keys.page(scope, ascending=True).data[0]
        keys.insert(scope, "sk-e", name="for a day", role="owner", expires_at=99_999_999_999)
        with pytest.raises(InvalidRequest) as refused:
            keys.revoke(scope, owner.id)
        assert refused.value.code == "last_owner"
        keys.insert(scope, "sk-o", name="o", role="owner")
        assert keys.revoke(scope, owner.id).revoked_at is not None


def test_only_what_lives_is_given_an_end(database: Database, project: str):
    with database.scope(project) as scope:
        key = keys.insert(scope, "sk-m", name="m", role="member")
        ended = keys.expire(scope, key.id, seconds=60, actor="a")
        assert keys.get(scope, key.id) == ended and ended.expires_at is not None
        keys.revoke(scope, key.id)
        with pytest.raises(NotFound):
            keys.expire(scope, key.id, seconds=90, actor="a")
        entries = audit.page(scope, subject=key.id, ascending=True).data
        assert [entry.action for entry in entries] == ["key.created", "key.expires", "key.revoked"]


def test_a_host_is_wanted_started_found_and_gone(database: Database):
    with database.system() as system:
        hosts.want(system, "tiny")
        assert hosts.wanted(system, within_seconds=60) == ["tiny"]
        assert hosts.address(system, "tiny") is None
        assert hosts.starting(system, "tiny", "w1")
        assert not hosts.starting(system, "tiny", "w2")
        assert hosts.wanted(system, within_seconds=60) == []
        assert not hosts.ready(system, "tiny", "w2", address="unix:/b")
        assert hosts.ready(system, "tiny", "w1", address="unix:/a", pid=7)
        assert hosts.address(system, "tiny") == "unix:/a"
        assert [(host.status, host.pid, host.owner) for host in hosts.every(system)] == [("ready", 7, "w1")]
        assert not hosts.gone(system, "tiny", "w2")
        assert hosts.gone(system, "tiny", "w1")
        assert hosts.address(system, "tiny") is None
        assert hosts.wanted(system, within_seconds=60) == ["tiny"]


def test_a_host_that_nobody_asked_for_may_be_ready(database: Database):
    with database.system() as system:
        assert hosts.ready(system, "tiny", "w1", address="unix:/a")
        assert hosts.gone_with(system, "w1") == 1
        assert hosts.gone_with(system, "w1") == 0


def test_wishes_grow_old_and_fresh_ones_are_not_written_again(database: Database):
    def wanted_at() -> float:
        with database.system() as system:
            return hosts.every(system)[0].wanted_at

    with database.system() as system:
        hosts.want(system, "tiny")
    first = wanted_at()
    with database.system() as system:
        hosts.want(system, "tiny")
    assert wanted_at() == first
    with database.system() as system:
        system.connection.execute(text("UPDATE hosts SET wanted_at = wanted_at - 100"))
        assert hosts.wanted(system, within_seconds=60) == []
        hosts.want(system, "tiny")
    assert wanted_at() >= first


def test_all_processes_of_a_name_can_be_forgotten_at_once(database: Database) -> None:
    with database.system() as system:
        for base, owner in (
            ("one", "a_b:worker-1:x"),
            ("two", "a_b:worker-2:y"),
            ("three", "acb:worker-1:z"),
        ):
            assert hosts.starting(system, base, owner)
        assert hosts.gone_with(system, "a_b") == 2
        assert {host.base: host.owner for host in hosts.every(system)} == {
            "one": None,
            "two": None,
            "three": "acb:worker-1:z",
        }


def test_hosts_of_models_that_were_tuned_are_left_when_nobody_asks(database: Database, project: str):
    """Those of the operator's bases stay; those of deleted models go at once."""
    names = ["tiny", "ft:tiny:personal::a", "ft:tiny:personal::b"]

    def left(idle_seconds: float = 60) -> set[str]:
        with database.system() as system:
            return set(hosts.left(system, "w1", idle_seconds=idle_seconds))

    with database.system() as system:
        models.register(system, model("tiny", base="tiny", source="bundled"))
    with database.scope(project) as scope:
        for name in names[1:]:
            models.insert(scope, model(name, base=name, kind="tuned"))
    with database.system() as system:
        for name in names:
            hosts.ready(system, name, "w1", address="unix:/a")
    assert left() == set()
    with database.system() as system:
        system.connection.execute(text("UPDATE hosts SET wanted_at = wanted_at - 100"))
        hosts.want(system, names[2])
    assert left() == {names[1]}
    with database.scope(project) as scope:
        models.delete(scope, names[2])
    assert left() == {names[1], names[2]}
    with database.system() as system:
        assert hosts.left(system, "w2", idle_seconds=60) == []
        assert hosts.gone_with(system, "w1") == 3
        hosts.want(system, names[1])
        assert set(hosts.wanted(system, within_seconds=60)) == {
            names[1]
        }  # a deleted one is not started again
