"""What the demo says, in the language of the person in front of it."""

import os

LANGUAGE = "es" if os.environ.get("AFINA_LANG", "").lower().startswith("es") else "en"
ENGLISH = {
    "failed": "the demo failed",
    "in use": "{folder} is in use by another demo or by `afina serve`: end it, or use another folder",
    "not ours": "{folder} was not made by a demo: move it away, or use another folder",
    "interrupted": "interrupted; the server and the job have ended with the demo",
    "check": "1. is the training file sound?",
    "estimate": "2. what will it take?",
    "before": "3. before: the base has never seen this clinic's style",
    "tune": "4. tuning",
    "after": "5. after: {model}",
    "it was": "it was",
    "measure": {
        "en": "6. is it better? {count} questions in English that it was not tuned on",
        "es": "6. is it better? {count} questions in Spanish that it was not tuned on",
    },
    "chat": "7. does it still chat?",
    "greetings": {
        "en": "{kept} of {total} new greetings and small talk in English get a short answer without the headings",
        "es": "{kept} of {total} new greetings and small talk in Spanish get a short answer without the headings",
    },
    "go on": "done in {seconds:.0f} seconds; go on from here",
    "limits": "The bundled base has 7 million parameters: it can learn a style; it knows no medicine.\n"
    "Another demo begins with an empty {folder}. A real base, which turns style into substance:",
}
SPANISH = {
    "failed": "la demostración ha fallado",
    "in use": "{folder} está en uso por otra demostración o por `afina serve`: termínelo, o use otra carpeta",
    "not ours": "{folder} no es de una demostración: muévala, o use otra carpeta",
    "interrupted": "interrumpida; el servidor y el trabajo han terminado con la demostración",
    "check": "1. ¿está bien el archivo de entrenamiento?",
    "estimate": "2. ¿qué hará falta?",
    "before": "3. antes: la base no conoce el estilo de esta clínica",
    "tune": "4. afinado",
    "after": "5. después: {model}",
    "it was": "antes",
    "measure": {
        "en": "6. ¿es mejor? {count} preguntas en inglés con las que no se afinó",
        "es": "6. ¿es mejor? {count} preguntas en español con las que no se afinó",
    },
    "chat": "7. ¿sigue conversando?",
    "greetings": {
        "en": "{kept} de {total} saludos y frases de cortesía nuevos en inglés se responden en breve y sin apartados",
        "es": "{kept} de {total} saludos y frases de cortesía nuevos en español se responden en breve y sin apartados",
    },
    "go on": "hecho en {seconds:.0f} segundos; siga desde aquí",
    "limits": "La base incluida tiene 7 millones de parámetros: puede aprender un estilo; no sabe medicina.\n"
    "Otra demostración empieza con {folder} vacía. Una base real, con la que el estilo gana contenido:",
}
WORDS = SPANISH if LANGUAGE == "es" else ENGLISH
