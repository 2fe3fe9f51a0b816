"""Tests of options and their limits, text and JSON output, figures and exit codes."""

import json
import os
import unittest

from sinter_cli import DEMO, CliTest, run

SUBCOMMANDS = ("run", "chat", "inspect", "devices", "verify", "bench", "convert", "tokenize")


class Usage(CliTest):
    def assert_usage(self, result, *words):
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertRegex(result.stderr, r"\Asinter: \[usage\] [^\n]+--help\n\Z")
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)

    def test_wrong_usage(self):
        self.assert_usage(run("--"), "got '--', want a subcommand: run, chat,")
        self.assert_usage(run("frobnicate"), "frobnicate")
        self.assert_usage(run("chatt", DEMO), "got 'chatt', want a subcommand: ",
                          "; did you mean 'chat'?")
        # The option that does not exist is the news, not the one that is missing for that reason.
        self.assert_usage(run("run", DEMO, "--promt", "hi"),
                          "got '--promt', want an option of sinter run; did you mean '--prompt'?")
        self.assert_usage(run("run", DEMO, "-p", "hi", "--max_length=7"), "got '--max_length', ",
                          "'--max-length'")
        self.assert_usage(run("run", DEMO, "-p", "hi", "--fusion", "most"),
                          "--fusion: got 'most', want one of auto,none,layer,chain")
        self.assert_usage(run("run", DEMO, "-p", "hi", "--frobnicate"), "--frobnicate")
        self.assert_usage(run("run", DEMO), "--prompt", "--messages")
        self.assert_usage(run("run", "-p", "hi"), "MODEL")
        self.assert_usage(run("inspect", DEMO, "another"), "got 'another', want no argument")
        self.assert_usage(run("run", DEMO, "-p", "hi", "--temperature", "warm"),
                          "--temperature: got 'warm', want a number")
        self.assert_usage(run("run", DEMO, "-p", "hi", "--seed", "-1"), "--seed")
        self.assert_usage(run("run", DEMO, "-p", "hi", "-n", "1.5"), "--max-new-tokens")
        self.assert_usage(run("run", DEMO, "-p", "hi", "--greedy", "--sample"), "--greedy")

    def test_help(self):
        result = run("--help")
        self.assert_done(result)
        for subcommand in SUBCOMMANDS:
            self.assertIn(f"  {subcommand} ", result.stdout)
            of_subcommand = run(subcommand, "--help")
            self.assert_done(of_subcommand)
            self.assertIn("--json", of_subcommand.stdout)
            if subcommand not in ("convert", "tokenize"):  # these need no GPU
                self.assertIn("--device", of_subcommand.stdout)
            self.assertIn(f"  sinter {subcommand}", of_subcommand.stdout)

    def test_without_arguments_prints_the_help(self):
        result = run()
        self.assert_done(result)
        self.assertEqual((result.stdout, result.stderr), (run("--help").stdout, ""))

    def test_version(self):
        result = run("--version")
        self.assert_done(result)
        self.assertRegex(result.stdout, r"\Asinter \d+\.\d+\.\d+\n\Z")


class OutOfRange(CliTest):
    def assert_refused(self, options, *words):
        with self.subTest(" ".join(options)):
            self.assert_fails(run("run", DEMO, "-p", "hi", *options), *words)

    def test_lengths(self):
        for length in ("0", "-1", "1025", "99999999999"):
            self.assert_refused(["--max-length", length], "--max-length", f"got {length}", "1024")
            self.assert_fails(run("inspect", DEMO, "--max-length", length), "--max-length")
        for chunk in ("0", "-5"):
            self.assert_refused(["--chunk", chunk], "--chunk", f"got {chunk}")
            self.assert_fails(run("inspect", DEMO, "--chunk", chunk), "--chunk")
        self.assert_refused(["-n", "-1"], "--max-new-tokens", "got -1")

    def test_choice_of_tokens(self):
        for option, name, values in (
                ("--temperature", "temperature", ("nan", "inf", "-1")),
                ("--top-k", "top_k", ("-1", "999999999999")),
                ("--top-p", "top_p", ("nan", "-0.1", "1.1")),
                ("--min-p", "min_p", ("nan", "-1", "2")),
                ("--repetition-penalty", "repetition_penalty", ("nan", "0", "-1", "inf"))):
            for value in values:
                self.assert_refused([option, value], f"[generate] {name}: got {value}")

    def test_names(self):
        self.assert_refused(["--device", "no such gpu"], "[gpu]", "no such gpu")
        self.assert_refused(["--device", "17"], "[gpu]", "17")
        self.assert_refused(["--variant", "matmul_nbits"], "KERNEL=VARIANT")
        self.assert_refused(["--variant", "warp_drive=on"], "warp_drive", "matmul_nbits")
        self.assert_fails(run("inspect", DEMO, "--variant", "warp_drive=on"), "warp_drive")
        self.assert_refused(["--variant", "matmul_nbits=warp"], "warp", "want one of")
        self.assert_refused(["--disable-pass", "time"], "time")
        self.assert_fails(run("inspect", DEMO, "--disable-pass", "time"), "time")
        refused = run("run", DEMO, "-p", "hi", "--fusion", "token")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--fusion", refused.stderr)
        self.assert_refused(["--wgsl-dir", "/no/such/folder"], "/no/such/folder")
        self.assert_fails(run("devices", "--device", "no such gpu"), "[gpu]", "no such gpu")
        self.assert_fails(run("verify", DEMO, "--max-abs", "nan"), "--max-abs")
        self.assert_fails(run("verify", DEMO, "--min-cosine", "1.5"), "--min-cosine")

    def test_only_quoted_messages_have_several_lines(self):
        self.assert_refused(["--variant", "a\nb"], r"got 'a\x0ab'")
        shader = self.temp / "sample" / "step_inputs.wgsl"
        shader.parent.mkdir()
        shader.write_text("fn main() {\n  let a = nowhere;\n}\n")
        result = run("run", DEMO, "-p", "hi", "--no-cache", "--wgsl-dir", self.temp)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, r"\Asinter: \[wgsl\] [^\n]*sample/step_inputs.wgsl:2:11 [^\n]+\n"
                         r" *let a = nowhere;\n *\^+")
        self.assertNotIn(r"\x0a", result.stderr)

    def test_prompts(self):
        self.assert_fails(run("run", DEMO, "-p", "hello " * 2000), "prompt: got", "1024")
        self.assert_fails(run("run", DEMO, "-p", "hello " * 20, "--max-length", "16"), "want at most 16")
        self.assert_fails(run("run", DEMO, "--raw", "-p", ""), "no tokens")
        self.assert_fails(run("run", DEMO, "--raw", "-p", "-"), "no tokens")


class Output(CliTest):
    def test_run_as_json(self):
        result = run("run", DEMO, "-p", "What is 7 + 8?", "--json")
        self.assert_done(result)
        self.assertEqual(result.stderr, "")
        answer = json.loads(result.stdout)
        self.assertEqual(answer["text"], "7 + 8 = 15.")
        self.assertEqual(answer["finish_reason"], "end_token")
        for key in ("tokens", "prompt_tokens", "load_seconds", "time_to_first_token_seconds",
                    "decode_tokens_per_second", "device"):
            self.assertIn(key, answer)

    def test_run_as_text(self):
        result = run("run", DEMO, "-p", "What is 7 + 8?")
        self.assert_done(result)
        self.assertEqual(result.stdout, "7 + 8 = 15.\n")
        self.assertRegex(result.stderr, r"\A\[[^\n]+ tokens/s[^\n]+end_token\]\n\Z")
        quiet = run("run", DEMO, "-p", "-", "-q", stdin=b"What is 7 + 8?\n")
        self.assert_done(quiet)
        self.assertEqual((quiet.stdout, quiet.stderr), ("7 + 8 = 15.\n", ""))

    def test_explain_tells_the_chunk(self):
        for options, chunk in (((), 512), (("--chunk", "48"), 48), (("--max-length", "100"), 100)):
            result = run("run", DEMO, "-p", "hi", "-q", "-n", "1", "--explain", "--plan", "guess", *options)
            self.assertEqual(result.returncode, 0)
            self.assertIn(f"chunk: {chunk} prompt tokens in one run at most\n", result.stderr)
            self.assertIn("nothing was measured", result.stderr)

    def test_inspect_as_json(self):
        result = run("inspect", DEMO, "--json", "--tensors", "--max-length", "256")
        self.assert_done(result)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["max_length"], 256)
        self.assertEqual(answer["operators"]["com.microsoft::GroupQueryAttention"], answer["layers"])
        self.assertEqual(answer["total_bytes"], answer["weight_bytes"] + answer["kv_cache_bytes"] +
                         answer["workspace_bytes"])
        # The cache holds f16 keys and values for the length plus the padding of a prompt's last run.
        token_bytes = 2 * 2 * answer["layers"] * answer["kv_heads"] * answer["head_size"]
        self.assertEqual(answer["kv_cache_bytes"], token_bytes * (256 + 256))
        small = run("inspect", DEMO, "--json", "--max-length", "256", "--chunk", "16")
        self.assertEqual(json.loads(small.stdout)["kv_cache_bytes"], token_bytes * (256 + 16))
        self.assertTrue(all(tensor["bytes"] >= 64 for tensor in answer["tensors"]))

    def test_inspect_tells_what_fusion_saves(self):
        counts = {}
        for fusion in ("none", "layer"):
            result = run("inspect", DEMO, "--json", "--fusion", fusion)
            self.assert_done(result)
            counts[fusion] = json.loads(result.stdout)
        for key in ("dispatches_per_token", "dispatches_per_layer"):
            self.assertLess(counts["layer"][key], counts["none"][key])
        default = run("inspect", DEMO, "--json")
        self.assertEqual(json.loads(default.stdout), counts["layer"])

    def test_inspect_prints_the_program(self):
        fused = run("inspect", DEMO, "--program")
        self.assert_done(fused)
        for name in ("MatMulNBitsQkv", "MatMulNBitsMlp", "MatMulNBitsAdd", "NormMatMulNBits"):
            self.assertIn(f"sinter::{name} ", fused.stdout)
        plain = run("inspect", DEMO, "--program", "--fusion", "none")
        self.assert_done(plain)
        self.assertNotIn("sinter::", plain.stdout)
        without = run("inspect", DEMO, "--program", "--disable-pass", "fuse_mlp")
        self.assertNotIn("sinter::MatMulNBitsMlp", without.stdout)

    def test_inspect_as_text(self):
        self.assertIn("GroupQueryAttention", run("inspect", DEMO).stdout)
        self.assertIn("lm_head", run("inspect", DEMO, "--graph").stdout)

    def test_devices(self):
        result = run("devices", "--json")
        self.assert_done(result)
        answer = json.loads(result.stdout)
        first = answer["adapters"][0]
        self.assertEqual(first["index"], 0)
        self.assertGreaterEqual(first["limits"]["max_storage_buffers_per_stage"], 8)
        self.assertIn(answer["default"], [adapter["index"] for adapter in answer["adapters"]])
        text = run("devices")
        self.assert_done(text)
        self.assertIn(first["name"], text.stdout)

    def test_devices_without_a_driver(self):
        environment = {**os.environ, "VK_DRIVER_FILES": str(self.temp / "none.json")}
        result = run("devices", "--json", env=environment)
        self.assertEqual(result.returncode, 1)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["adapters"], [])
        self.assertIsNone(answer["default"])
        self.assertTrue(any("none.json" in line for line in answer["advice"]))
        # The Vulkan loader may print its own messages before the error line.
        result = run("devices", env=environment)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"sinter: \[gpu\] adapters: got none[^\n]+\n\Z")
        result = run("run", DEMO, "-p", "hi", env=environment)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"sinter: \[gpu\] adapter: got none[^\n]+\n\Z")


class Verify(CliTest):
    def test_within_limits(self):
        for options in ((), ("--no-capture", "--chunk", "7"), ("--f32", "--checked")):
            with self.subTest(" ".join(options)):
                result = run("verify", DEMO, "--max-abs", "0.05", "--min-cosine", "0.999", "--json",
                             *options)
                self.assert_done(result)
                answer = json.loads(result.stdout)
                self.assertTrue(answer["pass"])
                self.assertLessEqual(answer["max_abs"], 0.05)

    def test_past_limits(self):
        self.assert_fails(run("verify", DEMO, "--max-abs", "0"), "[verify] max abs: got", "want at most 0")
        self.assertFalse(json.loads(run("verify", DEMO, "--max-abs", "0", "--json").stdout)["pass"])
        self.assert_fails(run("verify", DEMO, "--min-cosine", "1"), "[verify] cosine: got")

    def test_references_that_do_not_fit(self):
        folder = self.copy_demo()
        logits = (folder / "reference.f32").read_bytes()
        (folder / "reference.f32").write_bytes(logits[:-4])
        self.assert_fails(run("verify", folder), "reference.f32")
        (folder / "reference.f32").write_bytes(logits)
        text = (folder / "reference.json").read_text()
        for change in ({"logits_shape": [2, 12, 1 << 62]}, {"logits_shape": [2, 12]}, {"cases": []},
                       {"logits_shape": [3, 12, 1536]}, {"logits_shape": "big"},
                       {"logits_shape": [0, 12, 1536], "cases": []},
                       {"logits_file": "none.f32"}, {"logits_file": 7},
                       {"cases": [{"prompt": [], "tokens": []}] * 2},
                       {"cases": [{"prompt": [1 << 20], "tokens": [1] * 12}] * 2},
                       {"cases": [{"prompt": [-1], "tokens": [1] * 12}] * 2}):
            with self.subTest(str(change)):
                (folder / "reference.json").write_text(json.dumps({**json.loads(text), **change}))
                self.assert_fails(run("verify", folder))
        (folder / "reference.json").unlink()
        self.assert_fails(run("verify", folder), "reference.json")


if __name__ == "__main__":
    unittest.main()
