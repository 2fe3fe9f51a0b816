#!/usr/bin/env python3
"""Measures Sinter and ONNX Runtime side by side on the same model folders.

Both run in turn, round after round, so that a machine that gets slower or faster affects both alike. In the first round
each also writes the logits after the prompt and after each token of its own greedy run. These are compared up to the
first token in which the two differ. Prints one table for each folder; --output writes all figures as JSON.

    compare.py --sinter ./sinter --ort "build/release/launch build/peers/ort_runner" models/demo --prompt 64 -n 32

--sinter and --ort are commands that start the programs or their launchers. Needs Python's standard library only.
"""

import argparse
import array
import datetime
import json
import math
import operator
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile

# Gap between two logits below which the choice of a token is chance: half a step of f16 at 16 is 2^-7.
TIE = 2.0 ** -7


def made_up_prompt(count, vocab):
    """Returns the prompt that `sinter bench` makes up."""
    return [(7919 * i + 13) % vocab for i in range(count)]


def run(command):
    """Runs a command and returns its standard output parsed as JSON.

    Raises RuntimeError with the last line of standard error if the command fails.
    """
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"{shlex.join(command)}: exit code {result.returncode}: {lines[-1]}")
    return json.loads(result.stdout)


def read_logits(record):
    """Returns the rows of the f32 file that `record` names."""
    values = array.array("f")
    data = pathlib.Path(record["file"]).read_bytes()
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    vocab = record["vocab_size"]
    return [values[i:i + vocab] for i in range(0, len(values), vocab)]


def product(a, b):
    # math.sumprod exists since Python 3.12.
    return math.sumprod(a, b) if hasattr(math, "sumprod") else sum(map(operator.mul, a, b))


def difference(ours, theirs):
    """Returns (largest absolute difference, cosine) of two rows."""
    largest = max(map(abs, map(operator.sub, ours, theirs)))
    norms = math.sqrt(product(ours, ours) * product(theirs, theirs))
    if not math.isfinite(norms):
        # A row with a NaN or an infinity counts as the largest difference that JSON can hold.
        return sys.float_info.max, -1.0
    return largest, product(ours, theirs) / norms if norms > 0 else 1.0


def compare_logits(sinter, peer):
    """Compares the logits of two greedy runs.

    Both belong to the same sequence only up to and including the row that chooses the first different token, so later
    rows are not compared.
    """
    ours, theirs = sinter["tokens"], peer["tokens"]
    parted = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
    rows = len(ours) if parted is None else parted + 1
    our_rows, their_rows = read_logits(sinter), read_logits(peer)
    pairs = [difference(our_rows[i], their_rows[i]) for i in range(rows)]
    result = {
        "rows": rows,
        "max_abs": max(largest for largest, _ in pairs),
        "min_cosine": min(cosine for _, cosine in pairs),
        "parted_at": parted,
        "tokens": len(ours),
    }
    if parted is not None:
        # By how much each program prefers its own token to the other's.
        a, b = ours[parted], theirs[parted]
        result["parted_gap_sinter"] = our_rows[parted][a] - our_rows[parted][b]
        result["parted_gap_peer"] = their_rows[parted][b] - their_rows[parted][a]
    return result


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def merge(rounds):
    """Returns the median of the rounds' medians, and the least and the largest of all values."""
    return {
        "median": statistics.median(r["median"] for r in rounds),
        "min": min(r["min"] for r in rounds),
        "max": max(r["max"] for r in rounds),
    }


class Comparison:
    """Measures one folder in several rounds."""

    def __init__(self, args, folder):
        self.args = args
        self.folder = folder
        self.provider = args.provider
        self.sinter_rounds, self.peer_rounds = [], []
        config = json.loads((pathlib.Path(folder) / "genai_config.json").read_text(encoding="utf-8"))
        self.vocab = config["model"]["vocab_size"]

    def command(self, program, ids, logits, once=False):
        args = self.args
        repeat, warm_up = (1, 0) if once else (args.repeat, args.warm_up)
        line = shlex.split(program) + (["bench", self.folder] if program == args.sinter else [self.folder])
        line += ["--prompt-ids", ids, "-n", str(args.new_tokens), "-r", str(repeat), "--warm-up", str(warm_up)]
        if logits:
            line += ["--logits", logits]
        return line

    def sinter(self, ids, logits):
        line = self.command(self.args.sinter, ids, logits) + ["--json", "--no-cold-load"]
        return run(line + shlex.split(self.args.sinter_args))

    def peer(self, ids, logits):
        line = self.command(self.args.ort, ids, logits) + shlex.split(self.args.ort_args)
        try:
            return run(line + ["--provider", self.provider])
        except RuntimeError as error:
            if self.provider == "cpu" or not self.args.cpu_fallback:
                raise
            print(f"compare.py: no WebGPU provider ({error}); the CPU provider gives the logits", file=sys.stderr)
            self.provider = "cpu"
            return run(line + ["--provider", "cpu"])

    def measure(self):
        with tempfile.TemporaryDirectory(prefix="sinter-peers-") as temp:
            ids = os.path.join(temp, "ids.json")
            with open(ids, "w", encoding="utf-8") as stream:
                json.dump(made_up_prompt(self.args.prompt, self.vocab), stream)
            for number in range(self.args.rounds):
                ours, theirs = (os.path.join(temp, name) if number == 0 else "" for name in ("ours", "theirs"))
                # The order alternates, because the second program finds a warmer machine.
                if number % 2 == 0:
                    self.sinter_rounds.append(self.sinter(ids, ours))
                    self.peer_rounds.append(self.peer(ids, theirs))
                else:
                    self.peer_rounds.append(self.peer(ids, theirs))
                    self.sinter_rounds.append(self.sinter(ids, ours))
            first, peer = self.sinter_rounds[0], self.peer_rounds[0]
            logits = compare_logits(first["logits"], peer["logits"])
            if self.args.judge:
                judge = run(self.command(self.args.sinter, ids, os.path.join(temp, "judge"), once=True) +
                            ["--json", "--no-cold-load", "--f32"])
                logits["from_f32"] = {"sinter": compare_logits(first["logits"], judge["logits"]),
                                      "onnxruntime": compare_logits(peer["logits"], judge["logits"])}
        return self.result(logits)

    def result(self, logits):
        def ours(*path):
            values = self.sinter_rounds
            for key in path:
                values = [value[key] for value in values]
            return merge(values)

        def theirs(key):
            return merge([value[key] for value in self.peer_rounds])

        first, peer = self.sinter_rounds[0], self.peer_rounds[0]
        figures = {
            "prefill_tokens_per_second": (ours("prefill", 0, "tokens_per_second"), theirs("prefill_tokens_per_second")),
            "time_to_first_token_seconds": (ours("prefill", 0, "time_to_first_token_seconds"),
                                            theirs("time_to_first_token_seconds")),
            "decode_tokens_per_second": (ours("decode", 0, "tokens_per_second"), theirs("decode_tokens_per_second")),
            "decode_unread_tokens_per_second": (ours("decode", 0, "tokens_per_second"),
                                                theirs("decode_unread_tokens_per_second")),
            "load_seconds": (spread([r["load"]["warm_seconds"] for r in self.sinter_rounds]),
                             spread([r["load_seconds"] for r in self.peer_rounds])),
        }
        return {
            # The path is left out: it says nothing about the run, but something about the machine's owner.
            "model": folder_name(self.folder),
            "device": first["device"],
            "sinter": first["sinter"],
            "onnxruntime": peer["onnxruntime"],
            "provider": peer["provider"],
            "capture": peer["capture"],
            "capture_refused": peer["capture_refused"],
            "prompt_tokens": self.args.prompt,
            "new_tokens": self.args.new_tokens,
            "rounds": self.args.rounds,
            "repeats": self.args.repeat,
            "figures": {name: {"sinter": a, "onnxruntime": b, "ratio": a["median"] / b["median"]}
                        for name, (a, b) in figures.items()},
            "bytes_per_token": first["decode"][0]["bytes_per_token"],
            "read_bandwidth_bytes_per_second": first["read_bandwidth_bytes_per_second"],
            "dispatches_per_token": first["dispatches_per_token"],
            "logits": logits,
        }


def number(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def show(value):
    return f"{number(value['median'])} ({number(value['min'])}..{number(value['max'])})"


def print_table(result):
    provider = {"webgpu": "WebGPU", "cpu": "CPU"}[result["provider"]]
    capture = ", captured" if result["capture"] else ", not captured"
    print(f"\n{result['model']} on {result['device']['name']} ({result['device']['driver']}): prompt "
          f"{result['prompt_tokens']}, {result['new_tokens']} new, {result['rounds']} rounds of {result['repeats']}")
    peer = f"ONNX Runtime {result['onnxruntime']} {provider}{capture if provider == 'WebGPU' else ''}"
    print(f"  {'':36} {'Sinter ' + result['sinter']:>28} {peer:>42} {'ratio':>7}")
    names = {
        "prefill_tokens_per_second": "prefill, tokens/s",
        "time_to_first_token_seconds": "time to first token, s",
        "decode_tokens_per_second": "decode, tokens/s",
        "decode_unread_tokens_per_second": "decode, tokens/s (peer reads none)",
        "load_seconds": "load, s",
    }
    for key, name in names.items():
        figure = result["figures"][key]
        print(f"  {name:36} {show(figure['sinter']):>28} {show(figure['onnxruntime']):>42} {figure['ratio']:>6.2f}x")
    logits = result["logits"]
    if "from_f32" in logits:
        ours, theirs = logits["from_f32"]["sinter"], logits["from_f32"]["onnxruntime"]
        print(f"  from Sinter's own in f32: Sinter max abs {ours['max_abs']:.3g}, cosine {ours['min_cosine']:.6f}; "
              f"ONNX Runtime {theirs['max_abs']:.3g}, {theirs['min_cosine']:.6f}")
    print(f"  logits of {logits['rows']} rows: max abs {logits['max_abs']:.3g}, cosine {logits['min_cosine']:.6f}; ", end="")
    if logits["parted_at"] is None:
        print(f"all {logits['tokens']} greedy tokens are the same")
    else:
        print(f"greedy tokens part at {logits['parted_at']}, where Sinter prefers its own by "
              f"{logits['parted_gap_sinter']:.3g} and ONNX Runtime by {logits['parted_gap_peer']:.3g}")


def problems(args, result):
    """Returns descriptions of what exceeds the tolerances in the logits."""
    logits = result["logits"]
    found = []
    if args.max_abs is not None and not logits["max_abs"] <= args.max_abs:
        found.append(f"max abs {logits['max_abs']:.3g}, want at most {args.max_abs}")
    if args.min_cosine is not None and not logits["min_cosine"] >= args.min_cosine:
        found.append(f"cosine {logits['min_cosine']:.6f}, want at least {args.min_cosine}")
    allowed = max(TIE, 2 * (args.max_abs or 0))
    gap = logits.get("parted_gap_sinter", 0.0)
    if args.max_abs is not None and gap > allowed:
        found.append(f"tokens part where they differ by {gap:.3g}, want at most {allowed:.3g}")
    return found


def machine():
    """Describes what the figures depend on besides the GPU."""
    cpu = platform.processor()
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {"system": platform.system(), "kernel": platform.release(), "cpu": cpu, "cores": os.cpu_count()}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model folders")
    parser.add_argument("--sinter", default="./sinter", help="command that runs sinter")
    parser.add_argument("--ort", required=True, help="command that runs ort_runner")
    parser.add_argument("--prompt", type=int, default=512, help="prompt tokens (512)")
    parser.add_argument("-n", "--new-tokens", type=int, default=128, help="generated tokens (128)")
    parser.add_argument("-r", "--repeat", type=int, default=5, help="runs of each program's start that count (5)")
    parser.add_argument("--warm-up", type=int, default=1, help="runs before them (1)")
    parser.add_argument("--rounds", type=int, default=3, help="starts of each program, in turn (3)")
    parser.add_argument("--provider", choices=("webgpu", "cpu"), default="webgpu", help="ONNX Runtime's provider")
    parser.add_argument("--cpu-fallback", action="store_true", help="take the CPU provider where WebGPU fails")
    parser.add_argument("--judge", action="store_true", help="compare both with Sinter's logits in f32, too")
    parser.add_argument("--sinter-args", default="", help="further options of sinter bench")
    parser.add_argument("--ort-args", default="", help="further options of ort_runner")
    parser.add_argument("--max-abs", type=float, help="fail where logits differ by more")
    parser.add_argument("--min-cosine", type=float, help="fail where their cosine is less")
    parser.add_argument("--output", help="write the results as JSON")
    args = parser.parse_args()
    for name, least in (("prompt", 1), ("new_tokens", 2), ("repeat", 1), ("warm_up", 0), ("rounds", 1)):
        if getattr(args, name) < least:
            parser.error(f"--{name.replace('_', '-')}: got {getattr(args, name)}, want at least {least}")
    return args


def folder_name(folder):
    return os.path.basename(os.path.normpath(folder))


def write(args, results):
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "machine": machine(),
        "command": shlex.join(os.path.basename(word.strip("'").rstrip("/")) for word in sys.argv),
        "results": results,
    }
    with open(args.output, "w", encoding="utf-8") as stream:
        json.dump(record, stream, indent=2)
        stream.write("\n")


def main():
    args = parse_arguments()
    results, failed = [], False
    sys.stdout.reconfigure(line_buffering=True)
    for model in args.models:
        try:
            result = Comparison(args, model).measure()
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            # A failing folder does not stop the others.
            failed = True
            results.append({"model": folder_name(model), "error": str(error)})
            print(f"compare.py: {model}: {error}", file=sys.stderr)
            continue
        print_table(result)
        results.append(result)
        for problem in problems(args, result):
            failed = True
            print(f"  WRONG: {problem}")
        # Results are written after each folder, so that an interrupted run keeps them.
        if args.output:
            write(args, results)
    if args.output:
        write(args, results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
