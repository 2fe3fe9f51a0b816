"""Tests of models by name, of the memory that a model takes, and of what a terminal shows while it
loads."""

import json
import os
import re
import resource
import select
import signal
import subprocess
import time
import unittest

import convert_test
from sinter_cli import DEMO, TIMEOUT_SECONDS, CliTest, arguments, run
from terminal import start_on_terminal

LONG = {**convert_test.CONFIG, "max_position_embeddings": 131072}


class ModelsTest(CliTest):
    """Base of the tests: a HOME of their own, with an empty folder of models."""

    def setUp(self):
        super().setUp()
        self.home = self.temp / "home"
        self.home.mkdir()
        self.models = self.home / ".local" / "share" / "sinter" / "models"
        self.env = {key: value for key, value in os.environ.items()
                    if key not in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "SINTER_MODELS", "SINTER_CONFIG")}
        # Compiled shaders stay where they are.
        self.env.setdefault("XDG_CACHE_HOME", os.path.join(os.environ.get("HOME", "/"), ".cache"))
        self.env["HOME"] = str(self.home)

    def sinter(self, *args, **options):
        return run(*args, env=self.env, **options)

    def convert_random(self, config, *options):
        path = self.temp / "tiny.json"
        path.write_text(json.dumps(config))
        return self.sinter("convert", "--random", 1, "--config", path, *options)


class Names(ModelsTest):
    def test_a_model_from_conversion_to_removal(self):
        result = self.sinter("list")
        self.assert_done(result)
        self.assertIn("sinter convert", result.stdout)
        converted = self.convert_random(convert_test.CONFIG)
        self.assert_done(converted)
        self.assertIn(f"{self.models}/tiny-random: llama", converted.stdout)
        self.assertIn("\nnext: sinter chat tiny-random\n", converted.stdout)
        # A second one would have the same name.
        self.assert_fails(self.convert_random(convert_test.CONFIG), "sinter rm tiny-random")
        self.assert_done(self.convert_random(convert_test.CONFIG, "--bits", 8))
        self.assert_done(self.sinter("run", "tiny-random", "-p", "hello", "-n", 3, "--greedy"))
        self.assert_done(self.sinter("inspect", "tiny-random"))
        self.assert_done(self.sinter("tokenize", "tiny-random", "hello"))
        listed = self.sinter("list").stdout
        self.assertRegex(listed, r"(?m)^tiny-random +[\d.]+ kB +llama +4 +\d+ +no +~/\.local/share/")
        self.assertRegex(listed, r"(?m)^tiny-random-int8 +[\d.]+ kB +llama +8 ")
        removed = self.sinter("rm", "tiny-random", "--yes")
        self.assert_done(removed)
        self.assertRegex(removed.stdout, r"\Aremoved tiny-random \([\d.]+ kB\)\n\Z")
        self.assertEqual([path.name for path in self.models.iterdir()], ["tiny-random-int8"])

    def test_a_checkpoint_gets_its_own_name(self):
        checkpoints = convert_test.Convert("test_checkpoint_runs")
        checkpoints.temp = self.temp
        checkpoint = checkpoints.write_checkpoint()
        snapshot = self.temp / "models--Owner--Tiny-1B" / "snapshots" / "0123"
        snapshot.parent.mkdir(parents=True)
        checkpoint.rename(snapshot)
        result = self.sinter("convert", snapshot)
        self.assert_done(result)
        self.assertIn(f"{self.models}/tiny-1b: ", result.stdout)
        self.assertTrue((self.models / "tiny-1b" / "model.onnx").is_file())

    def test_folders_of_the_configuration(self):
        config = self.home / ".config" / "sinter" / "config.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"models": [str(DEMO.parent)]}))
        self.assertRegex(self.sinter("list").stdout, r"(?m)^demo +3\.3 MB +qwen3 +4 +1024 ")
        answer = self.sinter("run", "demo", "-p", "What is 7 + 8?", "-q")
        self.assertEqual(answer.stdout, "7 + 8 = 15.\n", answer.stderr)
        # It is not Sinter's to remove.
        self.assert_fails(self.sinter("rm", "demo", "--yes"), "got no model of that name")
        # A path that exists comes first.
        (self.temp / "demo").mkdir()
        self.assert_fails(self.sinter("inspect", "demo", cwd=self.temp), "demo")

    def test_what_cannot_be_read_is_listed(self):
        broken = self.models / "broken"
        broken.mkdir(parents=True)
        (broken / "genai_config.json").write_text("{")
        result = self.sinter("list")
        self.assert_done(result)
        self.assertRegex(result.stdout, r"(?m)^broken +cannot be read: \[config\] ")
        # A name that is given twice is removed once.
        self.assert_done(self.sinter("rm", "broken", "broken", "-y"))
        # A copy that was cut short.
        broken.mkdir()
        (broken / "config.json").write_text("{}")
        self.assertRegex(self.sinter("list").stdout, r"(?m)^broken +cannot be read: ")
        removed = self.sinter("rm", "broken", "broken", "-y", "--json")
        self.assertEqual([model["name"] for model in json.loads(removed.stdout)["removed"]], ["broken"])

    def test_removes_nothing_else(self):
        outside = self.copy_demo("outside")
        self.models.mkdir(parents=True)
        (self.models / "link").symlink_to(outside)
        (self.models / "notes").mkdir()
        for name in ("../outside", str(outside), "..", ".", "link/.."):
            self.assert_fails(self.sinter("rm", name, "--yes"), "want the name of a model")
        self.assert_usage(self.sinter("rm", "", "--yes"), "NAME: got ''")
        self.assert_fails(self.sinter("rm", "notes", "--yes"), "want a model folder")
        # Nothing is removed if one of the names is wrong.
        self.assert_fails(self.sinter("rm", "link", "absent", "--yes"), "'absent'")
        self.assertTrue((self.models / "link").is_symlink())
        self.assert_done(self.sinter("rm", "link", "--yes"))
        self.assertFalse((self.models / "link").is_symlink())
        self.assertTrue((outside / "model.onnx").is_file())

    def test_asks_only_on_a_terminal(self):
        self.assert_done(self.convert_random(convert_test.CONFIG))
        result = self.sinter("rm", "tiny-random", stdin=b"y\n")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("there is no terminal to ask on; add --yes", result.stderr)
        for answer, code, there in (b"n\n", 1, True), (b"\n", 1, True), (b"y\n", 0, False):
            terminal = Terminal(self, 80, "rm", "tiny-random", env=self.env)
            terminal.wait_for(b"[y/N] ")
            terminal.type(answer)
            self.assertEqual(terminal.finish(), code)
            self.assertEqual((self.models / "tiny-random").exists(), there)


class Memory(ModelsTest):
    def test_the_default_is_less_than_a_long_context(self):
        self.assert_done(self.convert_random(LONG))
        ask = ("run", "tiny-random", "--raw", "-p", "hello", "-n", 2, "--greedy")
        result = self.sinter(*ask)
        self.assert_done(result)
        self.assertIn("sinter: room for 8192 of the model's 131072 tokens; --max-length N for more\n",
                      result.stderr)
        # What is asked for, is quiet about it, or is read by a program needs no note.
        for options in (["--max-length", 9000], ["-q"], ["--json"]):
            self.assertNotIn("room for", self.sinter(*ask, *options).stderr)
        # A longer prompt makes room for itself, up to the context.
        too_long = self.sinter("run", "tiny-random", "--raw", "-p", "-", stdin=b"hello " * 25_000)
        self.assert_fails(too_long, "tokens, want at most 131072 (")
        inspected = json.loads(self.sinter("inspect", "tiny-random", "--json").stdout)
        self.assertEqual(inspected["max_length"], 8192)
        self.assertGreater(inspected["whole_context"]["kv_cache_bytes"], 15 * inspected["kv_cache_bytes"])
        shown = self.sinter("inspect", "tiny-random").stdout
        self.assertRegex(shown, r"(?m)^ +8192 +131072  tokens")
        self.assertRegex(shown, r"(?m)^ +[\d.]+ MB +[\d.]+ MB  KV cache$")

    def test_capped_address_space(self):
        """Under ulimit -v a software GPU's compiler crashes without memory; Sinter must not get there."""
        if b"llvmpipe" not in run("devices").stdout.encode().splitlines()[0]:
            return  # a GPU's driver takes address space that says nothing about memory
        wide = {**LONG, "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 16,
                "intermediate_size": 2048, "head_dim": 64, "vocab_size": 32000}
        self.assert_done(self.convert_random(wide))
        ask = ("run", "tiny-random", "--raw", "-p", "hello", "-n", 2, "-q")
        codes = []
        for megabytes in (600, 1100, 1200, 1300, 1600, 4000):
            limit = megabytes << 20
            result = self.sinter(*ask, preexec_fn=lambda limit=limit: resource.setrlimit(
                resource.RLIMIT_AS, (limit, limit)))
            self.assert_survives(result, f"ulimit -v {megabytes << 10}")
            codes.append(result.returncode)
        self.assertEqual((codes[0], codes[-1]), (1, 0))
        limit = 1600 << 20
        capped = self.sinter(*ask, "--max-length", 131072, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_AS, (limit, limit)))
        self.assert_fails(capped, "[model] memory of llvmpipe", " free under ulimit -v, want ", "KV cache",
                          "a maximum length of")


class Terminal:
    """A program on a pseudo-terminal, and what it writes there."""

    def __init__(self, test, columns, *command, env=None, **options):
        self.test = test
        self.begin = time.monotonic()
        self.process, self.master = start_on_terminal(test, 24, columns, *command,
                                                      env={"TERM": "xterm", **(env or {})}, **options)
        self.screen = b""

    def read(self, seconds):
        """Appends what comes within the time. Returns False at the end of the program's output."""
        if select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return False
            self.screen += data
            return bool(data)
        return True

    def wait_for(self, text):
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while text not in self.screen:
            self.test.assertLess(time.monotonic(), deadline, self.screen)
            self.test.assertTrue(self.read(0.1) or text in self.screen, self.screen)

    def type(self, text):
        os.write(self.master, text)

    def finish(self):
        while self.read(1):
            self.test.assertLess(time.monotonic(), self.begin + TIMEOUT_SECONDS, self.screen)
        return self.process.wait(TIMEOUT_SECONDS)

    def lines(self):
        """Returns what stood on the status line, each text once."""
        seen = re.findall(rb"\r([^\r\n\x1b]+)\x1b\[K", self.screen)
        return list(dict.fromkeys(seen))


class Waiting(ModelsTest):
    """Tests of the status line. Sinter caches no shader, so that the load takes its time."""

    ASK = ("run", DEMO, "-p", "What is 7 + 8?", "-q", "--no-cache")

    def test_the_line_fits_the_terminal(self):
        for columns in (40, 200):
            with self.subTest(columns):
                terminal = Terminal(self, columns, *self.ASK, env=self.env)
                terminal.wait_for(b"\x1b[K")
                self.assertEqual(terminal.finish(), 0)
                self.assertIn(b"7 + 8 = 15.", terminal.screen)
                lines = terminal.lines()
                self.assertTrue(lines)
                self.assertTrue(any(line.startswith((b"opening the GPU", b"reading the model",
                                                     b"compiling shaders: ")) for line in lines), lines)
                self.assertLess(max(map(len, lines)), columns)
                # The line is gone before the answer.
                self.assertRegex(terminal.screen, rb"\r\x1b\[K7 \+ 8")

    def test_a_terminal_without_escape_codes_gets_a_few_lines(self):
        terminal = Terminal(self, 80, *self.ASK, env={**self.env, "TERM": "dumb"})
        self.assertEqual(terminal.finish(), 0)
        self.assertNotIn(b"\x1b", terminal.screen)
        lines = terminal.screen.split(b"\r\n")
        self.assertIn(b"7 + 8 = 15.", lines)
        self.assertLess(len(lines), 12)
        self.assertNotIn(b"\r", b"".join(lines))

    def test_no_color_turns_off_colors_only(self):
        terminal = Terminal(self, 80, *self.ASK, env={**self.env, "NO_COLOR": "1"})
        self.assertEqual(terminal.finish(), 0)
        self.assertNotRegex(terminal.screen, rb"\x1b\[[0-9;]*m")
        self.assertRegex(terminal.screen, rb"\r\x1b\[K7 \+ 8")

    def test_a_pipe_gets_no_escape_codes(self):
        result = self.sinter(*self.ASK)
        self.assertEqual(result.stdout, "7 + 8 = 15.\n")
        self.assertNotIn("\x1b", result.stderr)
        self.assertLess(len(result.stderr.splitlines()), 5)

    def test_ctrl_c_ends_every_phase(self):
        for seconds in (0.1, 0.25, 0.4, 0.7, 1.0):
            with self.subTest(seconds):
                terminal = Terminal(self, 80, *self.ASK, env=self.env)
                while time.monotonic() < terminal.begin + seconds and terminal.read(0.01):
                    pass
                typed = time.monotonic()
                terminal.type(b"\x03")
                code = terminal.finish()
                if b"7 + 8" in terminal.screen:
                    continue  # a quick machine was done before
                # The shell that starts the program knows the signal by another code.
                self.assertIn(code, (130, -signal.SIGINT), terminal.screen)
                # On a busy machine 0.3 s may become more.
                self.assertLess(time.monotonic() - typed, 5)

    def test_ctrl_c_ends_tokenizing_and_converting(self):
        text = self.temp / "text"
        text.write_bytes(b"Once upon a time there was a kite. " * 2_000_000)
        with text.open("rb") as file:
            self.interrupt(["tokenize", str(DEMO), "-"], stdin=file)
        wide = {**LONG, "hidden_size": 4096, "num_hidden_layers": 8, "intermediate_size": 8192,
                "head_dim": 64, "vocab_size": 128000}
        (self.temp / "wide.json").write_text(json.dumps(wide))
        self.interrupt(["convert", "--random", "1", "--config", str(self.temp / "wide.json")])
        self.assertEqual(list(self.models.iterdir()), [], "nothing is left of it")

    def interrupt(self, command, **options):
        with subprocess.Popen(arguments(*command), env=self.env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, **options) as process:
            time.sleep(1)
            self.assertIsNone(process.poll(), "it ended before the signal")
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=TIMEOUT_SECONDS)
            self.assertEqual((process.returncode, err), (130, b""))
            self.assertLess(time.monotonic() - sent, 5)


if __name__ == "__main__":
    unittest.main()
