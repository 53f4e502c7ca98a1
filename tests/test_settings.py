"""Settings: from the environment and back again, and what cannot be is refused by the name of its variable."""

from dataclasses import replace
from pathlib import Path

import pytest

from afina.errors import AfinaError
from afina.settings import Settings, from_environment, multiplies_bf16


def test_nothing_said_is_the_default():
    assert from_environment({}) == from_environment({"AFINA_PORT": ""}) == Settings()


def test_children_get_the_same_settings_but_not_the_first_key():
    settings = Settings(
        data=Path("/srv/afina"),
        port=9000,
        environment="production",
        api_key="sk-first",
        threads=2,
        lease_seconds=2.5,
        database_url="postgresql://db/afina",
    )
    assert from_environment(settings.to_environment()) == replace(settings, api_key="")


def test_a_flag_wins_only_where_it_was_given():
    assert Settings(port=9000, workers=3).with_flags(port=None, workers=0) == Settings(port=9000, workers=0)


def test_the_rows_are_in_the_data_directory_unless_a_url_says_otherwise(tmp_path: Path):
    assert Settings(data=tmp_path).database == f"sqlite:///{tmp_path}/afina.db"
    assert Settings(data=tmp_path, database_url="postgresql://db/a").database == "postgresql://db/a"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AFINA_PORT", "http"),
        ("AFINA_PORT", "65536"),
        ("AFINA_WORKERS", "-1"),
        ("AFINA_THREADS", "1.5"),
        ("AFINA_DTYPE", "float16"),
        ("AFINA_LEASE_SECONDS", "nan"),
        ("AFINA_LEASE_SECONDS", "0"),
        ("AFINA_ENV", "Production"),
        ("AFINA_LOG_LEVEL", "loud"),
        ("AFINA_DATABASE_URL", "mysql://db/afina"),
        ("AFINA_DATABASE_URL", "afina.db"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, text: str):
    with pytest.raises(AfinaError, match=f"^{name} must be"):
        from_environment({name: text})


def test_weights_are_held_as_asked_or_as_the_processor_likes_it():
    assert Settings(dtype="bfloat16").engine_dtype == "bfloat16"
    assert Settings().engine_dtype == ("bfloat16" if multiplies_bf16() else "float32")
