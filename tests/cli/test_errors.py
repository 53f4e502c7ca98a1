import socket
import subprocess
import sys

LIGHT = """
import sys
sys.argv = ["afina", *{words!r}]
from afina.cli import main
try:
    main()
except SystemExit:
    pass
print(sorted({{"torch", "sqlalchemy", "transformers", "openai"}} & set(sys.modules)))
"""


def loaded(*words: str) -> str:
    script = LIGHT.format(words=words)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()[-1]


def test_help_loads_no_heavy_library():
    assert loaded("--help") == "[]"


def test_a_client_command_loads_the_client_alone(played, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", played.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert loaded("models", "list") == "['openai']"


def test_a_wrong_key_says_how_to_mend_it(afina, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    ran = afina("models", "list")
    assert ran.code == 1
    said = "Incorrect API key provided. (code: invalid_api_key)"
    assert ran.err == f"error: {said} - set OPENAI_API_KEY to a key of this server\n"


def test_no_key(afina, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    ran = afina("models", "list")
    assert ran.code == 1
    assert ran.err.startswith("error: OPENAI_API_KEY is not set - export OPENAI_API_KEY=")


def test_a_key_that_no_header_can_carry(afina, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\u043a\u043b\u044e\u0447")
    ran = afina("models", "list")
    assert ran.code == 1
    assert ran.err.startswith("error: OPENAI_API_KEY holds characters that no key has - export ")


def test_a_key_may_bring_its_newline_along(afina, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test\n")
    assert afina("models", "list").code == 0


def test_no_server(afina, monkeypatch):
    with socket.socket() as taken:  # bound and not listening: whoever calls is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        ran = afina("models", "list")
    assert ran.code == 1
    assert (
        ran.err == f"error: no server answers at {url} - start it with: afina serve, or set OPENAI_BASE_URL\n"
    )


def test_debug_shows_the_traceback_wherever_it_stands(afina):
    assert "Traceback" not in afina("files", "get", "file-x").err
    for words in (("--debug", "files", "get", "file-x"), ("files", "get", "file-x", "--debug")):
        ran = afina(*words)
        assert ran.code == 1
        assert "Traceback" in ran.err


def test_wrong_usage_is_exit_2(afina):
    assert afina("jobs", "create").code == 2
    assert afina("nothing").code == 2


def test_a_reply_without_markup_surprises(afina):
    ran = afina("files", "get", "[red]x")
    assert ran.err == "error: No such File object: [red]x (param: id)\n"
