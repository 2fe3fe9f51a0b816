#!/usr/bin/env python3
"""Trains the model in models/demo and writes it as an ONNX Runtime GenAI folder.

The text is short stories from a grammar, sums of two-digit numbers and small talk in chat form, all generated
by tools/demo. The model has the Qwen3 architecture. It is trained in float and then with int4 weights in the
forward pass, so that the int4 model that is written answers correctly. 100 sums are held out from training in
every phrasing and operand order; the int4 model's score on them is printed and logged.

Needs PyTorch, numpy and onnx, and a GPU for more than --smoke. Uses onnxruntime, if installed, to check the folder.
"""

import argparse
import json
import os
import platform
import random
import sys
import time

import numpy as np
import onnx
import torch

from demo import bpe, chat, corpus, genai_folder, reference, stories, training
from demo.network import Config, Network, as_written

FOLDER_LIMIT_BYTES = 4_900_000
VOCABULARY = 1536
SHORT_LENGTH = 64
WANTED_SCORE = 98
STORY_PROMPTS = ["Tell me a story about a fox.", "Tell me a story about a dragon and a mouse.",
                 "Write a short story about Lily and a lost kite."]
TALK_PROMPTS = ["Hello!", "Who are you?", "What is the capital of France?"]


class Log:
    """Prints lines and keeps them for train_log.txt."""

    def __init__(self):
        self.lines = []

    def __call__(self, line):
        print(line, flush=True)
        self.lines.append(line)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.lines) + "\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder to write (made if missing)")
    parser.add_argument("--minutes", type=float, default=5.0, help="time for training; fixes the number of steps")
    parser.add_argument("--steps", type=int, default=0, help="number of steps, instead of --minutes")
    parser.add_argument("--seed", type=int, default=1, help="seed of the text, the first weights and the batches")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes that generate text")
    parser.add_argument("--smoke", action="store_true", help="everything, tiny: a test of the script, not a model")
    return parser.parse_args()


def score(network, tokenizer, sums, log):
    """Returns how many of the sums [{prompt, answer}] are answered exactly, and logs up to ten wrong answers."""
    prompts = [tokenizer.prompt_ids([], s["prompt"]) for s in sums]
    replies = training.generate(network, prompts, 24, list(stop_ids(tokenizer)))
    texts = [tokenizer.decode(reply) for reply in replies]
    wrong = [(s, text) for s, text in zip(sums, texts) if text != s["answer"]]
    for asked, text in wrong[:10]:
        log(f"  wrong: {asked['prompt']!r} -> {text!r}")
    return len(sums) - len(wrong)


def stop_ids(tokenizer):
    return [tokenizer.vocab[bpe.IM_END], tokenizer.vocab[bpe.END_OF_TEXT]]


def show_samples(network, tokenizer, limit, log):
    stops = stop_ids(tokenizer)
    for question in TALK_PROMPTS + STORY_PROMPTS:
        for temperature in ([0.0, 0.8] if question in STORY_PROMPTS else [0.0]):
            reply = training.generate(network, [tokenizer.prompt_ids([], question)], limit, stops, temperature, seed=7)[0]
            log(f"--- {question} (temperature {temperature})\n{tokenizer.decode(reply)}")
    turns = [("Hello!", "Hello! How can I help you?"), ("What is 20 + 30?", "20 + 30 = 50.")]
    reply = training.generate(network, [tokenizer.prompt_ids(turns, "And 62 - 17?")], limit, stops)[0]
    log(f"--- third turn: And 62 - 17?\n{tokenizer.decode(reply)}")
    reply = training.generate(network, [tokenizer.encode("Once upon a time,")], limit, stops, 0.8, seed=7)[0]
    log(f"--- plain text, temperature 0.8\nOnce upon a time,{tokenizer.decode(reply)}")


def main():
    arguments = parse_arguments()
    began = time.time()
    log = Log()
    os.makedirs(arguments.out, exist_ok=True)
    device = torch.device(arguments.device)
    smoke = arguments.smoke
    log("command: tools/train_demo.py " + " ".join(sys.argv[1:]))
    log(f"seed {arguments.seed}; Python {platform.python_version()}, PyTorch {torch.__version__}, "
        f"numpy {np.__version__}, onnx {onnx.__version__}")

    # The text is made first, because the worker processes must be forked before CUDA starts.
    tokenizer = bpe.train(corpus.sample_texts(arguments.seed, 300 if smoke else 6000), VOCABULARY)
    log(f"tokenizer: {len(tokenizer.tokens)} tokens")
    config = Config(vocab_size=len(tokenizer.tokens))
    if smoke:
        config.num_layers, config.intermediate_size, config.context_length = 2, 128, 256
    rows = lambda kind, purpose, count, length: corpus.make_rows(
        tokenizer, kind, f"{arguments.seed}-{purpose}", count, length, arguments.processes)
    long_rows = rows("long", "train", 128 if smoke else 80_000, config.context_length)
    short_rows = rows("short", "train", 1024 if smoke else 1_500_000, SHORT_LENGTH)
    long_test, short_test = rows("long", "test", 128, config.context_length), rows("short", "test", 1024, SHORT_LENGTH)
    if smoke:
        long_test, short_test = [part[:4] for part in long_test], [part[:16] for part in short_test]
    for kind, made in (("long", long_rows), ("short", short_rows)):
        log(f"{kind} rows: {made[0].shape[0]} of {made[0].shape[1]} tokens, {int(made[1].sum())} tokens to learn")
    log(f"text made in {time.time() - began:.0f} s; an example:\n{stories.tell(random.Random(arguments.seed))[0]}")

    torch.manual_seed(arguments.seed)
    network = Network(config).to(device)
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    log(f"device: {device_name}; {config}; {sum(p.numel() for p in network.parameters()) / 1e6:.2f} million parameters")
    batch_sizes = (2, 8) if smoke else (48, 1024)
    steps = training.train(network, long_rows, short_rows, device, batch_sizes, arguments.minutes * 60,
                           4 if smoke and not arguments.steps else arguments.steps, arguments.seed, log)
    log(f"trained {steps} steps, {steps * (batch_sizes[0] * config.context_length + batch_sizes[1] * SHORT_LENGTH) / 1e6:.0f} "
        f"million tokens; validation loss with int4 weights: stories and conversations "
        f"{training.validation_loss(network, long_test, device, 16):.4f}, single turns "
        f"{training.validation_loss(network, short_test, device, 256):.5f}")

    written = as_written(network)
    on_device = as_written(network).to(device)
    held_out = chat.held_out_sums()
    right = score(on_device, tokenizer, held_out, log)
    log(f"held-out sums answered right by the int4 model: {right} of {len(held_out)}")
    seen = [chat.sum_turn(random.Random(f"seen-{i}")) for i in range(8 if smoke else 2000)]
    seen_right = score(on_device, tokenizer, [{"prompt": a, "answer": b} for a, b in seen], lambda line: None)
    log(f"other sums in all phrasings: {seen_right} of {len(seen)}")
    show_samples(on_device, tokenizer, 8 if smoke else 300, log)

    tokenizer.save(arguments.out, config.context_length)
    genai_folder.write(network, arguments.out, stop_ids(tokenizer), tokenizer.vocab[bpe.END_OF_TEXT])
    genai_folder.check_tensors(arguments.out, written)
    log("the folder's tensors are the network's, bit for bit")
    with open(os.path.join(arguments.out, "held_out_sums.json"), "w", encoding="utf-8") as f:
        json.dump(held_out, f, indent=1)
        f.write("\n")
    tale = tokenizer.encode(stories.tell(random.Random("reference"))[0] + "\n\n" + stories.tell(random.Random("more"))[0])
    prompts = [tokenizer.prompt_ids([], held_out[0]["prompt"]), tale[:160]]
    reference.write(network, prompts, arguments.out)
    cosine = reference.compare_with_onnxruntime(network, prompts[1], arguments.out, log)

    size = sum(os.path.getsize(os.path.join(arguments.out, name)) for name in os.listdir(arguments.out))
    log(f"folder: {size} bytes; total time {time.time() - began:.0f} s")
    log.save(os.path.join(arguments.out, "train_log.txt"))
    if size > FOLDER_LIMIT_BYTES:
        sys.exit(f"the folder has {size} bytes: more than {FOLDER_LIMIT_BYTES}")
    if cosine is not None and cosine < 0.999:
        sys.exit(f"ONNX Runtime's logits differ: cosine {cosine:.6f}")
    if right < WANTED_SCORE and not smoke:
        sys.exit(f"only {right} of {len(held_out)} held-out sums are right")


if __name__ == "__main__":
    main()
