import io
import json
import sys


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_an_answer_is_streamed_and_the_warning_stands_aside(afina, played):
    ran = afina(
        "chat", "gpt-4o-mini", "Hi", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "9"
    )
    assert (ran.code, ran.out) == (0, "Hello\n")
    assert ran.err == "the tiny base answers\n"
    body = played.bodies[0]
    roles = [message["role"] for message in body["messages"]]
    assert (roles, body["temperature"], body["max_tokens"]) == (["system", "user"], 0, 9)


def test_json_is_the_whole_completion(afina, played):
    ran = afina("chat", "afina-tiny", "Hi", "--json")
    assert json.loads(ran.out)["choices"][0]["message"]["content"] == "Hello"
    assert "stream" not in played.bodies[0]


def test_a_conversation_remembers_its_turns(afina, played, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("one\n\ntwo\n"))
    ran = afina("chat", "afina-tiny")
    assert ran.code == 0
    said = [(m["role"], m["content"]) for m in played.bodies[1]["messages"][:3]]
    assert said == [("user", "one"), ("assistant", "Hello"), ("user", "two")]


def test_a_refused_turn_does_not_end_the_conversation(afina, played, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("one\ntoo long\ntwo\n"))
    ran = afina("chat", "afina-tiny")
    assert (ran.code, ran.err.count("context_length_exceeded")) == (0, 1)
    assert [m["content"] for m in played.bodies[2]["messages"]][:3] == ["one", "Hello", "two"]


def test_a_prompt_may_be_piped_in(afina, played, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("What is asthma?\n"))
    afina("chat", "afina-tiny")
    assert played.bodies[0]["messages"][0]["content"] == "What is asthma?"


def test_an_empty_pipe_asks_nothing(afina, played, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    ran = afina("chat", "afina-tiny")
    assert (ran.code, ran.out, played.bodies) == (1, "", [])
    assert ran.err.startswith("error: nothing was piped in - give a question: ")


def test_an_unknown_model_names_the_list(afina):
    ran = afina("chat", "nothere", "Hi")
    assert ran.err == (
        "error: The model 'nothere' does not exist (code: model_not_found) - see: afina models list\n"
    )


def test_an_error_in_mid_stream_is_an_error(afina):
    ran = afina("chat", "breaks", "Hi")
    assert ran.code == 1
    assert ran.out.startswith("Hello")
    assert "the host ended" in ran.err
