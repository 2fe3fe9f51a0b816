#!/usr/bin/env python3
"""Tests compare.py with made-up programs in place of Sinter and ONNX Runtime."""

import contextlib
import io
import json
import pathlib
import shlex
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare  # noqa: E402

# A stand-in for both programs: it writes the logits it is given and prints the figures of either.
PROGRAM = """
import array, json, sys
logits, rate, line = json.loads(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
spread = {"median": rate, "min": rate - 1, "max": rate + 1}
record = {
    "sinter": "1", "device": {"name": "gpu", "driver": "driver"}, "load": {"warm_seconds": 1},
    "prefill": [{"tokens_per_second": spread, "time_to_first_token_seconds": spread}],
    "decode": [{"tokens_per_second": spread, "bytes_per_token": 1}],
    "read_bandwidth_bytes_per_second": 1, "dispatches_per_token": 1,
    "onnxruntime": "2", "provider": "webgpu", "capture": True, "capture_refused": "", "load_seconds": 1,
    "prefill_tokens_per_second": spread, "time_to_first_token_seconds": spread, "decode_tokens_per_second": spread,
    "decode_unread_tokens_per_second": spread,
}
if "--logits" in line:
    file = line[line.index("--logits") + 1]
    open(file, "wb").write(array.array("f", sum(logits, [])).tobytes())
    record["logits"] = {"file": file, "vocab_size": len(logits[0]), "tokens": [max(range(len(r)), key=r.__getitem__) for r in logits]}
print(json.dumps(record))
"""

SAME = [[0, 1, 0], [2, 0, 0]]
PARTED = [[0, 1, 0], [2, 0, 2.5], [9, 0, 0]]


class CompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.temp = pathlib.Path(folder.name)
        self.program = self.temp / "program.py"
        self.program.write_text(PROGRAM)
        self.model = self.temp / "model"
        self.model.mkdir()
        (self.model / "genai_config.json").write_text('{"model": {"vocab_size": 3}}')

    def command(self, logits, rate):
        return shlex.join([sys.executable, str(self.program), json.dumps(logits), str(rate)])

    def compare(self, ours, theirs, *options, models=()):
        output = self.temp / "results.json"
        arguments = ["compare.py", "--sinter", self.command(ours, 30), "--ort", self.command(theirs, 10), "-n", "2",
                     "--output", str(output), *options, str(self.model), *map(str, models)]
        # compare.main() calls sys.stdout.reconfigure, which a StringIO does not have.
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(printed), \
                contextlib.redirect_stderr(io.StringIO()):
            code = compare.main()
        printed.seek(0)
        return code, json.loads(output.read_text()), printed.read()

    def test_ratio_of_medians(self):
        code, record, printed = self.compare(SAME, SAME, "--rounds", "2")
        self.assertEqual(code, 0)
        figure = record["results"][0]["figures"]["decode_tokens_per_second"]
        self.assertEqual(figure["ratio"], 3)
        self.assertEqual(figure["sinter"], {"median": 30, "min": 29, "max": 31})
        self.assertIn("all 2 greedy tokens are the same", printed)
        self.assertEqual(record["results"][0]["logits"]["max_abs"], 0)

    def test_where_tokens_part(self):
        code, record, printed = self.compare([[0, 1, 0], [2, 0, 1], [0, 0, 9]], PARTED)
        logits = record["results"][0]["logits"]
        self.assertEqual((code, logits["parted_at"], logits["rows"]), (0, 1, 2))
        # In the third row the two sequences differ, so it does not count.
        self.assertEqual(logits["max_abs"], 1.5)
        self.assertEqual((logits["parted_gap_sinter"], logits["parted_gap_peer"]), (1, 0.5))
        self.assertIn("part at 1", printed)

    def test_tolerances(self):
        self.assertEqual(self.compare(SAME, SAME, "--max-abs", "0", "--min-cosine", "0.999999")[0], 0)
        code, _, printed = self.compare(SAME, [[0, 1, 0.5], [2, 0, 0]], "--max-abs", "0.1", "--min-cosine", "0.9")
        self.assertEqual(code, 1)
        self.assertIn("WRONG: max abs 0.5", printed)
        self.assertIn("WRONG: cosine", printed)

    def test_a_folder_that_fails_leaves_the_others(self):
        code, record, _ = self.compare(SAME, SAME, models=[self.temp / "none"])
        self.assertEqual(code, 1)
        self.assertIn("figures", record["results"][0])
        self.assertIn("none", record["results"][1]["error"])

    def test_a_nan_is_a_difference(self):
        for row in ([float("nan"), 1, 0], [0, 1, float("nan")], [0, float("inf"), 0]):
            code, _, printed = self.compare([row, [2, 0, 0]], SAME, "--max-abs", "1", "--min-cosine", "0")
            self.assertEqual(code, 1)
            self.assertIn("WRONG: cosine", printed)


if __name__ == "__main__":
    unittest.main()
