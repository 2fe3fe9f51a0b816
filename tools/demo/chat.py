"""Makes chat turns (sums, story requests, small talk) and the set of held-out sums.

A turn is a pair (what the user says, what the assistant replies).
"""

import random

from demo import stories
from demo import words as w
from demo.grammar import expand, with_article

# The held-out set does not depend on the training seed.
_HELD_OUT_SEED = 20240229
_HELD_OUT_ADDITIONS = 50
_HELD_OUT_POSITIVE_DIFFERENCES = 40
_HELD_OUT_NEGATIVE_DIFFERENCES = 10

_ADD = ["What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a} + {b} =",
        "{a}+{b}=?", "{a}+{b}=", "{a} plus {b}?", "{a} plus {b}", "{a} + {b}?", "Add {a} and {b}.", "Add {a} and {b}",
        "Add {a} to {b}.", "How much is {a} + {b}?", "How much is {a} plus {b}?", "What's {a} + {b}?",
        "What's {a} plus {b}?", "What do you get when you add {a} and {b}?", "What is the sum of {a} and {b}?",
        "The sum of {a} and {b}?", "Calculate {a} + {b}.", "Compute {a} + {b}.", "Can you add {a} and {b}?",
        "Please add {a} and {b}.", "What does {a} + {b} equal?", "Tell me what {a} + {b} is.",
        "[And|Now|And what is|Now add] {a} + {b}?", "Do you know what {a} plus {b} is?",
        "{name} has {a} {items} and gets {b} more. How many {items} does {name} have?",
        "There are {a} {items} and {b} {items}. How many are there?",
        "I have {a} {items}. I find {b} more. How many {items} do I have now?"]
_SUBTRACT = ["What is {a} - {b}?", "What is {a} minus {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "{a} - {b} =",
             "{a}-{b}=?", "{a}-{b}=", "{a} minus {b}?", "{a} minus {b}", "{a} - {b}?", "Subtract {b} from {a}.",
             "Subtract {b} from {a}", "How much is {a} - {b}?", "How much is {a} minus {b}?", "What's {a} - {b}?",
             "What's {a} minus {b}?", "What do you get when you subtract {b} from {a}?", "Take {b} away from {a}.",
             "{a} take away {b}", "Calculate {a} - {b}.", "Compute {a} - {b}.", "Can you subtract {b} from {a}?",
             "Please subtract {b} from {a}.", "What does {a} - {b} equal?", "Tell me what {a} - {b} is.",
             "[And|Now|And what is] {a} - {b}?", "Do you know what {a} minus {b} is?"]
# These phrasings make sense only if the difference is positive.
_SUBTRACT_POSITIVE = ["{name} has {a} {items} and gives away {b}. How many {items} are left?",
                      "There are {a} {items}. {b} are gone. How many are left?",
                      "I had {a} {items} and ate {b}. How many are left?",
                      "What is the difference between {a} and {b}?"]


def answer(op, a, b):
    """Returns the answer, which always has the form '23 + 45 = 68.'"""
    return f"{a} {op} {b} = {a + b if op == '+' else a - b}."


def _held_out_triples():
    rng = random.Random(_HELD_OUT_SEED)
    triples, taken = [], set()
    wanted = [("+", None, _HELD_OUT_ADDITIONS), ("-", True, _HELD_OUT_POSITIVE_DIFFERENCES),
              ("-", False, _HELD_OUT_NEGATIVE_DIFFERENCES)]
    for op, positive, count in wanted:
        while count:
            a, b = rng.randint(10, 99), rng.randint(10, 99)
            key = (op, min(a, b), max(a, b))
            if key in taken or (positive is not None and (a > b) != positive) or a == b:
                continue
            taken.add(key)
            triples.append((op, a, b))
            count -= 1
    return triples


HELD_OUT = _held_out_triples()
_HELD_OUT_KEYS = {(op, min(a, b), max(a, b)) for op, a, b in HELD_OUT}


def is_held_out(op, a, b):
    """Returns whether the pair is held out, in either operand order."""
    return (op, min(a, b), max(a, b)) in _HELD_OUT_KEYS


def held_out_sums():
    """Returns the held-out set as [{prompt, answer}], in phrasings that training uses for other numbers."""
    result = []
    for i, (op, a, b) in enumerate(HELD_OUT):
        phrasing = (_ADD if op == "+" else _SUBTRACT)[[0, 1, 11, 2][i % 4]]
        result.append({"prompt": phrasing.format(a=a, b=b), "answer": answer(op, a, b)})
    return result


def _sloppy(rng, text):
    """Imitates careless typing: sometimes drops the first capital or the last punctuation mark."""
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.12 and len(text) > 1 and text[-1] in "?.":
        text = text[:-1].rstrip()
    return text


def sum_turn(rng):
    """Makes a turn about a sum or difference of two numbers from 0 to 99 that is not held out."""
    while True:
        op = rng.choice("+-")
        # One pair in ten has small numbers only, because they are rare among all pairs but often asked.
        top = 20 if rng.random() < 0.1 else 99
        a, b = rng.randint(0, top), rng.randint(0, top)
        if op == "-" and a < b and rng.random() < 0.5:
            a, b = b, a
        if not is_held_out(op, a, b):
            break
    # About half of the turns use the plain phrasings, which most people type.
    if op == "+":
        phrasings = _ADD[:4] if rng.random() < 0.4 else _ADD
    elif rng.random() < 0.4:
        phrasings = _SUBTRACT[:4]
    else:
        phrasings = _SUBTRACT + (_SUBTRACT_POSITIVE if a > b else [])
    names = {"a": str(a), "b": str(b), "name": rng.choice(w.GIRLS + w.BOYS),
             "items": rng.choice(w.FOODS + ["balls", "books", "shells", "stones", "coins", "stars", "cars", "pens"])}
    return _sloppy(rng, expand(rng, rng.choice(phrasings), names)), answer(op, a, b)


_SYLLABLES = "ba be bo da do fi fo ga gi ka ki ko la lo lu ma mi mo na no pa pi po ra ri ro sa so ta ti to va vo wa za zi zo".split()


def _made_up(rng):
    """Returns a made-up word, so that the model learns to copy words from the request."""
    word = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3)))
    return word + rng.choice(["", "", "n", "r", "l", "s", "rk", "mp"])


_ASK = ("[Tell me|Tell me|Tell me|Write|Write me|Can you tell me|Please tell me|Give me|I want|I would like|Could you tell me] "
        "a [|||short |little |nice |new |good |bedtime ]story")


def _end_mark(ask):
    return "?" if ask.startswith(("Can", "Could")) else "."


def story_turn(rng):
    """Makes a turn of a request for a story and a story that fits it."""
    ask = expand(rng, _ASK, {})
    roll = rng.random()
    fixed, about, plot = {}, "", None
    kind = rng.choice(list(w.ANIMALS) + list(w.FIGURES) + ["girl", "boy"] * 8)
    if rng.random() < 0.08:
        kind = _made_up(rng)
    if roll < 0.10:
        pass
    elif roll < 0.45:
        fixed["kind"] = kind
        about = f" about {with_article(kind)}"
        if rng.random() < 0.25:
            fixed["name"], fixed["gender"] = _name(rng, kind)
            about += f" [named|called] {fixed['name']}"
        elif rng.random() < 0.25:
            fixed["friend_kind"] = rng.choice([k for k in w.ANIMALS if k != kind])
            about += f" and {with_article(fixed['friend_kind'])}"
        elif rng.random() < 0.25:
            fixed["place"] = rng.choice(w.PLACES)
            about += f" {w.PREPOSITIONS.get(fixed['place'], 'in')} the {fixed['place']}"
            plot = rng.choice([p for p in stories.PLOTS if "place" in stories.PLOTS[p][1]])
    elif roll < 0.60:
        fixed["thing"] = _made_up(rng) if rng.random() < 0.1 else rng.choice(w.THINGS)
        plot = rng.choice(["lost", "truth", "magic"])
        if rng.random() < 0.5:
            fixed["color"] = rng.choice(w.COLORS)
            about = f" about {with_article(fixed['color'] + ' ' + fixed['thing'])}"
        else:
            about = f" about {with_article(fixed['thing'])}"
        if rng.random() < 0.4:
            fixed["kind"] = kind
            about = f" about {with_article(kind)} and" + about[len(" about"):]
    elif roll < 0.72:
        fixed["name"], fixed["gender"] = _name(rng, rng.choice(["girl", "boy"]))
        fixed["kind"] = "girl" if fixed["gender"] == "f" else "boy"
        about = f" about {fixed['name']}"
    elif roll < 0.80:
        fixed["place"] = rng.choice(w.PLACES)
        plot = rng.choice([p for p in stories.PLOTS if "place" in stories.PLOTS[p][1]])
        preposition = w.PREPOSITIONS.get(fixed["place"], "in")
        about = rng.choice([f" about the {fixed['place']}", f" that happens {preposition} the {fixed['place']}"])
    else:
        plot = rng.choice(list(stories.PLOTS))
    text, plot, words = stories.tell(rng, plot, **fixed)
    if roll >= 0.80:
        theme = expand(rng, rng.choice(stories.PLOTS[plot][0]), words)
        about = f" about {theme}"
        if rng.random() < 0.2:
            about = f" about {with_article(words['hero_kind'])} and {theme}"
    about = expand(rng, about, {})
    if roll >= 0.10 and rng.random() < 0.12:
        # Makes the terse form, such as 'A story about a fox.'
        ask = rng.choice(["A story", "Story", "a story", "One story"])
    return _sloppy(rng, ask + about + _end_mark(ask)), text


def _name(rng, kind):
    gender = {"girl": "f", "boy": "m"}.get(kind) or w.GENDERED.get(kind) or rng.choice("mf")
    if rng.random() < 0.15:
        made_up = _made_up(rng)
        return made_up[0].upper() + made_up[1:], gender
    return rng.choice(w.GIRLS if gender == "f" else w.BOYS), gender


_CAN_DO = "I can tell [you a story|short stories] and [do sums|add and subtract two-digit numbers]."
_TALK = [
    (["Hello", "Hi", "Hello!", "Hi!", "Hi there!", "Hey", "Hello there", "Good morning", "Good morning!", "Good evening",
      "Hey there!", "Greetings"],
     ["Hello! " + _CAN_DO, "Hi! Would you like a story or a sum?", "Hello! How can I help you?", "Hi there! " + _CAN_DO]),
    (["Who are you?", "What are you?", "Tell me about yourself.", "What is your name?", "What's your name?",
      "Are you a robot?", "Are you a person?", "Introduce yourself.", "Who made you?"],
     ["I am a very small language model. " + _CAN_DO, "I am the demo model of Sinter. " + _CAN_DO]),
    (["What can you do?", "Help", "Help me", "What do you know?", "How can you help me?", "What should I ask you?",
      "What can I ask?", "Can you help me?"],
     [_CAN_DO + " Try \"What is 12 + 30?\"", _CAN_DO + " Ask me for a story about a fox.", _CAN_DO]),
    (["How are you?", "How are you today?", "How do you feel?", "How is it going?", "What's up?", "Are you okay?"],
     ["I am fine, thank you! Would you like a story?", "I am very well. How about a story or a sum?", "Very well, thank you!"]),
    (["Thank you", "Thanks", "Thank you!", "Thanks!", "Thanks a lot!", "That was nice.", "Great story!", "Well done!",
      "Good job!", "I like it.", "Nice!", "Cool", "Wow!", "Great", "Correct!"],
     ["You are welcome!", "I am glad that you like it!", "Thank you! Would you like another one?", "My pleasure!"]),
    (["Bye", "Goodbye", "Good night", "See you!", "Bye bye", "Good night!", "See you later", "I have to go."],
     ["Goodbye!", "Goodbye! Come back soon!", "Good night! Sleep well!", "See you soon!"]),
    (["Do you like stories?", "Do you like animals?", "Do you like math?", "What do you like?", "Can you do math?",
      "Can you count?", "Are you smart?"],
     ["I like stories and sums. Would you like one?", "I like short stories with a happy end.", "Yes! " + _CAN_DO]),
]
_UNKNOWN = [
    "What is the capital of France?", "What is the capital of [Spain|Italy|Japan|Peru|Canada]?", "Who is the president?",
    "What time is it?", "What day is it?", "How is the weather?", "What is the weather like today?",
    "Write a poem.", "Write some code.", "Write a Python program.", "Translate this to German.", "What is love?",
    "Explain gravity.", "How do I cook rice?", "What is [12|3|45] times [7|9|30]?", "Divide [80|90|12] by [2|3|4].",
    "Who wrote Hamlet?", "How far is the moon?", "Why is the sky blue?", "How old are you?", "Where are you?",
    "What is the meaning of life?", "Sing a song.", "Tell me a joke.", "Play a game with me.", "What is [7|8] * [6|9]?",
    "Who won the game?", "What is the news?", "How do planes fly?", "Where do you live?", "What is a computer?",
    "Can you draw?", "Do you speak French?", "What is your favorite food?", "How many people live on Earth?",
    "What is water made of?", "What is the biggest animal?", "Recommend a movie.", "What is a [star|cloud|robot]?",
    "Tell me a fact.", "Tell me about [France|history|music|cars|space].", "Why?", "How?", "What?", "Really?", "asdf", "test", "?",
]
_UNKNOWN_REPLY = ("[I am sorry, I do not know that.|I do not know.|That is too hard for me.|I am only a small model.] " + _CAN_DO)


def talk_turn(rng):
    """Makes a turn of small talk, or a question to which the model should admit that it has no answer."""
    if rng.random() < 0.35:
        return _sloppy(rng, expand(rng, rng.choice(_UNKNOWN), {})), expand(rng, _UNKNOWN_REPLY, {})
    questions, replies = rng.choice(_TALK)
    return _sloppy(rng, rng.choice(questions)), expand(rng, rng.choice(replies), {})


_ANOTHER = ["Another one, please.", "Tell me another one.", "Another story", "One more, please!", "Again!",
            "One more story.", "Can you tell me another story?"]


def conversation(rng, turns):
    """Returns a conversation of `turns` turns of mixed kinds."""
    result, last = [], None
    for _ in range(turns):
        roll = rng.random()
        kind = "story" if roll < 0.45 else "sum" if roll < 0.82 else "talk"
        if kind == "story" and last == "story" and rng.random() < 0.3:
            result.append((_sloppy(rng, rng.choice(_ANOTHER)), stories.tell(rng)[0]))
        else:
            result.append({"story": story_turn, "sum": sum_turn, "talk": talk_turn}[kind](rng))
        last = kind
    return result
