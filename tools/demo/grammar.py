"""A tiny text grammar: `[a|b|c]` picks one alternative (may nest), `{key}` takes a word from a dict."""

import re

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_KEY = re.compile(r"\{(\w+)\}")


def expand(rng, template, words):
    """Expands every choice with `rng`, then every key with `words`; an unknown key is an error."""
    while "[" in template:
        template = _CHOICE.sub(lambda m: rng.choice(m.group(1).split("|")), template)
    return _KEY.sub(lambda m: words[m.group(1)], template)


def with_article(noun):
    """Returns the noun with its article ('an owl', 'a fox'); sufficient for the word lists here."""
    article = "an" if noun[0] in "aeiou" and not noun.startswith(("uni", "use")) else "a"
    return f"{article} {noun}"


def capital(text):
    return text[0].upper() + text[1:]
