"""Tests of whole runs: conversations, interruptions, closed pipes, unusual environments."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import unittest

from sinter_cli import COMMAND, DEMO, TIMEOUT_SECONDS, CliTest, arguments, run, start
from terminal import TerminalTest


def wait_until_armed(process):
    """Waits until the program has set its signal handlers.

    Before that, the handlers are those of the launcher and the loader.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        ignored = int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16)
        if ignored >> (signal.SIGPIPE - 1) & 1:
            return
        time.sleep(0.002)
    raise TimeoutError("the program never set its signals")


class Answers(CliTest):
    def test_the_same_seed_gives_the_same_text(self):
        def story(seed):
            result = run("run", DEMO, "--raw", "-p", "Once upon a time", "--temperature", "1.2", "--seed",
                         seed, "-n", "24", "-q")
            self.assert_done(result)
            return result.stdout
        self.assertEqual(story(7), story(7))
        self.assertNotEqual(story(7), story(8))

    def test_without_a_seed_each_story_is_another_one_and_can_be_had_again(self):
        def story(*options):
            result = run("run", DEMO, "--raw", "-p", "Once upon a time", "-n", "24", "--json", *options)
            self.assert_done(result)
            answer = json.loads(result.stdout)
            return answer["seed"], answer["text"]
        seed, text = story("--temperature", "1.2")
        other_seed, other_text = story("--temperature", "1.2")
        self.assertNotEqual((seed, text), (other_seed, other_text))
        self.assertNotEqual(text, other_text)
        self.assertEqual(story("--temperature", "1.2", "--seed", seed), (seed, text))
        self.assertIsNone(story("--greedy")[0])

    def test_figures(self):
        result = run("run", DEMO, "--raw", "-p", "Once", "--temperature", "1", "-n", "1")
        self.assertRegex(result.stderr,
                         r"^\[.*: load [0-9.]+ s; prompt [0-9]+ tokens? in [0-9.]+ s; answer 1 token; "
                         r"max_new_tokens; seed [0-9]+\]\n$")
        result = run("run", DEMO, "-p", "What is 7 + 8?", "-n", "3", "--seed", "1")
        self.assertRegex(result.stderr, r"; answer 3 tokens, [0-9.]+ tokens/s; max_new_tokens\]\n$")

    def test_greedy_however_it_is_asked_for(self):
        texts = {run("run", DEMO, "-p", "What is 31 - 4?", "-q", *options).stdout
                 for options in (["--greedy"], ["--temperature", "0"], ["--sample", "--top-k", "1"],
                                 ["--no-capture"], ["--chunk", "1"], ["--f32"], ["--no-cache"],
                                 ["--chunk", "3", "--max-length", "64"])}
        self.assertEqual(texts, {"31 - 4 = 27.\n"})

    def test_stop(self):
        # --stop takes exactly one text, so the folder may follow it.
        result = run("run", "--stop", " =", DEMO, "-p", "What is 7 + 8?", "--json")
        self.assert_done(result)
        answer = json.loads(result.stdout)
        self.assertEqual((answer["text"], answer["finish_reason"]), ("7 + 8", "stop_string"))

    def test_lengths(self):
        result = run("run", DEMO, "-p", "What is 7 + 8?", "-n", "2", "--json")
        answer = json.loads(result.stdout)
        self.assertEqual((len(answer["tokens"]), answer["finish_reason"]), (2, "max_new_tokens"))
        result = run("run", DEMO, "--raw", "-p", "Once upon a time", "--max-length", "20", "--json")
        answer = json.loads(result.stdout)
        self.assertEqual(answer["finish_reason"], "max_length")
        self.assertEqual(answer["prompt_tokens"] + len(answer["tokens"]), 20)

    def test_odd_prompts(self):
        for prompt in (b"", b"\x01\x02\x7f", "\U0001f600 \u0301".encode(), b"<|im_end|>" * 3,
                       b" " * 200):
            with self.subTest(prompt):
                result = subprocess.run([*arguments("run", DEMO, "--json", "-n", "4", "-p"), prompt],
                                        capture_output=True, timeout=TIMEOUT_SECONDS)
                self.assertEqual(result.returncode, 0, result.stderr)
                json.loads(result.stdout)
        # Standard input is the only way to pass a zero byte.
        self.assert_done(run("run", DEMO, "-p", "-", "-n", "4", stdin=b"What\0 is\n"))


class Conversations(CliTest):
    def test_two_turns(self):
        result = run("chat", DEMO, stdin=b"What is 7 + 8?\nAnd 62 - 17?\n")
        self.assert_done(result)
        self.assertEqual(result.stdout, "7 + 8 = 15.\n62 - 17 = 45.\n")
        self.assertEqual(result.stderr, "")

    def test_reset_and_exit(self):
        lines = b"What is 7 + 8?\n\n/reset\nWhat is 7 + 8?\n/exit\nWhat is 1 + 1?\n"
        result = run("chat", DEMO, "--json", stdin=lines)
        self.assert_done(result)
        first, second = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(first["text"], second["text"])
        self.assertEqual(first["conversation_tokens"], second["conversation_tokens"])

    def test_what_ran_before_does_not_run_again(self):
        result = run("chat", DEMO, "--json", stdin=b"What is 7 + 8?\nAnd 62 - 17?\n")
        second = json.loads(result.stdout.splitlines()[1])
        self.assertLess(second["prompt_tokens"], second["conversation_tokens"])


class Interruptions(CliTest):
    def interrupt_after(self, seconds):
        process = start("run", DEMO, "--raw", "-p", "Once upon a time", stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
        wait_until_armed(process)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        return process.returncode, out, err

    def test_while_loading(self):
        for seconds in (0, 0.03, 0.1, 0.2):
            code, _, err = self.interrupt_after(seconds)
            self.assertEqual(code, 130, err)

    def test_while_generating(self):
        # This seed gives an answer of hundreds of tokens; with some others the answer ends before the
        # signal arrives.
        process = start("run", DEMO, "--raw", "-p", "Once upon a time", "--sample", "--temperature", "5",
                        "--seed", "5", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 130, err)
        self.assertTrue(out.endswith(b"\n"))
        self.assertIn(b"cancelled", err)

    def test_while_waiting_for_input(self):
        process = start("chat", DEMO, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
        process.stdin.write(b"What is 7 + 8?\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"7 + 8 = 15.\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT_SECONDS), 130)
        process.stdin.close()
        process.stdout.close()
        process.stderr.close()

    def test_nobody_reads(self):
        read, write = os.pipe()
        process = start("run", DEMO, "--raw", "-p", "Once upon a time", stdout=write,
                        stderr=subprocess.PIPE)
        os.close(write)
        os.read(read, 1)
        os.close(read)
        _, err = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual((process.returncode, err), (141, b""))

    def test_nowhere_to_write(self):
        with open("/dev/full", "wb") as full:
            process = start("inspect", DEMO, stdout=full, stderr=subprocess.PIPE)
            _, err = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"[cli] standard output: got 'No space left on device'", err)

    def test_closed_standard_output(self):
        result = run("run", DEMO, "-p", "hi", preexec_fn=lambda: os.close(1))
        self.assert_fails(result, "[cli] standard output")


class FirstRun(TerminalTest):
    def test_says_that_it_compiles(self):
        """Without a shader cache, a software GPU's first token takes long."""
        self.open("run", DEMO, "-p", "What is 7 + 8?", "-q", "--no-cache",
                  env={**os.environ, "MESA_SHADER_CACHE_DISABLE": "true"})
        screen = self.read_until(b"7 + 8 = 15.")
        if b"llvmpipe" in run("devices").stdout.encode().splitlines()[0]:
            self.assertRegex(screen, rb"waiting for the first token: \d+ s \(a software GPU compiles new shaders\)\x1b\[K")
        self.assertEqual(self.process.wait(TIMEOUT_SECONDS), 0)


class Surroundings(CliTest):
    def answer(self, environment):
        result = run("run", DEMO, "-p", "What is 7 + 8?", "-q", env=environment)
        self.assert_done(result)
        # Standard error is not checked: a driver may report there that its own cache is off.
        self.assertEqual(result.stdout, "7 + 8 = 15.\n")

    def test_no_home(self):
        self.answer({key: value for key, value in os.environ.items()
                     if key not in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")})

    def test_a_cache_that_cannot_be_written(self):
        result = run("run", DEMO, "-p", "What is 7 + 8?", env={**os.environ, "XDG_CACHE_HOME": "/dev/null"})
        self.assert_done(result)
        self.assertEqual(result.stdout, "7 + 8 = 15.\n")
        self.assertIn("cannot write to /dev/null/sinter/pipelines: each start compiles", result.stderr)
        folder = self.temp / "read-only"
        folder.mkdir(mode=0o500)
        self.answer({**os.environ, "XDG_CACHE_HOME": str(folder)})

    def test_a_damaged_cache(self):
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.temp)}
        self.answer(environment)
        entries = [entry for entry in (self.temp / "sinter").rglob("*") if entry.is_file()]
        for index, entry in enumerate(entries):
            data = bytearray(entry.read_bytes())
            if index % 4 == 0:
                data[len(data) // 2] ^= 0xFF
                entry.write_bytes(data)
            elif index % 4 == 1:
                entry.write_bytes(data[:len(data) // 2])
            elif index % 4 == 2:
                data[16:24] = b"\xff" * 7 + b"\x7f"  # the value's length
                entry.write_bytes(data)
            else:
                entry.unlink()
                os.mkfifo(entry)
        self.answer(environment)

    def test_another_folder(self):
        result = subprocess.run([*COMMAND, "inspect", "."], cwd=DEMO, capture_output=True,
                                timeout=TIMEOUT_SECONDS)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
