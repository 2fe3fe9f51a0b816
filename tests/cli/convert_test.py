"""Tests of sinter convert: folders from a checkpoint and from random weights, and its errors."""

import json
import math
import random
import signal
import struct
import subprocess
import time
import unittest

from sinter_cli import TIMEOUT_SECONDS, CliTest, arguments, run

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 320,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 257, "eos_token_id": 256,
}

EXPERTS_CONFIG = dict(CONFIG, model_type="qwen3_moe", num_experts=4, num_experts_per_tok=2,
                      moe_intermediate_size=32, norm_topk_prob=True)


def tensors(config):
    """Yields names and shapes of a checkpoint's tensors, for CONFIG or EXPERTS_CONFIG."""
    yield "model.embed_tokens.weight", [320, 64]
    yield "model.norm.weight", [64]
    for layer in range(2):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", [64]
        yield at + "post_attention_layernorm.weight", [64]
        for name, rows, columns in (("q_proj", 64, 64), ("k_proj", 32, 64), ("v_proj", 32, 64),
                                    ("o_proj", 64, 64)):
            yield f"{at}self_attn.{name}.weight", [rows, columns]
        inner, mlps = config["intermediate_size"], ["mlp."]
        if "num_experts" in config:
            inner = config["moe_intermediate_size"]
            mlps = [f"mlp.experts.{expert}." for expert in range(config["num_experts"])]
            yield at + "mlp.gate.weight", [len(mlps), 64]
            yield at + "self_attn.q_norm.weight", [16]
            yield at + "self_attn.k_norm.weight", [16]
        for mlp in mlps:
            yield f"{at}{mlp}gate_proj.weight", [inner, 64]
            yield f"{at}{mlp}up_proj.weight", [inner, 64]
            yield f"{at}{mlp}down_proj.weight", [64, inner]


class Convert(CliTest):
    def write_checkpoint(self, without=(), config=CONFIG):
        folder = self.temp / ("checkpoint-" + config["model_type"])
        folder.mkdir()
        generator = random.Random(1)
        header, data = {}, b""
        for name, shape in tensors(config):
            if name in without:
                continue
            spread = 1 / math.sqrt(shape[-1])
            values = [1 + 0.1 * generator.uniform(-1, 1) if "norm" in name else
                      generator.gauss(0, spread) for _ in range(math.prod(shape))]
            content = struct.pack(f"<{len(values)}f", *values)
            header[name] = {"dtype": "F32", "shape": shape,
                            "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        text = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
        (folder / "config.json").write_text(json.dumps(config))
        # The checkpoint gets a tokenizer that the program itself made for random weights.
        self.assert_done(self.convert_random(folder.name + "-tokenizer"))
        tokenizer = self.temp / (folder.name + "-tokenizer") / "tokenizer.json"
        (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        return folder

    def convert_random(self, name, *options):
        config = self.temp / "config.json"
        config.write_text(json.dumps(CONFIG))
        return run("convert", "--random", 1, "--config", config, self.temp / name, *options)

    def test_checkpoint_runs(self):
        for config in (CONFIG, EXPERTS_CONFIG):
            kind = config["model_type"]
            folder, out = self.write_checkpoint(config=config), self.temp / kind
            result = run("convert", folder, out, "--bits", 8, "--verify", "--json")
            self.assert_done(result)
            report = json.loads(result.stdout)
            self.assertEqual((report["architecture"], report["layers"]), (kind, 2))
            # Rounding to 8 bits changes a weight by about 0.4 percent of a typical weight.
            self.assertGreater(report["verify"]["min_cosine"], 0.999)
            self.assertEqual(report["bytes"], sum(file.stat().st_size for file in out.iterdir()))
            self.assert_done(run("run", out, "-p", "hello", "--max-new-tokens", 3, "--greedy"))

    def test_random_weights_run(self):
        for name, options in (("f16", ()), ("f32", ("--dtype", "f32", "--asymmetric")),
                              ("mixed", ("--mixed", "--block-size", 16, "--graph-capture")),
                              ("cut", ("--layers", 1, "--accuracy-level", 4))):
            result = self.convert_random(name, *options)
            self.assert_done(result)
            self.assertIn("llama", result.stdout)
            self.assert_done(run("run", self.temp / name, "-p", "hello", "--max-new-tokens", 3,
                                 "--greedy"))

    def test_same_seed_same_weights(self):
        self.assert_done(self.convert_random("a"))
        self.assert_done(self.convert_random("b"))
        data = [(self.temp / name / "model.onnx.data").read_bytes() for name in "ab"]
        self.assertEqual(*data)

    def test_refuses(self):
        folder, out = self.write_checkpoint(without=("model.norm.weight",)), self.temp / "out"
        self.assert_fails(run("convert", folder, out), "[convert] tensor 'model.norm.weight'")
        self.assert_fails(run("convert", self.temp / "none", out), "got nothing there")
        self.assert_usage(run("convert", folder, out, out), "want no argument after the others")
        self.assert_usage(run("convert", out, "--random", 1), "--random and --config must be used together")
        self.assert_fails(run("convert", out, "--random", 1, "--config", "qwen9"),
                          "--config: got 'qwen9', want a config.json or one of gemma-3-1b")
        self.assert_usage(run("convert", out, "--random", 1, "--config", "qwen3-0.6b", "--verify"),
                          "--verify: got --random")
        self.assert_usage(run("convert", folder, out, "--bits", 3), "--bits: got '3', want one of 4, 8")
        self.assert_usage(self.convert_random("x", "--layers", 3), "--layers: got 3, want 1 to 2")
        (folder / "tokenizer.json").write_text("")
        self.assert_fails(run("convert", folder, out), "tokenizer.json")
        self.assertFalse(out.exists())
        (self.temp / "x").mkdir()
        (self.temp / "x" / "file").write_text("")
        self.assert_fails(self.convert_random("x"), "got an existing file or folder")

    def start_long(self, out):
        """Starts a conversion that takes seconds; returns its process once it has begun to write."""
        before = self.partial(out)
        process = subprocess.Popen(arguments("convert", "--random", 1, "--config", "qwen3-0.6b", out),
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = time.monotonic() + TIMEOUT_SECONDS
        while not any((folder / "genai_config.json").exists()
                      for folder in self.partial(out) if folder not in before):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        return process

    def partial(self, out):
        return list(out.parent.glob(out.name + ".part*"))

    def test_signals_leave_nothing(self):
        out = self.temp / "out"
        for signal_number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            process = self.start_long(out)
            process.send_signal(signal_number)
            self.assertEqual(process.wait(TIMEOUT_SECONDS), 128 + signal_number)
            self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(self.partial(out), [])
        self.assertFalse(out.exists())

    def test_removes_what_a_killed_process_left(self):
        out = self.temp / "out"
        killed, running = self.start_long(out), None
        killed.kill()
        killed.wait(TIMEOUT_SECONDS)
        left = self.partial(out)
        self.assertEqual(len(left), 1)
        running = self.start_long(out)
        self.assertFalse(left[0].exists())
        mine = self.partial(out)
        self.assertEqual(len(mine), 1)
        # A folder that a live process writes stays, and its name is taken.
        self.assert_fails(self.convert_random("out"), "another conversion is writing")
        self.assertEqual(self.partial(out), mine)
        running.terminate()
        self.assertEqual(running.wait(TIMEOUT_SECONDS), 128 + signal.SIGTERM)
        self.assertEqual(self.partial(out), [])

    def test_verify_is_for_small_models(self):
        folder = self.temp / "large"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(dict(CONFIG, vocab_size=2000000)))
        (folder / "model.safetensors").touch()
        self.assert_fails(run("convert", folder, self.temp / "out", "--verify"),
                          "--verify: got 256061440 weights, want at most 67108864")


if __name__ == "__main__":
    unittest.main()
