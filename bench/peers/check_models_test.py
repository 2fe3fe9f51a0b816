#!/usr/bin/env python3
"""Tests check_models.py with made-up results in place of Sinter's and ONNX Runtime's."""

import array
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_models  # noqa: E402

ROWS = [[0.0, 1.0, 0.5]] * 4


class CheckModelsTest(unittest.TestCase):
    def check(self, ours, theirs, *options, gpu="llvmpipe (LLVM 21)"):
        """Returns exit code and output if the programs give these rows of logits; None makes one fail."""
        def run(command):
            rows = ours if "bench" in command else theirs
            file = command[command.index("--logits") + 1]
            if rows is None:
                raise RuntimeError("no such operator")
            pathlib.Path(file).write_bytes(array.array("f", sum(rows, [])).tobytes())
            tokens = [max(range(3), key=row.__getitem__) for row in rows]
            return {"device": {"name": gpu}, "logits": {"file": file, "vocab_size": 3, "tokens": tokens}}

        def convert(checker, config, _):
            folder = pathlib.Path(checker.temp) / config
            folder.mkdir(exist_ok=True)
            (folder / "genai_config.json").write_text('{"model": {"vocab_size": 3}}')
            return str(folder)

        output = io.StringIO()
        with mock.patch.object(check_models.compare, "run", run), \
                mock.patch.object(check_models.Checker, "convert", convert), \
                mock.patch.object(sys, "argv", ["check_models.py", "--ort", "ort", "qwen3", *options]), \
                contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            return check_models.main(), output.getvalue()

    def test_same_logits(self):
        code, output = self.check(ROWS, ROWS)
        self.assertEqual(code, 0)
        self.assertIn("4 passed, 0 failed", output)

    def test_other_logits(self):
        other = [[0.1, 1.0, 0.5]] * 4
        code, output = self.check(ROWS, other, "--provider", "cpu")
        self.assertEqual(code, 1)
        self.assertIn("TOO FAR", output)
        self.assertIn("0 passed, 2 failed", output)

    def test_long_prompts_of_webgpu(self):
        other = [[0.1, 1.0, 0.5]] * 4
        _, output = self.check(ROWS, other, "--provider", "webgpu")
        self.assertIn("40: 2.7e-01 (FlashAttention on lavapipe)", output)
        self.assertIn("31: 2.7e-01 TOO FAR", output)
        _, output = self.check(ROWS, other, "--provider", "webgpu", gpu="a real one")
        self.assertIn("40: 2.7e-01 TOO FAR", output)

    def test_rows_behind_another_token_do_not_count(self):
        ours, theirs = [[0, 1, 1 - 1e-6], [0, 1, 0]], [[0, 1 - 1e-6, 1], [9, 9, 0]]
        code, output = self.check(ours, theirs, "--provider", "cpu")
        self.assertEqual(code, 0, output)
        self.assertIn("(1 rows)", output)

    def test_a_failing_program(self):
        code, output = self.check(ROWS, None, "--provider", "cpu")
        self.assertEqual(code, 1)
        self.assertIn("no result", output)
        self.assertIn("no such operator", output)


if __name__ == "__main__":
    unittest.main()
