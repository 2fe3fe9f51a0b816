"""Tests of sinter bench: its figures, the files it writes, and its errors."""

import csv
import json
import struct
import unittest

from sinter_cli import DEMO, DEVICE, CliTest, run

# Options for a run of a few seconds.
SMALL = ["-n", "4", "-r", "2"] + (["--device", DEVICE] if DEVICE else [])


def bench(*options, model=DEMO):
    return run("bench", model, *SMALL, *options)


class Figures(CliTest):
    def assert_spread(self, spread):
        self.assertGreater(spread["min"], 0)
        self.assertLessEqual(spread["min"], spread["median"])
        self.assertLessEqual(spread["median"], spread["max"])

    def test_every_figure_is_there(self):
        table = self.temp / "figures.csv"
        result = bench("--prompt", "5,20", "--context", "7", "--csv", table, "--json")
        self.assert_done(result)
        figures = json.loads(result.stdout)
        self.assertEqual([row["tokens"] for row in figures["prefill"]], [5, 20])
        for row in figures["prefill"]:
            self.assert_spread(row["tokens_per_second"])
            self.assert_spread(row["time_to_first_token_seconds"])
            self.assertAlmostEqual(row["tokens_per_second"]["max"] * row["seconds"]["min"], row["tokens"])
        (row,) = figures["decode"]
        self.assertEqual((row["context"], row["new_tokens"]), (7, 4))
        self.assert_spread(row["tokens_per_second"])
        self.assert_spread(row["cpu_seconds_per_token"])
        self.assertEqual(row["bytes_per_token"], row["weight_bytes_per_token"] + row["kv_bytes_per_token"])
        self.assertGreater(row["read_bandwidth_share"], 0)

        memory = figures["memory"]
        self.assertEqual(memory["total_bytes"], memory["weights_bytes"] + memory["kv_cache_bytes"] +
                         memory["workspace_bytes"])
        # A token reads all weights once, except that it reads only one row of the embedding.
        self.assertLessEqual(row["weight_bytes_per_token"], memory["weights_bytes"])
        self.assertGreater(row["weight_bytes_per_token"], memory["weights_bytes"] / 2)
        self.assertGreater(figures["load"]["cold_seconds"], 0)
        self.assertGreater(figures["load"]["warm_seconds"], 0)
        self.assertGreater(figures["read_bandwidth_bytes_per_second"], 1e6)
        # The peak is 0 on an adapter without matrix units.
        self.assertGreaterEqual(figures["matrix_peak_flops_per_second"], 0)
        self.assertEqual(figures["max_length"], 24)
        # The chunk is limited by the longest sequence.
        self.assertEqual(figures["chunk"], 24)

        with table.open(newline="") as stream:
            rows = {(line["figure"], int(line["tokens"])): line for line in csv.DictReader(stream)}
        self.assertAlmostEqual(float(rows["decode", 7]["median"]), row["tokens_per_second"]["median"], 3)
        self.assertIn(("prefill", 20), rows)
        self.assertIn(("load_cold", 0), rows)

    def test_kv_bytes_grow_with_the_context(self):
        result = bench("--prompt", "4", "--context", "4,36", "--no-cold-load", "--json")
        self.assert_done(result)
        near, far = (row["kv_bytes_per_token"] for row in json.loads(result.stdout)["decode"])
        # The four new tokens read 2 more rows on average: 4 + 2 and 36 + 2.
        self.assertAlmostEqual(far / near, 38 / 6)

    def test_table(self):
        result = bench("--prompt", "8", "--no-cold-load")
        self.assert_done(result)
        for words in ("prefill tokens/s", "time to first token", "decode tokens/s", "CPU us a token",
                      "GPU memory", "dispatches", "of roof"):
            self.assertIn(words, result.stdout)
        self.assertNotIn("cold", result.stdout)

    def test_the_logits_are_those_of_the_tokens(self):
        ids, logits = self.temp / "ids.json", self.temp / "logits.f32"
        ids.write_text("[1, 7, 30, 2]")
        result = bench("--prompt-ids", ids, "--logits", logits, "--no-cold-load", "--json")
        self.assert_done(result)
        made = json.loads(result.stdout)["logits"]
        vocab = made["vocab_size"]
        data = logits.read_bytes()
        self.assertEqual(len(data), 4 * vocab * 4)
        for step, token in enumerate(made["tokens"]):
            row = struct.unpack_from(f"<{vocab}f", data, step * vocab * 4)
            self.assertEqual(row[token], max(row))


class Batches(CliTest):
    def test_every_figure_is_there(self):
        table = self.temp / "figures.csv"
        result = bench("--batch", "1,3", "--context", "9", "--csv", table, "--json")
        self.assert_done(result)
        figures = json.loads(result.stdout)
        rows = figures["batch"]
        self.assertEqual([(row["sequences"], row["context"], row["new_tokens"]) for row in rows],
                         [(1, 9, 4), (3, 9, 4)])
        for row in rows:
            for name in ("tokens_per_second", "seconds_per_step", "cpu_seconds_per_step",
                         "time_to_first_token_seconds", "seconds_between_tokens"):
                self.assertGreater(row[name]["min"], 0, name)
                self.assertLessEqual(row[name]["min"], row[name]["median"], name)
                self.assertLessEqual(row[name]["median"], row[name]["max"], name)
            self.assertAlmostEqual(row["tokens_per_second"]["max"] * row["seconds_per_step"]["min"],
                                   row["sequences"])
            self.assertEqual(row["bytes_per_step"], row["weight_bytes_per_step"] + row["kv_bytes_per_step"])
            bound = (row["sequences"] / row["bytes_per_step"] * figures["read_bandwidth_bytes_per_second"])
            self.assertAlmostEqual(row["bound_tokens_per_second"] / bound, 1)
            self.assertAlmostEqual(row["read_bandwidth_share"] * bound / row["tokens_per_second"]["median"], 1)
        # Weights are read once for all, but for the rows of the embedding; keys by each. The three have
        # 9 tokens, those before the phase, and half of the phase.
        one, three = rows
        self.assertLess(three["weight_bytes_per_step"] / one["weight_bytes_per_step"], 1.01)
        single = json.loads(bench("--prompt", "9", "--no-cold-load", "--json").stdout)["decode"][0]
        self.assertAlmostEqual(one["weight_bytes_per_step"], single["weight_bytes_per_token"])
        # 9 tokens, the first new one, and half of the three after it: 11.5, where `single` counts 11.
        self.assertAlmostEqual(one["kv_bytes_per_step"] / single["kv_bytes_per_token"], 11.5 / 11)
        self.assertGreaterEqual(three["kv_bytes_per_step"], 3 * one["kv_bytes_per_step"])
        self.assertGreaterEqual(figures["kv_tokens"], 3 * figures["max_length"])

        with table.open(newline="") as stream:
            lines = {(line["figure"], line["sequences"], line["context"]): line for line in csv.DictReader(stream)}
        self.assertAlmostEqual(float(lines["decode", "3", "9"]["median"]), three["tokens_per_second"]["median"], 3)
        self.assertIn(("time_to_first_token", "1", "9"), lines)

    def test_table(self):
        result = bench("--batch", "2", "--context", "3", "--deterministic")
        self.assert_done(result)
        for words in ("sequences", "decode tokens/s", "bound", "time to first token", "between tokens"):
            self.assertIn(words, result.stdout)

    def test_refusals(self):
        for value in ("0", "65", "many"):
            self.assert_usage(run("bench", DEMO, "--batch", value), f"got {value}" if value != "many" else "many")
        self.assert_usage(run("bench", DEMO, "--batch", "2", "--prompt", "3"), "--batch", "--prompt")
        self.assert_usage(run("bench", DEMO, "--deterministic"), "--batch")
        self.assert_fails(run("bench", DEMO, "--batch", "2", "--context", "1020", "-n", "10"), "1020", "1024")


class Profiles(CliTest):
    def profile(self, *options):
        trace = self.temp / "trace.json"
        result = bench("--prompt", "9", "--no-cold-load", "--json", "--trace", trace, *options)
        self.assert_done(result)
        return json.loads(result.stdout), json.loads(trace.read_text())["traceEvents"]

    def test_replayed_and_recorded_anew_are_the_same_kernels(self):
        replayed, _ = self.profile()
        recorded, _ = self.profile("--no-capture")
        for one, other in zip(replayed["profiles"], recorded["profiles"], strict=True):
            self.assertEqual({kernel["variant"]: kernel["count"] for kernel in one["kernels"]},
                             {kernel["variant"]: kernel["count"] for kernel in other["kernels"]})

    def test_more_runs_than_tokens(self):
        figures, _ = self.profile("--warm-up", "4")
        self.assertEqual([profile["runs"] for profile in figures["profiles"]], [2, 2])

    def test_every_dispatch_of_a_token_is_in_it(self):
        figures, events = self.profile()
        prefill, decode = figures["profiles"]
        self.assertEqual(sum(kernel["count"] for kernel in decode["kernels"]),
                         figures["dispatches_per_token"])
        for profile in (prefill, decode):
            self.assertAlmostEqual(sum(kernel["share"] for kernel in profile["kernels"]), 1)
            times = [kernel["microseconds"] for kernel in profile["kernels"]]
            self.assertEqual(times, sorted(times, reverse=True))
            products = [kernel for kernel in profile["kernels"] if kernel["variant"].startswith("matmul_nbits")]
            self.assertTrue(products)
            self.assertTrue(all(kernel["flops"] > 0 and kernel["bytes"] > 0 for kernel in products))
        # The trace holds the last prefill run as process 1, and both profiled tokens as process 2.
        dispatches = [event for event in events if event["ph"] == "X"]
        self.assertEqual(sum(event["pid"] == 2 for event in dispatches), 2 * figures["dispatches_per_token"])
        self.assertEqual(sum(event["pid"] == 1 for event in dispatches),
                         sum(kernel["count"] for kernel in prefill["kernels"]))


class Refusals(CliTest):
    def test_numbers_out_of_range(self):
        for option, value in (("--prompt", "0"), ("--context", "-1"), ("-n", "1"), ("-r", "0"), ("--warm-up", "-1")):
            self.assert_usage(run("bench", DEMO, option, value), f"got {value}")

    def test_more_tokens_than_there_is_room_for(self):
        self.assert_fails(run("bench", DEMO, "--prompt", "1020", "-n", "10"), "got 1020", "1024")
        self.assert_fails(run("bench", DEMO, "--prompt", "30", "-n", "10", "--max-length", "32"), "32")
        self.assert_usage(run("bench", DEMO, "--prompt", "3", "-n", "4", "--max-length", "0"), "--max-length")

    def test_files(self):
        missing = self.temp / "missing" / "file"
        self.assert_fails(run("bench", self.temp / "none"), "none")
        self.assert_fails(run("bench", DEMO, "--prompt-ids", missing), "file")
        bad = self.temp / "bad.json"
        for text in ("[1, 2", '{"a": 1}', "[]", '["a"]'):
            bad.write_text(text)
            self.assert_fails(run("bench", DEMO, "--prompt-ids", bad), "bad.json")
        bad.write_text("[1, 99999999]")
        self.assert_fails(bench("--prompt-ids", bad, "--no-cold-load"), "99999999")
        self.assert_fails(bench("--prompt", "4", "--no-cold-load", "--csv", missing), "file")
        self.assert_fails(bench("--prompt", "4", "--no-cold-load", "--trace", missing), "file")
        self.assert_fails(bench("--prompt", "4", "--no-cold-load", "--logits", missing), "file")


if __name__ == "__main__":
    unittest.main()
