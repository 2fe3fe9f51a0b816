"""Tests of sinter run --batch: a file of prompts in, a line for each out."""

import json
import signal
import subprocess
import time
import unittest

from sinter_cli import DEMO, TIMEOUT_SECONDS, CliTest, run, start
from terminal import TerminalTest


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


class Batch(CliTest):
    def write(self, *lines):
        """Writes a file of prompts. A line is an object or a text."""
        path = self.temp / "prompts.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    def test_answers_are_those_of_single_runs(self):
        question = "What is 7 + 8?"
        alone = json.loads(run("run", DEMO, question, "--json").stdout)
        file = self.write(
            {"id": "prompt", "prompt": question},
            {"id": 2, "messages": [{"role": "user", "content": question}]},
            {"custom_id": "body", "method": "POST", "url": "/v1/chat/completions",
             "body": {"model": "any", "messages": [{"role": "user", "content": question}]}},
            {"id": "short", "prompt": question, "max_tokens": 2},
            {"id": "stop", "prompt": question, "stop": "15"},
            {"id": "drawn", "prompt": question, "temperature": 0.9, "seed": 5},
            {"prompt": "Once", "max_completion_tokens": 1})
        done = run("run", DEMO, "--batch", file, "--in-order", "--parallel", "3")
        self.assert_done(done)
        answers = lines_of(done.stdout)
        self.assertEqual([line["id"] for line in answers], ["prompt", 2, "body", "short", "stop", "drawn", None])
        self.assertEqual([line["line"] for line in answers], [1, 2, 3, 4, 5, 6, 7])
        for answer in answers[:3]:
            self.assertEqual(answer["text"], alone["text"])
            self.assertEqual(answer["finish_reason"], "end_token")
            self.assertEqual(answer["usage"]["prompt_tokens"], alone["prompt_tokens"])
            self.assertEqual(answer["usage"]["completion_tokens"], len(alone["tokens"]))
        self.assertEqual(answers[3]["usage"]["completion_tokens"], 2)
        self.assertEqual(answers[3]["finish_reason"], "max_new_tokens")
        self.assertEqual(answers[4]["text"], alone["text"].split("15")[0])
        self.assertEqual([answers[0]["seed"], answers[5]["seed"]], [None, 5])
        self.assertNotIn("answering", done.stderr, "a pipe gets no progress bar")

    def test_a_bad_line_fails_alone(self):
        file = self.write({"id": "good", "prompt": "Hi", "max_tokens": 2}, "{oops", "",
                          {"id": "n", "prompt": "Hi", "n": 2}, {"id": "good", "prompt": "again"},
                          {"id": "long", "prompt": "hello " * 400_000},
                          {"id": "token", "prompt": [99999]})
        out = self.temp / "answers.jsonl"
        done = run("run", DEMO, "--batch", file, "-o", out)
        self.assertEqual(done.returncode, 1, done.stderr)
        answers = {line["line"]: line for line in lines_of(out.read_text())}
        self.assertEqual(sorted(answers), [1, 2, 4, 5, 6, 7])
        self.assertIn("text", answers[1])
        for number, want in ((2, "line 2, column 2"), (4, "line 4: n: got 2, want 1"),
                             (5, 'id: got "good", which line 1 has'), (6, "want at most"), (7, "got 99999")):
            self.assertIn(want, answers[number]["error"]["message"])
            self.assertIn(f"line {number}", done.stderr)

    def test_an_interrupted_run_goes_on(self):
        file = self.write("{oops", *({"id": i, "prompt": "Once upon a time"} for i in range(16)))
        out = self.temp / "answers.jsonl"
        options = ("run", DEMO, "--batch", file, "--raw", "-n", "16", "--parallel", "2", "-o", out)
        with start(*options, "--json", stderr=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while process.poll() is None and not (out.exists() and b"text" in out.read_bytes()):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            stderr = process.communicate(timeout=TIMEOUT_SECONDS)[1].decode()
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn("--resume goes on", stderr)
        self.assertEqual(json.loads(stderr.splitlines()[-1])["error"]["area"], "signal")
        before = out.read_text()
        self.assertTrue(before.endswith("\n"))
        self.assertIn("error", lines_of(before)[0])
        self.assertLess(len(lines_of(before)), 17)

        self.assert_fails(run(*options), "a file that is not empty", "--resume")
        self.assertEqual(out.read_text(), before)
        with out.open("a") as stream:
            stream.write('{"id": 15, "te')  # as a full disk leaves it
        self.assertEqual(run(*options, "--resume").returncode, 1, "the bad line fails again")
        self.assertTrue(out.read_text().startswith(before))
        self.assertEqual(sorted(line["id"] for line in lines_of(out.read_text()) if "text" in line), list(range(16)))

    def test_input_and_output_that_fail(self):
        self.assert_fails(run("run", DEMO, "--batch", self.temp / "none"), "no such file")
        self.assert_fails(run("run", DEMO, "--batch", self.write("", " ")), "got no prompts")
        file = self.write({"prompt": "Hi", "max_tokens": 1}, {"prompt": "Hi", "max_tokens": 1})
        self.assert_fails(run("run", DEMO, "--batch", file, "-o", "/dev/full"), "/dev/full", "No space left")
        self.assert_fails(run("run", DEMO, "--batch", file, "-o", self.temp / "a", "--resume"), "line 1: got no id")
        self.assert_usage(run("run", DEMO, "--batch", file, "--resume"), "--resume")
        self.assert_usage(run("run", DEMO, "--batch", file, "-p", "Hi"), "--batch")
        self.assert_usage(run("run", DEMO, "--batch", file, "--kv-tokens", "8"), "--kv-tokens: got 8", "--max-length")
        self.assert_usage(run("run", DEMO, "-p", "Hi", "--parallel", "2"), "--batch")


class OnTerminal(TerminalTest):
    def test_a_bar_shows_progress(self):
        file = self.temp / "prompts.jsonl"
        file.write_text('{"prompt": "Once upon a time"}\n' * 16)
        self.open("run", DEMO, "--batch", file, "--raw", "-n", "16", "--parallel", "2", "-o", self.temp / "answers")
        self.read_until(b"answering [")
        self.read_until(b" of 16")
        self.read_until(b"16 answers in ")
        self.assertEqual(self.process.wait(TIMEOUT_SECONDS), 0)


if __name__ == "__main__":
    unittest.main()
