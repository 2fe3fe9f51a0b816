#!/usr/bin/env python3
"""Compares Sinter's logits with ONNX Runtime's on a small model of each architecture.

Makes folders of random weights from tests/data/configs with `sinter convert`, runs both programs on the same prompts
and a few greedy tokens after each, and compares all rows up to the first token in which they differ. Prints one line
for each folder and provider. Fails if a row differs by more than the tolerance, unless ONNX Runtime is known to be
wrong there.

    check_models.py --sinter ./sinter --ort "build/release/launch build/peers/ort_runner" qwen3 gpt_oss

Needs Python's standard library only.
"""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

import compare

CONFIGS = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "data" / "configs"
NEW_TOKENS = 4

# ONNX Runtime's CPU provider does not support norms of query and key inside GroupQueryAttention.
PLAIN = ["--dtype", "f32", "--separate-qk-norm"]
# (name, options of convert, provider, prompt lengths). The lengths are one token, lengths below and above the attention
# window (8) and LongRoPE's original context (16), and lengths beyond the kernels for few rows of either program.
CASES = (
    ("f32", PLAIN, "cpu", (1, 7, 17, 31, 40)),
    ("f32, 8 bits", [*PLAIN, "--bits", "8", "--asymmetric", "--block-size", "16"], "cpu", (17,)),
    ("f32", PLAIN, "webgpu", (1, 7, 17, 31, 40)),
    ("f16", ["--block-size", "16"], "webgpu", (7, 31)),
)


def tolerance(form, config):
    """Returns the largest allowed difference over a row's standard deviation, and the least allowed cosine."""
    if form.startswith("f32"):
        return 2e-3, 0.999999
    # Gemma's norms amplify rounding errors.
    return (0.25 if config == "gemma3_text" else 0.08), 0.999


def known(provider, software, prompt):
    """Returns the reason why ONNX Runtime's logits are known to be wrong, or None."""
    if provider == "webgpu" and software and prompt >= 32:
        return "FlashAttention on lavapipe"
    return None


def compare_rows(sinter, peer):
    """Returns (largest difference over its row's standard deviation, least cosine, number of rows compared)."""
    ours, theirs = sinter["tokens"], peer["tokens"]
    rows = next((i + 1 for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), len(ours))
    shares, cosines = [], []
    for a, b in list(zip(compare.read_logits(sinter), compare.read_logits(peer)))[:rows]:
        largest, cosine = compare.difference(a, b)
        shares.append(largest / statistics.pstdev(b))
        cosines.append(cosine)
    return max(shares), min(cosines), rows


class Checker:
    def __init__(self, args, temp):
        self.args, self.temp = args, temp
        self.ids, self.ours, self.theirs = (os.path.join(temp, name) for name in ("ids.json", "ours", "theirs"))

    def convert(self, config, options):
        folder = os.path.join(self.temp, config + "".join(options))
        if not os.path.exists(folder):
            command = [*shlex.split(self.args.sinter), "convert", "--random", "1", "--config",
                       str(CONFIGS / f"{config}.json"), *options, folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return folder

    def compare(self, folder, provider, prompt):
        """Returns compare_rows for a prompt of `prompt` tokens, and whether the GPU is a software one."""
        config = json.loads((pathlib.Path(folder) / "genai_config.json").read_text(encoding="utf-8"))
        vocab = config["model"]["vocab_size"]
        with open(self.ids, "w", encoding="utf-8") as stream:
            json.dump(compare.made_up_prompt(prompt, vocab), stream)
        common = ["--prompt-ids", self.ids, "-n", str(NEW_TOKENS), "-r", "1", "--warm-up", "0", "--logits"]
        ours = compare.run([*shlex.split(self.args.sinter), "bench", folder, *common, self.ours, "--json",
                            "--no-cold-load", *shlex.split(self.args.sinter_args)])
        theirs = compare.run([*shlex.split(self.args.ort), folder, *common, self.theirs, "--provider", provider])
        return compare_rows(ours["logits"], theirs["logits"]), "llvmpipe" in ours["device"]["name"]

    def check(self, config, form, options, provider, prompts):
        """Compares all prompts and prints one line; returns whether all are within the tolerance."""
        folder = self.convert(config, options)
        want_share, want_cosine = tolerance(form, config)
        cells, failed = [], False
        for prompt in prompts:
            try:
                (share, cosine, rows), software = self.compare(folder, provider, prompt)
            except RuntimeError as error:
                print(f"check_models.py: {config}: {error}", file=sys.stderr)
                cells.append(f"{prompt}: no result")
                failed = True
                break
            cell = f"{prompt}: {share:.1e}"
            if rows < NEW_TOKENS:
                cell += f" ({rows} rows)"
            if not (share <= want_share and cosine >= want_cosine):
                reason = known(provider, software, prompt)
                failed |= reason is None
                cell += f" ({reason})" if reason else " TOO FAR"
            cells.append(cell)
        print(f"{config:14} {form:12} {provider:7} {'FAILED' if failed else 'ok':7} {', '.join(cells)}", flush=True)
        return not failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = sorted(file.stem for file in CONFIGS.glob("*.json"))
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--sinter", default="./sinter", help="command that runs sinter")
    parser.add_argument("--ort", required=True, help="command that runs ort_runner")
    parser.add_argument("--provider", choices=("webgpu", "cpu"), help="ONNX Runtime's provider; default: both")
    parser.add_argument("--sinter-args", default="", help="further options of sinter bench")
    args = parser.parse_args()
    if unknown := sorted(set(args.configs) - set(names)):
        parser.error(f"configs: got {', '.join(unknown)}, want some of {', '.join(names)}")
    print("Largest difference of a logit divided by its row's standard deviation, by prompt length:")
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="sinter-peers-") as temp:
        checker = Checker(args, temp)
        for config in args.configs or names:
            for form, options, provider, prompts in CASES:
                if args.provider in (None, provider):
                    good = checker.check(config, form, options, provider, prompts)
                    passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
