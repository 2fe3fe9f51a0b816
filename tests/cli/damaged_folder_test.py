"""Tests of damaged model folders: each must give an error of one line."""

import json
import os
import unittest
from concurrent.futures import ThreadPoolExecutor

import sinter_cli
from sinter_cli import DEMO, GRAPH, INITIALIZER, INPUT, NODE, CliTest, edit, run

WORKERS = min(4, os.cpu_count() or 1)


class DamagedFolder(CliTest):
    def check_each(self, file, contents, *command):
        """Runs `command` with each of `contents` as `file`: exit code 0 or 1, never a signal."""
        folders = []
        for index, content in enumerate(contents):
            folder = self.copy_demo(f"model{index}")
            (folder / file).write_bytes(content)
            folders.append(folder)
        with ThreadPoolExecutor(WORKERS) as pool:
            results = pool.map(lambda folder: run(command[0], folder, *command[1:]), folders)
        for index, result in enumerate(results):
            self.assert_survives(result, f"{file}, number {index}")


class DamagedGraph(DamagedFolder):
    def inspect_changed(self, path, change):
        """Runs inspect on the model with one message changed."""
        changed = edit((DEMO / "model.onnx").read_bytes(), path, change)
        self.assertIsNotNone(changed, "the bundled model has no such field")
        folder = self.copy_demo(f"model{len(list(self.temp.iterdir()))}")
        (folder / "model.onnx").write_bytes(changed)
        return run("inspect", folder)

    def test_truncated(self):
        data = (DEMO / "model.onnx").read_bytes()
        sizes = [0, 1, 2, 100, len(data) // 4, len(data) // 2, len(data) - 1000, len(data) - 1]
        for size in sizes:
            folder = self.copy_demo(f"model{size}")
            (folder / "model.onnx").write_bytes(data[:size])
            self.assert_fails(run("inspect", folder), "[onnx]")

    def test_flipped_bits_when_inspected(self):
        self.check_each("model.onnx", sinter_cli.flips((DEMO / "model.onnx").read_bytes(), 40, 1),
                        "inspect")

    def test_flipped_bits_when_run(self):
        self.check_each("model.onnx", sinter_cli.flips((DEMO / "model.onnx").read_bytes(), 12, 2),
                        "run", "-p", "hi", "-n", "2")

    def test_random_bytes(self):
        folder = self.copy_demo()
        (folder / "model.onnx").write_bytes(sinter_cli.random.Random(3).randbytes(5000))
        self.assert_fails(run("inspect", folder), "[onnx]")

    def test_a_dimension_of_a_weight_that_is_absurd(self):
        for size in (1 << 40, 1 << 62, (1 << 64) - 5):
            def change(fields, size=size):
                dims = [field for field in fields if field[0] == 1]
                if not dims or not any(field[0] == 13 for field in fields):
                    return False
                dims[0][1] = size
                return True
            self.assert_fails(self.inspect_changed(INITIALIZER, change), "[onnx]")

    def test_dimensions_of_a_cache_that_are_absurd(self):
        def change(fields):
            name, value_type = fields[0][1], fields[1]
            if not name.startswith(b"past_key_values.0.key"):
                return False

            def widen(dim):
                if dim and dim[0][0] == 1:
                    dim[0][1] = 1 << 50
                    return True
                return False
            value_type[1] = edit(value_type[1], [1, 2, 1], widen)
            return True
        self.assert_fails(self.inspect_changed(INPUT, change), "past_key_values.0.key")

    def test_a_cycle(self):
        """Makes the first norm read the last norm's result."""
        def change(graph):
            norms = [field for field in graph if field[0] == 1 and b"LayerNormalization" in field[1]]
            last = next(value for number, value in sinter_cli.parse(norms[-1][1]) if number == 2)
            node = sinter_cli.parse(norms[0][1])
            next(field for field in node if field[0] == 1)[1] = last
            norms[0][1] = sinter_cli.serialize(node)
            return True
        self.assert_fails(self.inspect_changed(GRAPH, change), "cycle")

    def test_a_value_that_nobody_makes(self):
        def change(fields):
            for field in fields:
                if field[0] == 1:
                    field[1] = b"no such value"
                    return True
            return False
        self.assert_fails(self.inspect_changed(NODE, change), "no such value")

    def test_an_operator_that_is_not_there(self):
        def change(fields):
            for field in fields:
                if field[0] == 4 and field[1] == b"MatMulNBits":
                    field[1] = b"MatMulMBits"
                    return True
            return False
        self.assert_fails(self.inspect_changed(NODE, change), "MatMulMBits", "com.microsoft", "node",
                          "version 1")

    def test_a_weight_of_the_wrong_type(self):
        def change(fields):
            name = next((value for number, value in fields if number == 8), b"")
            data_type = next(field for field in fields if field[0] == 2)
            if not name.endswith(b"weight_Q4"):
                return False
            data_type[1] = 3  # int8 for uint8
            return True
        self.assert_fails(self.inspect_changed(INITIALIZER, change), "weight_Q4")

    def test_a_name_that_would_move_the_cursor(self):
        def change(fields):
            for field in fields:
                if field[0] == 4:
                    field[1] = b"Mat\x1b[2J\nMul"
                    return True
            return False
        result = self.inspect_changed(NODE, change)
        self.assert_fails(result, "Mat\\x1b[2J\\x0aMul")


class DamagedData(CliTest):
    def replace_data(self, content):
        folder = self.copy_demo()
        (folder / "model.onnx.data").unlink()
        if content is not None:
            (folder / "model.onnx.data").write_bytes(content)
        return folder

    def test_missing(self):
        self.assert_fails(run("inspect", self.replace_data(None)), "model.onnx.data")

    def test_shorter_than_declared(self):
        size = (DEMO / "model.onnx.data").stat().st_size
        for bytes_kept in (0, size // 2, size - 1):
            with self.subTest(bytes_kept):
                folder = self.copy_demo(f"model{bytes_kept}")
                (folder / "model.onnx.data").unlink()
                (folder / "model.onnx.data").write_bytes(
                    (DEMO / "model.onnx.data").read_bytes()[:bytes_kept])
                self.assert_fails(run("inspect", folder), "model.onnx.data")

    def test_a_folder_in_its_place(self):
        folder = self.replace_data(None)
        (folder / "model.onnx.data").mkdir()
        self.assert_fails(run("inspect", folder), "model.onnx.data")

    def test_weights_that_are_not_numbers(self):
        """Makes all weights NaN: however tokens are chosen, that is an error."""
        size = (DEMO / "model.onnx.data").stat().st_size
        folder = self.replace_data(b"\xff" * size)
        for options in ((), ("--temperature", "1"), ("--greedy", "--fusion", "none")):
            result = run("run", folder, "-p", "hi", "-n", "3", *options)
            self.assert_fails(result, "got NaN or infinity, want finite numbers", "--f32")
        verified = run("verify", folder, "--max-abs", "1e30")
        self.assert_fails(verified, "got NaN or infinity, want finite numbers")

    def test_a_path_out_of_the_folder(self):
        folder = self.copy_demo()

        def change(fields):
            for field in fields:
                if field[0] == 13 and b"model.onnx.data" in field[1]:
                    field[1] = sinter_cli.serialize([[1, b"location"], [2, b"../model.onnx.data"]])
                    return True
            return False
        data = edit((DEMO / "model.onnx").read_bytes(), INITIALIZER, change)
        (folder / "model.onnx").write_bytes(data)
        self.assert_fails(run("inspect", folder), "../model.onnx.data")


class DamagedTokenizer(DamagedFolder):
    def test_truncated(self):
        data = (DEMO / "tokenizer.json").read_bytes()
        for size in (0, 1, len(data) // 2, len(data) - 2):
            folder = self.copy_demo(f"model{size}")
            (folder / "tokenizer.json").write_bytes(data[:size])
            self.assert_fails(run("run", folder, "-p", "hi"), "[tokenizer]", "tokenizer.json")

    def test_flipped_bits_when_run(self):
        self.check_each("tokenizer.json",
                        sinter_cli.flips((DEMO / "tokenizer.json").read_bytes(), 24, 4),
                        "run", "-p", "What is 7 + 8?", "-n", "3")

    def test_missing(self):
        folder = self.copy_demo()
        (folder / "tokenizer.json").unlink()
        self.assert_fails(run("run", folder, "-p", "hi"), "tokenizer.json")

    def test_a_chat_template_that_is_not_one(self):
        folder = self.copy_demo()
        (folder / "chat_template.jinja").write_text("{% for m in %}{{")
        self.assert_fails(run("run", folder, "-p", "hi"), "[chat_template]")

    def test_a_chat_template_that_raises(self):
        folder = self.copy_demo()
        (folder / "chat_template.jinja").write_text("{{ raise_exception('no thanks') }}")
        self.assert_fails(run("run", folder, "-p", "hi"), "no thanks")

    def test_chat_without_a_template(self):
        folder = self.copy_demo()
        (folder / "chat_template.jinja").unlink()
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config.pop("chat_template", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        self.assert_fails(run("chat", folder), "chat template")


class DamagedConfig(CliTest):
    def inspect_config(self, change):
        folder = self.copy_demo(f"model{len(list(self.temp.iterdir()))}")
        config = json.loads((folder / "genai_config.json").read_text())
        change(config)
        (folder / "genai_config.json").write_text(json.dumps(config))
        return run("inspect", folder)

    def test_missing(self):
        folder = self.copy_demo()
        (folder / "genai_config.json").unlink()
        self.assert_fails(run("inspect", folder), "[model]", "ONNX files without genai_config.json")

    def test_not_json(self):
        folder = self.copy_demo()
        for text in ("", "{", "nonsense", "[1, 2]", '"text"', '{"model": 3}', '{"model": {}}', "[" * 100000):
            (folder / "genai_config.json").write_text(text)
            self.assert_fails(run("inspect", folder), "[config]", "genai_config.json")

    def test_flipped_bits(self):
        folder = self.copy_demo()
        for index, data in enumerate(
                sinter_cli.flips((DEMO / "genai_config.json").read_bytes(), 24, 5)):
            (folder / "genai_config.json").write_bytes(data)
            self.assert_survives(run("inspect", folder), f"genai_config.json, number {index}")

    def test_wrong_types_and_values(self):
        for section, key, value in (
                ("model", "context_length", "1024"), ("model", "context_length", 0),
                ("model", "context_length", 1e300), ("model", "vocab_size", -1),
                ("model", "vocab_size", 7), ("model", "vocab_size", 1 << 30),
                ("model", "eos_token_id", "two"), ("model", "eos_token_id", [2, -7]),
                ("model", "decoder", []),
                ("decoder", "head_size", None), ("decoder", "head_size", 63),
                ("decoder", "num_hidden_layers", 7), ("decoder", "num_hidden_layers", 10**6),
                ("decoder", "num_key_value_heads", 3), ("decoder", "num_key_value_heads", 0),
                ("decoder", "filename", 5), ("decoder", "filename", "none.onnx"),
                ("decoder", "filename", "."), ("decoder", "inputs", "input_ids"),
                ("search", "temperature", "hot"), ("search", "temperature", -1),
                ("search", "top_p", 1.5), ("search", "top_k", 0.5), ("search", "do_sample", "yes"),
                ("search", "num_beams", 4), ("search", "max_length", -3)):
            with self.subTest(f"{section}.{key} = {value}"):
                def change(config, section=section, key=key, value=value):
                    part = {"model": config["model"], "decoder": config["model"]["decoder"],
                            "search": config["search"]}[section]
                    part[key] = value
                self.assert_fails(self.inspect_config(change))

    def test_unknown_options_are_no_error(self):
        self.assert_done(self.inspect_config(
            lambda config: config["search"].update({"a_new_option": {"of": ["any", "type"]}})))

    def test_names_of_inputs_that_are_not_there(self):
        for part, key in (("inputs", "input_ids"), ("inputs", "past_key_names"), ("outputs", "logits"),
                          ("outputs", "present_value_names")):
            with self.subTest(key):
                def change(config, part=part, key=key):
                    config["model"]["decoder"][part][key] = "nobody.%d"
                self.assert_fails(self.inspect_config(change), "nobody")


class NoFolder(CliTest):
    def test_nothing_there(self):
        for command in (["run", "-p", "hi"], ["chat"], ["inspect"], ["verify"]):
            self.assert_fails(run(command[0], self.temp / "none", *command[1:]), "[model]",
                              "nothing there")

    def test_a_file(self):
        self.assert_fails(run("inspect", DEMO / "model.onnx"), "[model]", "a file")

    def test_an_empty_folder(self):
        self.assert_fails(run("inspect", self.temp), "[model]", "an empty folder", "genai_config.json")


if __name__ == "__main__":
    unittest.main()
