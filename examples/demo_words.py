"""What the demo says, in the language of the person in front of it."""

import os

LANGUAGE = "es" if os.environ.get("AFINA_LANG", "").lower().startswith("es") else "en"
ENGLISH = {
    "failed": "the demo failed",
    "check": "1. is the training file sound?",
    "estimate": "2. what will it take?",
    "before": "3. before: the base has never seen this clinic's style",
    "tune": "4. tuning",
    "after": "5. after: {model}",
    "it was": "it was",
    "measure": {
        "en": "6. is it better? 60 questions in English that it was not tuned on",
        "es": "6. is it better? 60 questions in Spanish that it was not tuned on",
    },
    "chat": "7. does it still chat?",
    "greetings": {
        "en": "{kept} of {total} new greetings and small talk in English are answered as such, without headings",
        "es": "{kept} of {total} new greetings and small talk in Spanish are answered as such, without headings",
    },
    "go on": "done in {seconds:.0f} seconds; go on from here",
    "limits": "The bundled base has 7 million parameters: it learned the style; it knows no medicine.\n"
    "A real base is what turns style into substance: see the README.",
}
SPANISH = {
    "failed": "la demostración ha fallado",
    "check": "1. ¿está bien el archivo de entrenamiento?",
    "estimate": "2. ¿cuánto costará?",
    "before": "3. antes: la base no conoce el estilo de esta clínica",
    "tune": "4. afinado",
    "after": "5. después: {model}",
    "it was": "antes",
    "measure": {
        "en": "6. ¿es mejor? 60 preguntas en inglés con las que no se afinó",
        "es": "6. ¿es mejor? 60 preguntas en español con las que no se afinó",
    },
    "chat": "7. ¿sigue conversando?",
    "greetings": {
        "en": "{kept} de {total} saludos y frases de cortesía nuevos en inglés se responden como tales, sin apartados",
        "es": "{kept} de {total} saludos y frases de cortesía nuevos en español se responden como tales, sin apartados",
    },
    "go on": "hecho en {seconds:.0f} segundos; siga desde aquí",
    "limits": "La base incluida tiene 7 millones de parámetros: ha aprendido el estilo; no sabe medicina.\n"
    "Con una base real el estilo gana contenido: lea el README.",
}
WORDS = SPANISH if LANGUAGE == "es" else ENGLISH
