"""Prompts: what stands before a question, and which rows may serve as examples."""

from afina.data.messages import Conversation
from afina.evals.prompts import Prompt, draw, identity


def talk(question: str, answer: str = "An answer.", system: str | None = None) -> Conversation:
    told = [] if system is None else [{"role": "system", "content": system}]
    return Conversation(
        [*told, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    )


ENGLISH = [talk(f"What is the number {n}?", f"It is the number {n}.") for n in range(40)]
SPANISH = [talk(f"¿Cuál es el número {n}?", f"Es el número {n}.") for n in range(40)]


def test_examples_stand_before_the_conversation_and_are_not_scored():
    prompt = Prompt("Be kind.", (talk("One?", "1", system="Other."), talk("Two?", "2")))
    made = prompt.before(talk("Three?", "3", system="Own."))
    assert [(m["role"], m["content"], m.get("weight")) for m in made.messages] == [
        ("system", "Be kind.", None),
        ("user", "One?", None),
        ("assistant", "1", 0),
        ("user", "Two?", None),
        ("assistant", "2", 0),
        ("user", "Three?", None),
        ("assistant", "3", None),
    ]


def test_a_conversation_keeps_its_own_instructions_where_the_prompt_has_none():
    made = Prompt(None, (talk("One?", "1"),)).before(talk("Three?", "3", system="Own."))
    assert [m["content"] for m in made.messages] == ["Own.", "One?", "1", "Three?", "3"]
    same = talk("Three?", system="Own.")
    assert list(Prompt().before(same).messages) == list(same.messages)


def test_a_draw_is_seeded_and_keeps_examples_judges_and_held_out_apart():
    drawn = draw(ENGLISH, ENGLISH[:10])
    assert drawn == draw(ENGLISH, ENGLISH[:10]) != draw(ENGLISH, ENGLISH[:10], seed=1)
    examples, judges = ({identity(one) for one in part} for part in (drawn.examples, drawn.judges))
    assert (len(examples), len(judges)) == (8, 16)
    assert not examples & judges and not (examples | judges) & {identity(one) for one in ENGLISH[:10]}
    assert [len(prompt.examples) for prompt in drawn.prompts("s")] == [0, 3, 8]


def test_examples_speak_the_language_of_the_held_out_file_where_enough_do():
    drawn = draw([*ENGLISH, *SPANISH], [talk("¿Qué es esto?", "Es una prueba de la casa.")])
    assert {identity(one) for one in drawn.examples} <= {identity(one) for one in SPANISH}
    few = draw([*ENGLISH, *SPANISH[:10]], [talk("¿Qué es esto?", "Es una prueba de la casa.")])
    assert {identity(one) for one in few.examples} & {identity(one) for one in ENGLISH}


def test_few_rows_give_few_examples():
    assert [len(prompt.examples) for prompt in draw(ENGLISH[:10], SPANISH).prompts(None)] == [0, 3, 5]
    assert [len(prompt.examples) for prompt in draw([], ENGLISH).prompts(None)] == [0]


def test_weights_do_not_make_another_conversation():
    weighed = talk("One?")
    weighed.messages[1]["weight"] = 1
    assert identity(weighed) == identity(talk("One?")) != identity(talk("Two?"))
