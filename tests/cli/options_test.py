"""Tests of options and their limits, text and JSON output, figures and exit codes."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from sinter_cli import DEMO, TIMEOUT_SECONDS, CliTest, arguments, run

COMMANDS = ("run", "chat", "inspect", "devices", "verify", "bench", "convert", "tokenize", "tune")


class Usage(CliTest):
    def test_wrong_usage(self):
        self.assert_usage(run("--"), "got '--'", "want a command first: run, chat,")
        self.assert_usage(run("chatt", DEMO), "got 'chatt', want a command: ", "; did you mean 'chat'?")
        # The option that does not exist is the news, not the one that is missing for that reason.
        self.assert_usage(run("run", DEMO, "--promt", "hi"),
                          "got '--promt', want an option of sinter run; did you mean '--prompt'?")
        self.assert_usage(run("run", DEMO, "-p", "hi", "--fusion", "most"),
                          "--fusion: got 'most', want one of auto, none, layer, chain")
        self.assert_usage(run("run", DEMO), "PROMPT: got none", "--messages", "sinter chat")
        self.assert_usage(run("run", "-p", "hi"), "MODEL")
        self.assert_usage(run("run", DEMO, "what", "is"), "'is'", "quotes")
        self.assert_usage(run("inspect", DEMO, "another"), "got 'another', want no argument")

    def test_values_out_of_range(self):
        for option, values in (
                ("--temperature", ("nan", "inf", "-1", "warm")), ("--top-k", ("-1", "999999999999")),
                ("--top-p", ("nan", "-0.1", "1.1")), ("--min-p", ("nan", "-1", "2")),
                ("--repetition-penalty", ("nan", "0", "-1", "inf")), ("--seed", ("-1", "4294967296")),
                ("--max-new-tokens", ("-3", "1.5", "99999999999999999999")),
                ("--max-length", ("0", "-1", "1025", "99999999999", "")), ("--chunk", ("0", "-5")),
                ("--device", ("",)), ("--stop", ("",)), ("--wgsl-dir", ("", "/no/such/folder")),
                ("--variant", ("matmul_nbits", "matmul_nbits=", "warp_drive=on")),
                ("--disable-pass", ("time",))):
            for value in values:
                with self.subTest(f"{option} {value}"):
                    result = run("run", DEMO, "hi", option, value)
                    self.assert_usage(result, f"{option}: got ", value.removesuffix("=on"))
        self.assert_usage(run("inspect", DEMO, "-c", 1025), "--max-length: got 1025, want 1 to 1024")
        self.assert_usage(run("verify", DEMO, "--max-abs", "nan"), "--max-abs: got nan, want 0 or more")
        self.assert_usage(run("verify", DEMO, "--min-cosine", "1.5"), "--min-cosine: got 1.5, want 0 to 1")

    def test_names(self):
        self.assert_usage(run("run", DEMO, "hi", "--disable-pass", "fuse_mpl"),
                          "want one of ", "fuse_qkv", "did you mean 'fuse_mlp'?")
        passes = run("run", DEMO, "--disable-pass", "help")
        self.assert_done(passes)
        self.assertIn("\nfuse_mlp\n", passes.stdout)
        kernels = run("inspect", DEMO, "--variant", "help")
        self.assert_done(kernels)
        self.assertIn("\nmatmul_nbits\n", kernels.stdout)
        self.assert_fails(run("inspect", DEMO, "--variant", "matmul_nbits=hlep"), "want one of: ", "tile")
        for command in (("inspect", DEMO), ("run", DEMO, "hi", "-n", "1")):
            variants = run(*command, "--variant", "matmul_nbits=help")
            self.assert_done(variants)
            self.assertRegex(variants.stdout, r"\A([a-z0-9_.]+\n){2,}\Z")
        for device in ("no such gpu", "17"):
            self.assert_fails(run("run", DEMO, "hi", "--device", device), "[gpu]", device)
        self.assert_fails(run("devices", "--device", "no such gpu"), "[gpu]", "no such gpu")

    def test_help(self):
        result = run("--help")
        self.assert_done(result)
        for command in COMMANDS:
            self.assertIn(f"  {command} ", result.stdout)
            of_command = run("help", command)
            self.assert_done(of_command)
            self.assertIn("--json", of_command.stdout)
            self.assertIn(f"  sinter {command}", of_command.stdout)
            for line in of_command.stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)
            # The group of the options that few need is the last one.
            groups = re.findall(r"^([A-Z][^\n]*):$", of_command.stdout, re.MULTILINE)
            if "Advanced" in groups:
                self.assertEqual(groups[groups.index("Advanced") + 1:], ["Examples"])
        self.assertEqual(run("run", "--help").stdout, run("help", "run").stdout)
        for command in ("help", "completion", "man"):
            self.assertIn(f"  sinter {command}", run("help", command).stdout)
        self.assert_usage(run("help", "rnu"), "did you mean 'run'?")

    def test_without_arguments_prints_the_help(self):
        result = run()
        self.assert_done(result)
        self.assertEqual((result.stdout, result.stderr), (run("help").stdout, ""))

    def test_version(self):
        result = run("--version")
        self.assert_done(result)
        self.assertRegex(result.stdout, r"\Asinter \d+\.\d+\.\d+\n\Z")


    def test_a_full_disk_is_an_error_of_every_text(self):
        for command in (("--help",), ("--version",), ("help", "run"), ("run", "--help"),
                        ("run", DEMO, "hi", "--variant", "help")):
            with self.subTest(str(command)), open("/dev/full", "wb") as full:
                result = subprocess.run(arguments(*command), stdout=full, stderr=subprocess.PIPE, text=True,
                                        timeout=TIMEOUT_SECONDS)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, r"\Asinter: \[cli\] standard output: got [^\n]+\n\Z")


class WaysToAsk(CliTest):
    """The same request in the forms that people are used to."""

    def test_prompts(self):
        file = self.temp / "prompt.txt"
        file.write_bytes(b"What is 7 + 8?\r\n")
        question = "What is 7 + 8?"
        for arguments in ((DEMO, question), ("-m", DEMO, question), (question, "--model", DEMO),
                          (DEMO, "--file", file), (DEMO, "--prompt=" + question, "--temp", "0"),
                          (DEMO, question, "--top_k", "3", "--ctx-size", "64", "-s", "1", "--greedy")):
            with self.subTest(str(arguments)):
                result = run("run", "-q", *arguments)
                self.assertEqual((result.stdout, result.stderr), ("7 + 8 = 15.\n", ""))
        for arguments in ((), ("-p", "-")):
            result = run("run", DEMO, "-q", *arguments, stdin=b"What is 7 + 8?\n")
            self.assertEqual((result.stdout, result.stderr), ("7 + 8 = 15.\n", ""))
        self.assert_usage(run("run", DEMO, question, "-p", question), "--prompt and PROMPT: got both")
        self.assert_usage(run("run", DEMO, "-p", "a", "-p", "b"), "--prompt: got 2 values, want one")
        self.assert_usage(run("run", DEMO, "-p", "a", "-f", file), "--prompt and --file: got both")

    def test_prompts_that_do_not_work(self):
        self.assert_fails(run("run", DEMO, "-p", "hello " * 2000), "prompt: got", "1024")
        self.assert_fails(run("run", DEMO, "-p", "hello " * 20, "--max-length", "16"), "want at most 16")
        self.assert_fails(run("run", DEMO, "--raw", "-p", ""), "no tokens")
        self.assert_fails(run("run", DEMO, "--raw", "-p", "-"), "no tokens")
        self.assert_fails(run("run", DEMO, "-f", self.temp / "none"), "none: got no such file")
        self.assert_fails(run("run", DEMO, os.fsdecode(b"ab\xff")), "--prompt: got byte 0xff at offset 2, want UTF-8")
        self.assert_fails(run("run", DEMO, stdin=b"\xe4\xbd"), "standard input: got byte 0xe4 at offset 0")
        (self.temp / "latin").write_bytes(b"caf\xe9")
        self.assert_fails(run("run", DEMO, "-f", self.temp / "latin"), "latin: got byte 0xe9 at offset 3")
        for option in ("--system", "--system-prompt", "--stop"):
            self.assert_usage(run("run", DEMO, "hi", option, os.fsdecode(b"a\xff")),
                              "got byte 0xff at offset 1, want UTF-8")
        self.assert_fails(run("tokenize", DEMO, os.fsdecode(b"ab\xff")), "TEXT: got byte 0xff at offset 2")

    def test_a_model_without_a_chat_template_says_so(self):
        folder = self.copy_demo()
        (folder / "chat_template.jinja").unlink()
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config.pop("chat_template", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        result = run("run", folder, "Once", "-n", "1")
        self.assert_done(result)
        self.assertRegex(result.stderr, r"\Asinter: note: the model has no chat template[^\n]+\n\[")
        self.assertNotIn("note", run("run", folder, "Once", "-n", "1", "--raw").stderr)

    def test_a_long_text_ends_with_a_signal(self):
        with tempfile.TemporaryFile() as text:
            # A word without an end takes the tokenizer many seconds.
            text.write(b"ab" * 20_000_000)
            text.seek(0)
            process = subprocess.Popen(arguments("run", DEMO, "--raw"), stdin=text,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(1.5)
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            process.communicate(timeout=TIMEOUT_SECONDS)
            self.assertLess(time.monotonic() - begin, 2)
            self.assertEqual(process.returncode, 143)


class WrongInput(CliTest):
    """What users give in place of a model folder; model_input_test.cc has the rest."""

    def test_checkpoint(self):
        folder = self.temp / "hf"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"\0" * 8)
        for command in (("run", folder, "hi"), ("chat", folder), ("inspect", folder), ("verify", folder),
                        ("tune", folder), ("bench", folder), ("devices", folder)):
            with self.subTest(command[0]):
                self.assert_fails(run(*command), "got a Hugging Face checkpoint",
                                  f"sinter convert {folder}\n")
        self.assert_fails(run("convert", DEMO, self.temp / "out"), "needs no conversion", "sinter chat")

    def test_lfs_pointers(self):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n"
        for name in ("model.onnx", "model.onnx.data", "tokenizer.json", "genai_config.json"):
            with self.subTest(name):
                folder = self.copy_demo(name)
                (folder / name).unlink()
                (folder / name).write_text(pointer)
                self.assert_fails(run("inspect", folder), f"{name}': got a Git LFS pointer", "lfs pull")
        folder = self.temp / "hf"
        folder.mkdir()
        (folder / "config.json").write_text((DEMO.parent / "configs" / "qwen3-0.6b.json").read_text())
        (folder / "model.safetensors").write_text(pointer)
        self.assert_fails(run("convert", folder, self.temp / "out"),
                          "model.safetensors': got a Git LFS pointer")

    def test_paths(self):
        self.assert_fails(run("inspect", DEMO.parent), "contains a model folder but is none itself; name that one: ", str(DEMO))
        self.assert_fails(run("run", "Qwen/Qwen3-0.6B", "hi"), "hf download Qwen/Qwen3-0.6B")
        self.assert_fails(run("tokenize", DEMO.parent / "dmeo", "hi"), f"did you mean '{DEMO}'?")
        self.assert_fails(run("run", "What is this?"), "the model comes before the prompt")


class Settings(CliTest):
    def test_order(self):
        file = self.temp / "sinter" / "config.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"defaults": {"max_length": 300, "json": True},
                                    "inspect": {"max-length": 200}}))
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.temp)}
        def max_length(*options, **variables):
            result = run("inspect", DEMO, *options, env={**environment, **variables})
            self.assert_done(result)
            return json.loads(result.stdout)["max_length"]
        self.assertEqual(max_length(), 200)
        self.assertEqual(max_length(SINTER_MAX_LENGTH="100"), 100)
        self.assertEqual(max_length("-c", 50, SINTER_MAX_LENGTH="100"), 50)
        # Errors know that JSON is wanted although the command line does not say so.
        failed = run("inspect", self.temp, env=environment)
        self.assertEqual(json.loads(failed.stderr)["error"]["area"], "model")

    def test_errors(self):
        file = self.temp / "settings.json"
        environment = {**os.environ, "SINTER_CONFIG": str(file)}
        self.assert_fails(run("devices", env=environment), "settings.json: got no such file")
        for text, *words in (("{", "line 1"), ('{"rnu": {}}', "'run'"),
                             ('{"run": {"temprature": 1}}', "did you mean 'temperature'?"),
                             ('{"inspect": {"max-length": -1}}', "inspect.max-length: got -1")):
            file.write_text(text)
            self.assert_fails(run("inspect", DEMO, env=environment), "[settings]", "settings.json", *words)
            self.assert_done(run("help", "inspect", env=environment))
        environment = {**os.environ, "SINTER_CHUNK": "x"}
        self.assert_fails(run("inspect", DEMO, env=environment), "[settings] SINTER_CHUNK: got 'x'")
        environment = {**os.environ, "SINTER_CHNUK": "x"}
        result = run("tokenize", DEMO, "hi", env=environment)
        self.assert_done(result)
        self.assertIn("SINTER_CHNUK is no setting; did you mean SINTER_CHUNK?", result.stderr)


class Manual(CliTest):
    def test_completion(self):
        self.assert_usage(run("completion", "tcsh"), "want one of bash, zsh, fish")
        script = run("completion", "bash")
        self.assert_done(script)
        ask = """
source "$0"
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sinter 2> /dev/null; echo "${COMPREPLY[*]}"; }
complete_words sinter ru
complete_words sinter run --temp
complete_words sinter run x --plan me
complete_words sinter run x --plan = g
complete_words sinter run x -n 1
complete_words sinter help tok
cd "$1"; complete_words sinter run mo; complete_words sinter run x --file pro
"""
        (self.temp / "models").mkdir()
        (self.temp / "prompt").touch()
        (self.temp / "script").write_text(script.stdout)
        shell = subprocess.run(["bash", "-c", ask, str(self.temp / "script"), str(self.temp)],
                               capture_output=True, text=True, check=True)
        self.assertEqual(shell.stdout.splitlines(), ["run", "--template-arg --temperature", "measure",
                                                     "guess", "", "tokenize", "models", "prompt"])

    def test_manual_page(self):
        page = run("man")
        self.assert_done(page)
        for command in COMMANDS:
            self.assertIn(f"\n.SS {command}\n", page.stdout)
        if shutil.which("mandoc"):
            lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page.stdout,
                                  capture_output=True, text=True, check=False)
            self.assertEqual(lint.stdout, "")


class Messages(CliTest):
    def test_only_quoted_messages_have_several_lines(self):
        self.assert_usage(run("run", DEMO, "hi", "--variant", "a\nb"), r"got 'a\x0ab'")
        shader = self.temp / "sample" / "step_inputs.wgsl"
        shader.parent.mkdir()
        shader.write_text("fn main() {\n  let a = nowhere;\n}\n")
        result = run("run", DEMO, "-p", "hi", "--no-cache", "--wgsl-dir", self.temp)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, r"\Asinter: \[wgsl\] [^\n]*sample/step_inputs.wgsl:2:11 [^\n]+\n"
                         r" *let a = nowhere;\n *\^+")
        self.assertNotIn(r"\x0a", result.stderr)


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
