"""Tests of --json: the output of every command against docs/json.md, and errors as objects.

The tables of docs/json.md are the expectation. A key of the output that they do not list fails, as
does a listed key that no command here writes, or a key of another type.
"""

import json
import os
import re
import signal
import subprocess
import time
import unittest

import convert_test
from sinter_cli import DEMO, ROOT, TIMEOUT_SECONDS, CliTest, arguments, run

DOCUMENT = ROOT / "docs" / "json.md"

# A small model, with a context that takes longer to fill than a test waits.
CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 320,
    "max_position_embeddings": 65536, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 257, "eos_token_id": 256,
}

SIMPLE_TYPES = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def is_of(value, kind):
    """Returns whether a JSON value has a type as the document writes it."""
    if " or " in kind:
        return any(is_of(value, part) for part in kind.split(" or "))
    if kind.endswith("[]"):
        return isinstance(value, list) and all(is_of(element, kind[:-2]) for element in value)
    if kind == "spread":
        return (isinstance(value, dict) and sorted(value) == ["max", "median", "min"] and
                all(is_of(number, "number") for number in value.values()))
    return SIMPLE_TYPES[kind](value)


class Section:
    """The keys of one heading: path -> (type, present), and the values that finish_reason may have."""

    def __init__(self):
        self.keys, self.finish_reasons = {}, set()


def sections():
    """Reads the tables of the document, by heading."""
    result, section, header = {}, None, None
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            section = result.setdefault(line[3:].removeprefix("sinter "), Section())
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if header is None:
            header = cells
        elif header[0] == "key" and not set(cells[0]) <= set("- "):
            section.keys[cells[0].strip("`")] = (cells[1], cells[2].strip("`"))
        elif header[0] == "`finish_reason`" and cells[0].startswith("`"):
            section.finish_reasons.add(cells[0].strip("`"))
    return result


class Checker:
    """Compares objects with a section and remembers which of its keys came."""

    def __init__(self, section):
        self.section, self.seen, self.problems = section, set(), []

    def check(self, value):
        self._walk(value, "")

    def missing(self):
        return sorted(set(self.section.keys) - self.seen)

    def _path(self, prefix, key):
        exact, any_key = prefix + key, prefix + "*"
        paths = self.section.keys
        known = any(path == exact or path.startswith((exact + ".", exact + "[")) for path in paths)
        return any_key if not known and any_key in paths else exact

    def _walk(self, value, prefix):
        for path, (_, present) in self.section.keys.items():
            name = path.removeprefix(prefix)
            if (path.startswith(prefix) and re.fullmatch(r"\w+", name) and present == "always" and
                    name not in value and not self._is_alternative(value)):
                self.problems.append(f"{path} is always present, and was not")
        for key, child in value.items():
            path = self._path(prefix, key)
            if path in self.section.keys:
                self.seen.add(path)
                kind = self.section.keys[path][0]
                if not is_of(child, kind):
                    self.problems.append(f"{path} is documented as {kind}, got {child!r:.80}")
            elif isinstance(child, dict) and any(p.startswith(path + ".") for p in self.section.keys):
                self._walk(child, path + ".")
            elif isinstance(child, list) and any(p.startswith(path + "[].") for p in self.section.keys):
                for element in child:
                    self._walk(element, path + "[].")
            else:
                self.problems.append(f"{path} is not documented")

    def _is_alternative(self, value):
        """Returns whether one key stands in the place of all others, as with inspect --graph."""
        return len(value) == 1 and self.section.keys.get(next(iter(value)), ("", ""))[1].startswith("--")


class Documented(CliTest):
    @classmethod
    def setUpClass(cls):
        cls.sections = sections()

    def result(self, *args, code=0, **options):
        done = run(*args, "--json", **options)
        self.assertEqual(done.returncode, code, f"{args}: {done.stderr}")
        return done.stdout

    def check(self, command, *outputs):
        """Compares the objects of `outputs`, the text of one run each, with the command's section."""
        checker = Checker(self.sections[command])
        for output in outputs:
            lines = output.splitlines() if command in ("chat", "run --batch") else [output]
            self.assertTrue(lines, command)
            for line in lines:
                checker.check(json.loads(line))
        self.assertEqual(checker.problems, [], command)
        self.assertEqual(checker.missing(), [], f"{command}: documented in {DOCUMENT.name}, never written")

    def check_error(self, result, code, area):
        """Checks that standard error ends with the object of an error."""
        self.assertEqual(result.returncode, code, result.stderr)
        *notices, line = result.stderr.splitlines()
        self.assertFalse([notice for notice in notices if notice.startswith("{")])
        checker = Checker(self.sections["Errors"])
        checker.check(json.loads(line))
        self.assertEqual((checker.problems, checker.missing()), ([], []))
        error = json.loads(line)["error"]
        self.assertEqual((error["area"], error["code"]), (area, code))
        return error["message"]

    def make_model(self):
        """Makes a small model of random weights that never ends an answer early."""
        config = self.temp / "config.json"
        config.write_text(json.dumps(CONFIG))
        self.result("convert", "--random", 1, "--config", config, self.temp / "model")
        return self.temp / "model"

    def test_every_command_has_a_section(self):
        commands = re.findall(r"^  ([a-z]+)  ", run("--help").stdout, re.MULTILINE)
        self.assertIn("run", commands)
        for command in commands:
            if "--json" in run(command, "--help").stdout:
                self.assertIn(command, self.sections, f"{DOCUMENT.name} has no section for sinter {command}")

    def test_run(self):
        ask = ("run", DEMO, "-p", "What is 7 + 8?")
        texts = [self.result(*ask), self.result(*ask, "-n", "2"), self.result(*ask, "--stop", "15"),
                 self.result(*ask, "--max-length", "20"), self.interrupted()]
        self.check("run", *texts)
        reasons = [json.loads(text)["finish_reason"] for text in texts]
        self.assertEqual(reasons, ["end_token", "max_new_tokens", "stop_string", "max_length", "cancelled"])
        self.assertEqual(set(reasons), self.sections["run"].finish_reasons)

    def test_run_batch(self):
        file = self.temp / "prompts.jsonl"
        file.write_text('{"id": "a", "prompt": "Hi", "max_tokens": 2}\n{"prompt": 3}\n{"id": 3, "prompt": [1]}\n')
        self.check("run --batch", self.result("run", DEMO, "--batch", file, "-n", "1", code=1))

    def interrupted(self):
        """Returns the object of an answer that Ctrl-C stopped. Loading may take any time, so ever later
        signals are tried until one comes during the answer; nothing else ends this answer."""
        line = arguments("run", self.make_model(), "--raw", "-p", "Once", "--greedy", "--json",
                         "--max-length", CONFIG["max_position_embeddings"])
        for seconds in (1, 2, 4, 8, 16, 32):
            with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                time.sleep(seconds)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=TIMEOUT_SECONDS)
            message = self.check_error(subprocess.CompletedProcess(line, process.returncode, out, err),
                                       130, "signal")
            self.assertIn("SIGINT", message)
            if out:
                return out
        return self.fail("no signal came during the answer")

    def test_chat(self):
        self.check("chat", self.result("chat", DEMO, stdin=b"What is 7 + 8?\nAnd 62 - 17?\n"))

    def test_tokenize(self):
        self.check("tokenize", self.result("tokenize", DEMO, "What is 7 + 8?"))

    def test_inspect(self):
        self.check("inspect", *(self.result("inspect", DEMO, *options)
                                for options in ((), ("--tensors",), ("--graph",), ("--program",))),
                   self.result("inspect", self.make_model()))

    def test_devices(self):
        nowhere = {**os.environ, "VK_DRIVER_FILES": str(self.temp / "none.json")}
        without = run("devices", "--json", env=nowhere)
        self.check_error(without, 1, "gpu")
        self.assertIsNone(json.loads(without.stdout)["default"])
        self.check("devices", self.result("devices"), self.result("devices", DEMO), without.stdout)

    def test_verify(self):
        self.check("verify", self.result("verify", DEMO))
        past = run("verify", DEMO, "--max-abs", "0", "--json")
        self.check_error(past, 1, "verify")
        self.check("verify", past.stdout)

    def test_tune_and_bench(self):
        folder = self.make_model()
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.temp / "cache")}
        self.check("tune", self.result("tune", folder, "--variant", "matmul_nbits=decode", "--max-length", "32",
                                       env=environment))
        bench = ("bench", folder, "--prompt", "4", "-n", "4", "-r", "1", "--warm-up", "0")
        self.check("bench", self.result(*bench, "--profile"),
                   self.result(*bench, "--no-cache", "--logits", self.temp / "logits"))
        self.check("bench --batch", self.result("bench", folder, "--batch", "2", "--context", "4", "-n", "4", "-r", "1"))

    def test_convert(self):
        checkpoints = convert_test.Convert("test_checkpoint_runs")
        checkpoints.temp = self.temp
        folder = checkpoints.write_checkpoint()
        self.check("convert", self.result("convert", folder, self.temp / "plain"),
                   self.result("convert", folder, self.temp / "compared", "--verify"))

    def test_list_and_rm(self):
        environment = {**os.environ, "XDG_DATA_HOME": str(self.temp), "SINTER_MODELS": str(DEMO.parent)}
        (self.temp / "sinter").mkdir()
        (self.temp / "sinter" / "models").mkdir()
        self.make_model().rename(self.temp / "sinter" / "models" / "small")
        self.check("list", self.result("list", env=environment))
        self.check("rm", self.result("rm", "small", "--yes", env=environment))

    def test_errors(self):
        for args in (("frobnicate",), ("run", DEMO, "-p", "hi", "--frobnicate"), ("run", DEMO),
                     ("run", DEMO, "-p", "hi", "--max-length", "long"), ("inspect", DEMO, "more")):
            with self.subTest(args):
                result = run(*args, "--json")
                self.check_error(result, 2, "usage")
                self.assertEqual(result.stdout, "")
        for args, area in ((("run", self.temp / "none", "-p", "hi"), "model"),
                           (("inspect", self.temp / "none"), "model"),
                           (("tokenize", self.temp / "none", "hi"), "tokenizer"),
                           (("convert", self.temp / "none", self.temp / "out"), "convert"),
                           (("run", DEMO, "-p", "hi", "--device", "no such gpu"), "gpu"),
                           (("run", DEMO, "-p", "hello " * 2000), "cli")):
            with self.subTest(args[0]):
                result = run(*args, "--json")
                self.check_error(result, 1, area)
                self.assertEqual(result.stdout, "")
        # Without --json, and after `--`, errors stay lines.
        self.assert_fails(run("tokenize", self.temp / "none", "--", "--json"), "[tokenizer]")

    def test_errors_keep_the_lines_that_they_quote(self):
        shader = self.temp / "sample" / "step_inputs.wgsl"
        shader.parent.mkdir()
        shader.write_text("fn main() {\n  let a = nowhere;\n}\n")
        result = run("run", DEMO, "-p", "hi", "--no-cache", "--wgsl-dir", self.temp, "--json")
        self.assertIn("\n  let a = nowhere;\n", self.check_error(result, 1, "wgsl"))


if __name__ == "__main__":
    unittest.main()
