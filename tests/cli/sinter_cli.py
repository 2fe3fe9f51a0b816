"""Helpers for the tests of the command line: running the program, and damaging model folders.

SINTER_LAUNCHER and SINTER_PROGRAM name the launcher and the program. SINTER_TEST_DEVICE names the
GPU as --device does; the program chooses the best one if it is not set.
"""

import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "models" / "demo"
COMMAND = [os.environ.get("SINTER_LAUNCHER", str(ROOT / "build/release/launch")),
           os.environ.get("SINTER_PROGRAM", str(ROOT / "build/release/bin/sinter"))]
DEVICE = os.environ.get("SINTER_TEST_DEVICE", "")
TIMEOUT_SECONDS = 120

# The settings of whoever runs the tests stay out.
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
for name in [name for name in os.environ if name.startswith("SINTER_")]:
    if name not in ("SINTER_LAUNCHER", "SINTER_PROGRAM", "SINTER_TEST_DEVICE", "SINTER_TEST_ALL"):
        del os.environ[name]

# What run() ran last, for the messages of failing tests.
_last_run = None

# The one line that a failing command prints: `sinter: [area] what: got X, want Y`.
ERROR_LINE = re.compile(r"sinter: \[[a-z_]+\] [^\n]+\n", re.ASCII)


def arguments(*args):
    """Returns the command line. Subcommands that use a GPU get the tests' device."""
    line = [*COMMAND, *(str(arg) for arg in args)]
    if DEVICE and args and args[0] in ("run", "chat", "tune", "verify") and "--device" not in line:
        line += ["--device", DEVICE]
    return line


def start(*args, **options):
    """Starts the program and returns its process."""
    return subprocess.Popen(arguments(*args), **options)


def run(*args, stdin=b"", env=None, **options):
    """Runs the program to its end; returns its output and errors as text."""
    result = subprocess.run(arguments(*args), input=stdin, capture_output=True, env=env,
                            timeout=TIMEOUT_SECONDS, **options)
    result.stdout = result.stdout.decode("utf-8", "replace")
    result.stderr = result.stderr.decode("utf-8", "replace")
    global _last_run
    _last_run = result
    return result


class CliTest(unittest.TestCase):
    """Base of the tests: a temporary folder, and checks of exit codes and error lines."""

    def setUp(self):
        global _last_run
        _last_run = None
        folder = tempfile.TemporaryDirectory(prefix="sinter-cli-test-")
        self.addCleanup(folder.cleanup)
        self.temp = pathlib.Path(folder.name)

    def _formatMessage(self, msg, standardMsg):
        """Appends the last command and its standard error to the message of a failing assertion."""
        message = super()._formatMessage(msg, standardMsg)
        if _last_run is None:
            return message
        command = shlex.join(_last_run.args[1:])
        return (f"{message}\n\nlast command, exit code {_last_run.returncode}:\n  {command}\n"
                f"standard error:\n{_last_run.stderr}")

    def copy_demo(self, name="model"):
        """Copies the bundled model. The weights are a link: replace that file, never change it."""
        copy = self.temp / name
        copy.mkdir()
        for file in ("model.onnx", "genai_config.json", "tokenizer.json", "tokenizer_config.json",
                     "chat_template.jinja", "reference.json", "reference.f32"):
            shutil.copy(DEMO / file, copy / file)
        (copy / "model.onnx.data").symlink_to(DEMO / "model.onnx.data")
        return copy

    def assert_fails(self, result, *words):
        """Checks for exit code 1 and a single error line that names its area and all `words`."""
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, r"\A" + ERROR_LINE.pattern + r"\Z")
        for word in words:
            self.assertIn(word, result.stderr)

    def assert_usage(self, result, *words):
        """Checks for wrong usage: exit code 2 and a single line that has all `words`."""
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertRegex(result.stderr, r"\Asinter: \[usage\] [^\n]+; see: sinter [a-z ]*--help\n\Z")
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)

    def assert_done(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)

    def assert_survives(self, result, what):
        """Checks for exit code 0, or 1 with a single error line, but no signal or internal error."""
        self.assertIn(result.returncode, (0, 1), f"{what}: {result.stderr}")
        if result.returncode == 1:
            self.assertRegex(result.stderr, r"\A" + ERROR_LINE.pattern + r"\Z", what)


def flipped(data, generator):
    """Returns `data` with one to three random bits flipped."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 3)):
        changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def flips(data, count, seed):
    """Returns `count` damaged copies of `data`. The same seed gives the same copies."""
    generator = random.Random(seed)
    return [flipped(data, generator) for _ in range(count)]


# --- A minimal protobuf parser and writer to change one field of an ONNX file -------------------


def _varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def parse(data):
    """Parses a message into a list of [field, value].

    A varint is an int, a length-delimited field is bytes, and a fixed-size one is a tuple of the
    wire type and its bytes.
    """
    fields, at = [], 0
    while at < len(data):
        key, at = _read_varint(data, at)
        if key & 7 == 0:
            value, at = _read_varint(data, at)
        elif key & 7 == 2:
            length, at = _read_varint(data, at)
            value, at = data[at:at + length], at + length
        else:
            length = {1: 8, 5: 4}[key & 7]
            value, at = (key & 7, data[at:at + length]), at + length
        fields.append([key >> 3, value])
    return fields


def serialize(fields):
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        elif isinstance(value, tuple):
            out += _varint(number << 3 | value[0]) + value[1]
        else:
            out += _varint(number << 3 | 2) + _varint(len(value)) + value
    return bytes(out)


def edit(data, path, change):
    """Applies `change` to the first message at `path` (field numbers) for which it returns True.

    Returns the changed bytes, or None if `change` accepted no message.
    """
    fields = parse(data)
    if not path:
        return serialize(fields) if change(fields) else None
    for field in fields:
        if field[0] == path[0] and isinstance(field[1], bytes):
            inner = edit(field[1], path[1:], change)
            if inner is not None:
                field[1] = inner
                return serialize(fields)
    return None


# Paths in an ONNX ModelProto to the graph, its nodes, initializers and inputs.
GRAPH = [7]
NODE = [7, 1]
INITIALIZER = [7, 5]
INPUT = [7, 11]
