"""A byte-level BPE tokenizer: training, encoding, and the files that transformers and GenAI read.

The pre-tokenizer is Qwen's: words with their leading space, single digits, punctuation. The training text is
ASCII, so Python's `re` gets the pattern with its letter and number classes written out for ASCII;
tokenizer.json holds the original pattern.
"""

import collections
import json
import os
import re

END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = [END_OF_TEXT, IM_START, IM_END]

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
           r"\s*[\r\n]+|\s+(?!\S)|\s+")
_ASCII_PATTERN = re.compile(PATTERN.replace(r"[^\r\n\p{L}\p{N}]", r"[^\r\na-zA-Z0-9]")
                            .replace(r"[^\s\p{L}\p{N}]", r"[^\sa-zA-Z0-9]")
                            .replace(r"\p{L}", "[a-zA-Z]").replace(r"\p{N}", "[0-9]"))

CHAT_TEMPLATE = ("{% for m in messages %}<|im_start|>{{m.role}}\n{{m.content}}<|im_end|>\n{% endfor %}"
                 "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def byte_characters():
    """Returns GPT-2's map from a byte to a printable character."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


_BYTE_CHARACTERS = byte_characters()


def _split(text):
    assert text.isascii(), "the pre-tokenizer here is for ASCII"
    return [m.group(0) for m in _ASCII_PATTERN.finditer(text)]


class Tokenizer:
    """A BPE tokenizer. Ids are the special tokens, then the 256 bytes, then the merges in order of their rank."""

    def __init__(self, merges):
        self.merges = merges
        tokens = SPECIALS + [_BYTE_CHARACTERS[b] for b in range(256)] + [a + b for a, b in merges]
        assert len(set(tokens)) == len(tokens), "two merges give the same token"
        self.vocab = {token: i for i, token in enumerate(tokens)}
        self.tokens = tokens
        self._ranks = {pair: i for i, pair in enumerate(merges)}
        self._cache = {}
        self._bytes = {c: b for b, c in _BYTE_CHARACTERS.items()}

    def _encode_word(self, word):
        parts = [_BYTE_CHARACTERS[b] for b in word.encode()]
        while len(parts) > 1:
            pairs = [(self._ranks.get((parts[i], parts[i + 1]), len(self._ranks)), i) for i in range(len(parts) - 1)]
            rank, i = min(pairs)
            if rank == len(self._ranks):
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        return [self.vocab[p] for p in parts]

    def encode(self, text):
        """Returns the ids of plain text. Special tokens in it are not recognised."""
        ids = []
        for word in _split(text):
            known = self._cache.get(word)
            if known is None:
                known = self._cache[word] = self._encode_word(word)
            ids += known
        return ids

    def decode(self, ids):
        """Returns the text of ids, without special tokens."""
        characters = "".join(self.tokens[i] for i in ids if i >= len(SPECIALS))
        return bytes(self._bytes[c] for c in characters).decode(errors="replace")

    def prompt_ids(self, turns, question, system=None):
        """Returns the ids of the chat template for finished turns and a last question, with the generation prompt."""
        ids = []
        if system:
            ids += self._message("system", system)
        for asked, replied in turns:
            ids += self._message("user", asked) + self._message("assistant", replied)
        return ids + self._message("user", question) + self.reply_prefix()

    def reply_prefix(self):
        return [self.vocab[IM_START]] + self.encode("assistant\n")

    def _message(self, role, content):
        return ([self.vocab[IM_START]] + self.encode(f"{role}\n{content}") + [self.vocab[IM_END]] + self.encode("\n"))

    def save(self, folder, context_length):
        """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja."""
        special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                    "normalized": False, "special": True} for i, t in enumerate(SPECIALS)]
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        content = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}, byte_level]},
            "post_processor": byte_level, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": self.vocab, "merges": [list(pair) for pair in self.merges]}}
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
            json.dump(content, f, ensure_ascii=False, indent=1)
        config = {"add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": IM_END,
                  "pad_token": END_OF_TEXT, "unk_token": None, "model_max_length": context_length,
                  "clean_up_tokenization_spaces": False, "errors": "replace", "split_special_tokens": False,
                  "additional_special_tokens": [IM_START, IM_END],
                  "added_tokens_decoder": {str(s["id"]): {k: v for k, v in s.items() if k != "id"} for s in special},
                  "tokenizer_class": "Qwen2Tokenizer"}
        with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f, indent=2)
            f.write("\n")
        with open(os.path.join(folder, "chat_template.jinja"), "w", encoding="utf-8") as f:
            f.write(CHAT_TEMPLATE)


def train(texts, vocab_size):
    """Learns merges from the counts of pre-tokens until there are `vocab_size` tokens or no pair occurs twice."""
    counts = collections.Counter(word for text in texts for word in _split(text))
    words = [([_BYTE_CHARACTERS[b] for b in word.encode()], count) for word, count in sorted(counts.items())]
    merges = []
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for index, (parts, count) in enumerate(words):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += count
            where[pair].add(index)
    made = set()
    while len(merges) < vocab_size - 256 - len(SPECIALS) and pairs:
        # Takes the most frequent pair, and the first in order among equals, so that the result is reproducible.
        best = min(pairs, key=lambda p: (-pairs[p], p))
        if pairs[best] < 2:
            break
        joined = best[0] + best[1]
        # Two merges may spell the same token (a+bc, ab+c). The second is skipped, since the token already has an id.
        if joined not in made:
            made.add(joined)
            merges.append(best)
        else:
            del pairs[best]
            continue
        for index in where.pop(best):
            parts, count = words[index]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= count
            merged, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == best:
                    merged.append(joined)
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            parts[:] = merged
            for pair in zip(parts, parts[1:]):
                pairs[pair] += count
                where[pair].add(index)
        del pairs[best]
    return Tokenizer(merges)
