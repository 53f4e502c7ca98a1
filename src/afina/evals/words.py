"""Text as words, in any language that is written with letters; and the words that carry no subject, in two of them."""

import re
import unicodedata

# What is asked *with* rather than asked *about*. Written without accents, as `plain` leaves words.
ENGLISH = """
a about after all am an and any are as at be because been before being but by can could did do does doing
done for from get give had has have he her here him his how i if in into is it its just like may me might
more most much must my no not of on one or our out over please say she should so some such tell than that
the their them then there these they this those to too us very was we were what when where which who whom
why will with would you your
"""
SPANISH = """
a al algo ante antes aqui asi aun aunque cada como con cual cuales cuando cuanta cuantas cuanto cuantos de
debe debo del desde donde dos e el ella ellas ellos en entre era es esa ese eso esta estan estar este esto
estos fue ha hace hacer hasta hay he la las le les lo los mas me mi mis mucho muy nada ni no nos o otra otro
para pero por porque puede puedo que quien se ser si sin sobre son soy su sus tambien te tener tengo ti
tiene tras tu un una uno unos usted y ya yo
"""
STOP_WORDS = {"en": frozenset(ENGLISH.split()), "es": frozenset(SPANISH.split())}
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, accents kept."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def plain(word: str) -> str:
    """A word without its accents, so that `cancer` finds `cáncer`; n and ñ stay two letters."""
    kept = (
        letter
        for letter in unicodedata.normalize("NFD", word.replace("ñ", "\0"))
        if not unicodedata.combining(letter)
    )
    return "".join(kept).replace("\0", "ñ")


def content_words(text: str) -> frozenset[str]:
    """The words that say what a text is about, without accents."""
    stop = STOP_WORDS["en"] | STOP_WORDS["es"]
    return frozenset(word for word in map(plain, words(text)) if len(word) > 1 and word not in stop)


def language(text: str) -> str | None:
    """`en` or `es`, whichever has more of its stop words in the text; None where neither has."""
    found = [plain(word) for word in words(text)]
    counts = {name: sum(word in stop for word in found) for name, stop in STOP_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] > min(counts.values()) else None
