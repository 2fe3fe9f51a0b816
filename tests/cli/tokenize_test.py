"""Tests of sinter tokenize, and of the messages that run and chat take from files."""

import json
import os
import subprocess
import unittest

from sinter_cli import DEMO, TIMEOUT_SECONDS, CliTest, arguments, run

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 7 + 8?"}]


class Tokenize(CliTest):
    def tokens(self, *args, stdin=b""):
        result = run("tokenize", "--json", *args, stdin=stdin)
        self.assert_done(result)
        self.assertEqual(result.stdout.count("\n"), 1)
        answer = json.loads(result.stdout)
        self.assertEqual(list(answer), ["text", "ids"])
        return answer

    def test_text_and_back(self):
        for text in ("What is 7 + 8?", " a\r\n\tb ", "", "h\u00e9 \U0001FABF \u4f60", "<|im_end|>x"):
            with self.subTest(text):
                there = self.tokens(DEMO, "--", text)
                self.assertEqual(there["text"], text)
                back = self.tokens(DEMO, "--ids", ",".join(map(str, there["ids"])))
                self.assertEqual(back, there)

    def test_standard_input_is_taken_as_it_is(self):
        for data in (b"hi\n", b"hi\r\n", b"a\0b", b""):
            self.assertEqual(self.tokens(DEMO, "-", stdin=data)["text"], data.decode())
        self.assert_fails(run("tokenize", DEMO, "-", stdin=b"a\xff\xe4\xbd"),
                          "standard input: got byte 0xff at offset 1, want UTF-8 text")

    def test_output_for_people(self):
        ids = self.tokens(DEMO, "hi\n")["ids"]
        result = run("tokenize", DEMO, "hi\n")
        self.assert_done(result)
        lines = result.stdout.split("\n")
        self.assertEqual(lines[:3], ["hi", "", ""])
        self.assertEqual([int(line.split()[0]) for line in lines[3:-2]], ids)
        self.assertIn('"\u010a"', lines[-3])  # how the vocabulary writes a newline
        self.assertEqual(lines[-2:], [f"{len(ids)} tokens", ""])

    def test_special_tokens(self):
        # The bundled tokenizer puts none around a text, so one is made that does.
        folder = self.temp / "model"
        folder.mkdir()
        tokenizer = json.loads((DEMO / "tokenizer.json").read_text())
        end = next(token for token in tokenizer["added_tokens"] if token["special"])
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": end["content"], "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {end["content"]: {"id": end["content"], "ids": [end["id"]],
                                                "tokens": [end["content"]]}}}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        plain = self.tokens(folder, "hi", "--no-special")["ids"]
        self.assertEqual(self.tokens(folder, "hi")["ids"], [end["id"], *plain])
        listed = ",".join(map(str, [end["id"], *plain]))
        self.assertEqual(self.tokens(folder, "--ids", listed)["text"], end["content"] + "hi")
        self.assertEqual(self.tokens(folder, "--ids", listed, "--no-special")["text"], "hi")
        self.assert_fails(run("tokenize", folder, "--messages", self.write("chat.json", CHAT)),
                          "no chat template", "--template")

    def write(self, name, value):
        path = self.temp / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    def test_messages(self):
        file = self.write("chat.json", CHAT)
        answer = self.tokens(DEMO, "--messages", file)
        self.assertIn("What is 7 + 8?", answer["text"])
        self.assertEqual(answer["ids"], self.tokens(DEMO, answer["text"], "--no-special")["ids"])
        self.assertEqual(answer, self.tokens(DEMO, "--messages", self.write("o.json", {"messages": CHAT})))
        self.assertEqual(answer,
                         self.tokens(DEMO, "--messages", "-", stdin=json.dumps(CHAT).encode()))

    def test_template_with_tools_and_arguments(self):
        template = self.write("t.jinja", "{% for m in messages %}{{ m.role }}:{% for p in m.content or [] %}"
                              "{{ p.text or p.type }}{% endfor %}{% for c in m.tool_calls or [] %}"
                              "{{ c.function.name }}({{ c.function.arguments.x }}){% endfor %};"
                              "{% endfor %}{{ tools[0].x[1] }} {{ deep.er[1] }} {{ think }}")
        messages = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
                    {"role": "assistant", "content": None,
                     "tool_calls": [{"type": "function",
                                     "function": {"name": "f", "arguments": {"x": 10**20}}}]}]
        tools = [{"name": "f, \"[{", "x": [[], 1e-7]}, {}]
        arguments = ("--template", template, "--template-arg", 'deep={"er": [1, "b"]}',
                     "--template-arg", "think=false")
        want = "user:aimage;assistant:f(100000000000000000000);1e-07 b False"
        for given in (("--messages", self.write("m.json", messages), "--tools",
                       self.write("tools.json", tools)),
                      ("--messages", self.write("o.json", {"messages": messages, "tools": tools}))):
            self.assertEqual(self.tokens(DEMO, *given, *arguments)["text"], want)

    def test_standard_input_that_cannot_be_read(self):
        folder = os.open(self.temp, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        result = subprocess.run(arguments("tokenize", DEMO, "-"), stdin=folder, capture_output=True,
                                timeout=TIMEOUT_SECONDS, text=True)
        self.assert_fails(result, "standard input: got 'Is a directory'")

    def test_a_system_message_needs_a_template(self):
        folder = self.copy_demo()
        (folder / "chat_template.jinja").unlink()
        self.assert_fails(run("run", folder, "-p", "hi", "--system", "be kind", "-n", "1"),
                          "--system, --tools and --template-arg need it")

    def test_ids_out_of_range(self):
        for ids in ("-1", "1,99999999", "1,x", "1.5", "99999999999999999999", "1" * 1000):
            result = run("tokenize", DEMO, "--ids=" + ids)
            self.assert_usage(result, "--ids: got '", "want ids from 0 to ")
            self.assertLess(len(result.stderr), 250)
        self.assertEqual(self.tokens(DEMO, "--ids", "[1, 2 3]")["ids"], [1, 2, 3])
        self.assertEqual(self.tokens(DEMO, "--ids", "-", stdin=b"1\n2\n")["ids"], [1, 2])

    def test_usage(self):
        for args in ((DEMO,), (DEMO, "a", "--ids", "1"), (DEMO, "a", "--template", "t"),
                     (DEMO, "a", "--tools", "t"), ("a", "b", "c")):
            self.assertEqual(run("tokenize", *args).returncode, 2)
        self.assert_fails(run("tokenize", self.temp, "hi"), "tokenizer.json")


class Shapes(CliTest):
    """Wrong shapes of messages, in the one reader that tokenize, run and chat share."""

    def assert_refused(self, value, *words, option="--messages", command="tokenize"):
        file = self.temp / "given.json"
        file.write_text(value if isinstance(value, str) else json.dumps(value))
        args = [command, DEMO, option, file]
        if option == "--tools":
            (self.temp / "chat.json").write_text(json.dumps(CHAT))
            args += ["--messages", self.temp / "chat.json"]
        result = run(*args)
        self.assert_fails(result, "given.json: ", *words)
        self.assertLess(len(result.stderr), 400)

    def test_messages(self):
        self.assert_refused("", "no valid JSON")
        self.assert_refused('"x"', 'got "x", want an array of messages, or an object')
        self.assert_refused({"messages": 3}, "messages: got 3, want an array of messages")
        self.assert_refused({"tools": []}, "messages: got nothing")
        self.assert_refused({"messages": [], "model": "x"}, 'got field "model"')
        self.assert_refused([*CHAT, {"role": 3}], "messages[2].role: got 3, want a string")
        self.assert_refused([{"content": "x"}], "messages[0].role: got nothing, want a string")
        self.assert_refused([[1]], "messages[0]: got an array, want an object")
        self.assert_refused([{"role": "user", "content": {}}],
                            "messages[0].content: got an object, want a string or an array of parts")
        self.assert_refused([{"role": "user", "content": ["x"]}],
                            'messages[0].content[0]: got "x", want an object')
        self.assert_refused([{"role": "user", "content": [{"type": "text", "text": None}]}],
                            "messages[0].content[0].text: got null, want a string")
        self.assert_refused([{"role": "assistant", "tool_calls": [{"function": {"name": 1}}]}],
                            "messages[0].tool_calls[0].function.name: got 1, want a string")
        self.assert_refused([{"role": "x" * 100000, "content": 1e300}], "content: got 1e+300")
        self.assert_refused('[{"role": "user", "role": "user"}]', "role")
        self.assert_refused("[" * 100000, "deep")

    def test_tools(self):
        self.assert_refused({"name": "f"}, "got an object, want an array of tools", option="--tools")
        self.assert_refused(CHAT, "[0]: got a message, want an object that describes a tool", option="--tools")
        self.assert_refused([1], "[0]: got 1, want an object that describes a tool", option="--tools")

    def test_run_reads_only_text(self):
        self.assert_refused([{"role": "user", "content": [{"type": "image_url"}]}],
                            'messages[0].content[0].type: got "image_url", want "text"', command="run")
        self.assert_refused([{"role": "user"}], "messages[0].content: got nothing", command="run")
        (self.temp / "none.json").write_text("[]")
        self.assert_fails(run("run", DEMO, "--messages", self.temp / "none.json"), "at least one")

    def test_template_arguments(self):
        (self.temp / "chat.json").write_text(json.dumps(CHAT))
        for arguments, words in ((["think"], "want NAME=JSON"), (["1a=2"], "want NAME=JSON"),
                                 (["think=maybe"], "--template-arg think: got 'maybe', want JSON"),
                                 (["messages=[]"], "--messages gives these"),
                                 (["a=1", "a=2"], "got a twice")):
            options = [word for argument in arguments for word in ("--template-arg", argument)]
            self.assert_usage(run("run", DEMO, "--messages", self.temp / "chat.json", *options), words)

    def test_usage(self):
        for args in (("-p", "a", "--messages", "m"), ("--messages", "m", "--system", "s"),
                     ("--messages", "m", "--raw"), ("-p", "a", "--raw", "--tools", "t")):
            self.assertEqual(run("run", DEMO, *args).returncode, 2)
        self.assert_usage(run("chat", DEMO, "--messages", "-"), "standard input")
        self.assert_usage(run("run", DEMO, "-p", "-", "--tools", "-"), "standard input")
        self.assert_fails(run("run", DEMO, "--messages", self.temp), "a directory")


class Answers(CliTest):
    def test_run_with_messages(self):
        file = self.temp / "chat.json"
        file.write_text(json.dumps([{"role": "user", "content": [{"type": "text", "text": "What is 7 + 8?"}]}]))
        result = run("run", DEMO, "--messages", file, "-q")
        self.assert_done(result)
        self.assertEqual(result.stdout, "7 + 8 = 15.\n")

    def test_chat_goes_on_from_messages(self):
        file = self.temp / "chat.json"
        file.write_text(json.dumps([{"role": "user", "content": "What is 7 + 8?"}]))
        # The file's question is answered first, and again after /reset. CR LF ends a line too.
        result = run("chat", DEMO, "--messages", file, stdin=b"/reset\r\n/exit\r\nWhat is 1 + 1?\r\n")
        self.assert_done(result)
        self.assertEqual(result.stdout, "7 + 8 = 15.\n7 + 8 = 15.\n")

    def test_prompts_with_carriage_returns(self):
        for data in (b"What is 7 + 8?\r\n", b"What is 7 + 8?\n", b"What is 7 + 8?"):
            result = run("run", DEMO, "-p", "-", "-q", stdin=data)
            self.assertEqual(result.stdout, "7 + 8 = 15.\n")
        result = run("chat", DEMO, stdin=b"What is 7 + 8?\r\n/exit\r")
        self.assertEqual(result.stdout, "7 + 8 = 15.\n")


if __name__ == "__main__":
    unittest.main()
