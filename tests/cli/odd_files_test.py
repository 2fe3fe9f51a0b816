"""Tests of files that mean harm: FIFOs, devices, sparse terabytes, deep JSON, names that leave the
folder. Each must give one line of error at once."""

import json
import os
import struct
import unittest
from concurrent.futures import ThreadPoolExecutor

from sinter_cli import CliTest, run

WORKERS = min(4, os.cpu_count() or 1)
DEEP = "[" * 75000 + "]" * 75000


def sparse(path):
    """Makes a file of 1 TB that takes no room. False if the file system has no such files."""
    try:
        path.write_bytes(b"")
        os.truncate(path, 1 << 40)
        return True
    except OSError:
        return False


# What may lie in a file's place, and how it is put there. Each returns whether that worked.
ODD = {
    "fifo": lambda path: os.mkfifo(path) is None,
    "device": lambda path: path.symlink_to("/dev/zero") is None,
    "sparse": sparse,
    "folder": lambda path: path.mkdir() is None,
    "deep": lambda path: path.write_text(DEEP) > 0,
    "deep object": lambda path: path.write_text('{"a":' * 75000 + "1" + "}" * 75000) > 0,
}


class OddFiles(CliTest):
    def fails_each(self, cases):
        """Runs each (name of the case, word of the error, command line)."""
        with ThreadPoolExecutor(WORKERS) as pool:
            results = pool.map(lambda case: run(*case[2]), cases)
        for (name, word, _), result in zip(cases, results):
            with self.subTest(name):
                self.assert_fails(result, word)
                self.assertLess(len(result.stderr), 5000)

    def test_a_file_of_a_model_folder(self):
        cases = []
        for file in ("genai_config.json", "tokenizer.json", "tokenizer_config.json",
                     "chat_template.jinja", "reference.json", "reference.f32"):
            for kind, put in ODD.items():
                if kind.startswith("deep") and not file.endswith(".json"):
                    continue
                folder = self.copy_demo(f"{file} {kind}")
                (folder / file).unlink()
                if not put(folder / file):
                    continue
                line = ["run", folder, "-p", "hi", "-n", 1]
                if file == "genai_config.json":
                    line = ["inspect", folder]
                elif file.startswith("reference"):
                    line = ["verify", folder]
                cases.append((f"{file}: {kind}", file, line))
        self.fails_each(cases)

    def test_a_file_of_a_checkpoint(self):
        config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1,
                  "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
                  "vocab_size": 320, "max_position_embeddings": 256, "hidden_act": "silu",
                  "tie_word_embeddings": True, "bos_token_id": 257, "eos_token_id": 256}
        cases = []
        for file in ("config.json", "generation_config.json", "model.safetensors.index.json",
                     "model.safetensors"):
            for kind, put in ODD.items():
                folder = self.temp / f"{file} {kind}"
                folder.mkdir()
                (folder / "config.json").write_text(json.dumps(config))
                (folder / file).unlink(missing_ok=True)
                if file == "model.safetensors" and kind.startswith("deep"):
                    text = DEEP.encode()
                    (folder / file).write_bytes(struct.pack("<Q", len(text)) + text)
                elif not put(folder / file):
                    continue
                cases.append((f"{file}: {kind}", file, ["convert", folder, folder / "out"]))
        self.fails_each(cases)

    def test_names_that_leave_the_folder(self):
        cases = []
        for index, name in enumerate(("/etc/passwd", "../model/model.onnx", "a/../../x", "", "..")):
            folder = self.copy_demo(f"decoder{index}")
            config = json.loads((folder / "genai_config.json").read_text())
            config["model"]["decoder"]["filename"] = name
            (folder / "genai_config.json").write_text(json.dumps(config))
            cases.append((f"decoder.filename {name}", "model.decoder.filename: got '" + name + "'",
                          ["inspect", folder]))
            folder = self.copy_demo(f"logits{index}")
            reference = json.loads((folder / "reference.json").read_text())
            reference["logits_file"] = name
            (folder / "reference.json").write_text(json.dumps(reference))
            cases.append((f"logits_file {name}", 'logits_file: got "' + name + '"',
                          ["verify", folder]))
        self.fails_each(cases)

    def test_a_token_of_a_megabyte(self):
        folder = self.copy_demo()
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["model"]["merges"].append("x" * (1 << 20))
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        result = run("run", folder, "-p", "hi")
        self.assert_fails(result, "want two tokens with a space between")
        self.assertLess(len(result.stderr), 5000)


if __name__ == "__main__":
    unittest.main()
