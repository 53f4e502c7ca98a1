"""lm-eval and inspect-ai, installed beside us, evaluate a model of a real server: as in docs/evals.md."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import afina.base
from afina_server import KEY, served

HERE = Path(__file__).parent.parent / "harnesses"
VENV = HERE.parent.parent / "build" / "harnesses"  # what pip installs stays there for the next time
MODEL = afina.base.NAME
Harness = Callable[..., str]


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of both programs."""
    if not (VENV / "ready").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [
            str(VENV / "bin" / "pip"),
            "install",
            "--quiet",
            "--requirement",
            str(HERE / "requirements.txt"),
        ]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot install them: {done.stderr.strip().splitlines()[-1:]}")
        (VENV / "ready").touch()
    return VENV / "bin"


@pytest.fixture(scope="module")
def harness(programs: Path, tmp_path_factory: pytest.TempPathFactory):
    """Runs one of them against a server that has the bundled base."""
    folder = tmp_path_factory.mktemp("harnesses")
    tasks = Path(shutil.copytree(HERE, folder / "tasks"))
    with served(folder) as server:
        url = f"{server.url}/v1"

        def run(program: str, *words: str) -> str:
            ours = {
                "OPENAI_BASE_URL": url,
                "OPENAI_API_KEY": KEY,
                "NO_PROXY": "127.0.0.1",
                "HF_HUB_OFFLINE": "1",
            }
            done = subprocess.run(
                [str(programs / program), *(word.format(url=url) for word in words)],
                cwd=tasks,
                env=os.environ | ours,
                capture_output=True,
                text=True,
                timeout=280,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        yield run


LM_EVAL = ("lm_eval", "--include_path", ".", "--batch_size", "1", "--model")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lm_eval_generates_in_chats(harness: Harness):
    model = f"model={MODEL},base_url={{url}}/chat/completions,num_concurrent=4"
    said = harness(
        *LM_EVAL, "local-chat-completions", "--model_args", model, "--tasks", "say", "--apply_chat_template"
    )
    assert "exact_match" in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lm_eval_compares_likelihoods(harness: Harness):
    tokens = f"tokenizer_backend=huggingface,tokenizer={afina.base.path()}"
    model = f"model={MODEL},base_url={{url}}/completions,num_concurrent=4,{tokens}"
    said = harness(*LM_EVAL, "local-completions", "--model_args", model, "--tasks", "choose")
    assert "|acc" in said.replace(" ", "")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("responses", ["false", "true"])
def test_inspect_asks_chats_and_responses(harness: Harness, responses: str):
    wanted = ("--model", f"openai/{MODEL}", "-M", f"responses_api={responses}", "--max-tokens", "16")
    said = harness("inspect", "eval", "say.py", *wanted, "--display", "plain", "--log-dir", "logs")
    assert "accuracy" in said
