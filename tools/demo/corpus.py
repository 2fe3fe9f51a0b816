"""Makes rows of token ids for training, in parallel. The result depends on the seed, not on the number of processes.

There are two kinds of rows: long ones (plain stories, concatenated, or a conversation of many turns) and short
ones (one chat turn: a sum, or small talk). A row is (tokens, learn), where `learn[i]` says whether tokens[i] is to
be predicted. Stories are learned whole; in chats only the assistant's part is learned.
"""

import multiprocessing
import random

import numpy as np

from demo import chat, stories

_ROWS_PER_CHUNK = 128
_SYSTEM = ["You are a helpful assistant.", "You are a friendly assistant.", "You tell stories and do sums."]

_state = {}


def sample_texts(seed, count):
    """Returns the texts that the tokenizer learns from: `count` conversations of four turns."""
    rng = random.Random(f"{seed}-tokenizer")
    texts = []
    for _ in range(count):
        for asked, replied in chat.conversation(rng, 4):
            texts += [asked, replied]
        texts.append("user\nassistant\nsystem\n" + rng.choice(_SYSTEM))
    return texts


def _chat_tokens(tokenizer, rng, turns):
    ids, learn = [], []
    prefix = tokenizer.reply_prefix()
    newline = tokenizer.encode("\n")
    end = [tokenizer.vocab["<|im_end|>"]]
    start = [tokenizer.vocab["<|im_start|>"]]
    if rng.random() < 0.12:
        ids += start + tokenizer.encode("system\n" + rng.choice(_SYSTEM)) + end + newline
    for asked, replied in turns:
        question = start + tokenizer.encode(f"user\n{asked}") + end + newline + prefix
        reply = tokenizer.encode(replied) + end
        learn += [False] * (len(ids) - len(learn)) + [False] * len(question) + [True] * len(reply) + [False] * len(newline)
        ids += question + reply + newline
    return ids, learn


def _long_row(tokenizer, rng, length):
    ids, learn = [], []
    if rng.random() < 0.4:
        while len(ids) < length:
            story = tokenizer.encode(stories.tell(rng)[0]) + [tokenizer.vocab["<|endoftext|>"]]
            ids += story
            learn += [True] * len(story)
    else:
        # The row is one conversation, cut off at the row's end.
        turns = []
        while len(ids) < length:
            turns += chat.conversation(rng, 8)
            ids, learn = _chat_tokens(tokenizer, rng, turns)
    return ids[:length], learn[:length]


def _short_row(tokenizer, rng, length):
    while True:
        turn = chat.sum_turn(rng) if rng.random() < 0.85 else chat.talk_turn(rng)
        ids, learn = _chat_tokens(tokenizer, rng, [turn])
        if len(ids) <= length:
            return ids, learn


def _chunk(job):
    kind, seed, length = job
    rng = random.Random(seed)
    make = _long_row if kind == "long" else _short_row
    tokens = np.zeros((_ROWS_PER_CHUNK, length), dtype=np.int16)
    learn = np.zeros((_ROWS_PER_CHUNK, length), dtype=bool)
    for row in range(_ROWS_PER_CHUNK):
        ids, mask = make(_state["tokenizer"], rng, length)
        tokens[row, :len(ids)] = ids
        learn[row, :len(ids)] = mask
    return tokens, learn


def make_rows(tokenizer, kind, seed, rows, length, processes):
    """Returns (tokens int16 [rows, length], learn bool [rows, length]); rows is rounded up to whole chunks."""
    _state["tokenizer"] = tokenizer
    jobs = [(kind, f"{seed}-{kind}-{i}", length) for i in range(-(-rows // _ROWS_PER_CHUNK))]
    if processes > 1:
        # 'fork' gives the workers the tokenizer. It must happen before CUDA starts.
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            chunks = pool.map(_chunk, jobs, chunksize=4)
    else:
        chunks = [_chunk(job) for job in jobs]
    return np.concatenate([c[0] for c in chunks]), np.concatenate([c[1] for c in chunks])
