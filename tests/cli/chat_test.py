"""Tests of sinter chat: its commands, files and full contexts through pipes, its editor on terminals."""

import json
import os
import signal
import stat
import subprocess
import termios
import time
import unittest

from sinter_cli import DEMO, TIMEOUT_SECONDS, CliTest, run, start
from terminal import TerminalTest

SUM = b"What is 7 + 8?\n"
ANSWER = "7 + 8 = 15.\n"


class Pipes(CliTest):
    def chat(self, lines, *options, code=0):
        """Runs a chat on these lines; returns its answers and what it says besides."""
        result = run("chat", DEMO, *options, stdin=lines)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout, result.stderr

    def saved(self, name):
        """Returns the roles and texts of a saved conversation."""
        return [(message["role"], message["content"]) for message in json.loads((self.temp / name).read_text())]

    def test_line_ends_and_blank_lines(self):
        out, err = self.chat(b"\r\n \r\nWhat is 7 + 8?\r\n\t\nAnd 62 - 17?")
        self.assertEqual((out, err), (ANSWER + "62 - 17 = 45.\n", ""))

    def test_commands(self):
        out, err = self.chat(b"/undo\n/regen\n" + SUM + b"/regen\nAnd 62 - 17?\n/undo\n/save " +
                             bytes(self.temp / "a.json") + b"\n/stats\n/exit\nWhat is 1 + 1?\n", code=1)
        self.assertEqual(out, ANSWER * 2 + "62 - 17 = 45.\n")
        self.assertEqual(self.saved("a.json"), [("user", "What is 7 + 8?"), ("assistant", "7 + 8 = 15.")])
        lines = err.splitlines()
        self.assertIn("[chat] /undo: there is nothing to undo", lines[0])
        self.assertIn("[chat] /regen: there is no answer to regenerate yet", lines[1])
        self.assertEqual(lines[3], "2 messages saved.")
        self.assertRegex(lines[4], r"^\[prompt [0-9]+ tokens in .*; answer [0-9]+ tokens, [0-9.]+ tokens/s; "
                                   r"end_token; context [0-9]+ of 1024 tokens\]$")
        self.assertEqual(len(lines), 5)

    def test_an_unknown_command_does_not_end_the_chat(self):
        out, err = self.chat(b"/rest\n" + SUM, code=1)
        self.assertEqual(out, ANSWER)
        self.assertRegex(err, r"\Asinter: \[chat\] command: got '/rest', .*did you mean '/reset'.*\n\Z")

        out, err = self.chat(b"/rest\n" + SUM, "--json", code=1)
        self.assertEqual(json.loads(out)["text"] + "\n", ANSWER)
        self.assertEqual((json.loads(err)["error"]["area"], json.loads(err)["error"]["code"]), ("chat", 1))

    def test_messages_that_begin_with_a_slash(self):
        out, err = self.chat(b" /exit\n// x\n/save " + bytes(self.temp / "a.json") + b"\n")
        texts = [text for role, text in self.saved("a.json") if role == "user"]
        self.assertEqual(texts, ["/exit", "// x"])

    def test_help_is_apart_from_the_answers(self):
        out, err = self.chat(b"/help\n")
        self.assertEqual(out, "")
        for name in ("/help", "/reset", "/system", "/save", "/load", "/regen", "/undo", "/set", "/stats", "/exit"):
            self.assertIn("\n" + name + " ", "\n" + err)

    def test_a_full_context_leaves_the_oldest_turns_out(self):
        lines = b"".join(b"What is %d + 8?\n" % number for number in range(1, 9))
        out, err = self.chat(lines, "--max-length", "60", "--system", "Be brief.", "--session", self.temp / "a.json")
        self.assertEqual(out, "".join(f"{number} + 8 = {number + 8}.\n" for number in range(1, 9)))
        for line in err.splitlines():
            self.assertRegex(line, r"^sinter: the context of 60 tokens is full: the model no longer sees the "
                                   r"oldest ([0-9]+ turns|turn)$")
        self.assertGreaterEqual(len(err.splitlines()), 2)
        # The file keeps what the model no longer sees.
        self.assertEqual(len(self.saved("a.json")), 1 + 2 * 8)
        answers = [json.loads(line) for line in
                   self.chat(lines, "--max-length", "60", "--system", "Be brief.", "--json")[0].splitlines()]
        left_out = [answer["left_out_turns"] for answer in answers]
        self.assertEqual(left_out[0], 0)
        self.assertGreater(left_out[-1], 3)
        self.assertEqual(left_out, sorted(left_out))
        self.assertLess(max(answer["conversation_tokens"] for answer in answers), 60)

    def test_an_answer_goes_on_in_a_full_context(self):
        lines = b"".join(b"What is %d + 8?\n" % number for number in range(1, 13))
        lines += b"Write a short story about Lily and a lost kite.\n"
        alone = self.chat(lines.splitlines()[-1] + b"\n", "--max-length", "300", "--json")[0]
        self.assertGreater(len(json.loads(alone)["tokens"]), 120)
        out, err = self.chat(lines, "--max-length", "300", "--stats")
        self.assertRegex(err.splitlines()[-1], r"answer [0-9]{3} tokens, .*; end_token; context ")
        # The last notice comes after the answer, not within it.
        self.assertRegex(err.splitlines()[-2], "the model no longer sees the oldest 1[0-2] turns$")
        self.assertTrue(out.splitlines()[-1].endswith("."), out)

    def test_only_a_message_that_is_too_long_by_itself_is_an_error(self):
        out, err = self.chat(SUM + b"word " * 90 + b"\n" + SUM, "--max-length", "60", code=1)
        self.assertEqual(out, ANSWER * 2)
        self.assertRegex(err, r"\Asinter: \[chat\] message: got [0-9]{2,3} tokens including the system message, "
                              r"want at most 59 \(--max-length minus 1 for the answer\)\n\Z")

    def test_a_session_goes_on(self):
        session = self.temp / "session.json"
        self.assertEqual(self.chat(SUM, "--session", session)[0], ANSWER)
        self.assertEqual(stat.S_IMODE(session.stat().st_mode), 0o600)
        session.chmod(0o644)
        self.assertEqual(self.chat(b"/regen\n/system Be kind.\nAnd 62 - 17?\n", "--session", session)[0],
                         ANSWER + "62 - 17 = 45.\n")
        self.assertEqual(stat.S_IMODE(session.stat().st_mode), 0o644)
        self.assertEqual([role for role, _ in self.saved("session.json")],
                         ["system", "user", "assistant", "user", "assistant"])
        # An empty file is a new session; a file of something else is not touched.
        session.write_text("")
        self.chat(b"", "--session", session)
        self.assertEqual(self.saved("session.json"), [])
        session.write_text("notes")
        self.assert_fails(run("chat", DEMO, "--session", session), "[chat]", "session.json")
        self.assertEqual(session.read_text(), "notes")
        self.assert_fails(run("chat", DEMO, "--session", self.temp / "none" / "a"), "No such file")

    def test_a_session_that_another_program_changes(self):
        session = self.temp / "session.json"
        process = start("chat", DEMO, "--session", session, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
        process.stdin.write(SUM)
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), ANSWER.encode())
        while len(json.loads(session.read_text())) < 2:
            time.sleep(0.01)
        session.write_text("[]\n")
        out, err = process.communicate(SUM * 2, timeout=TIMEOUT_SECONDS)
        self.assertEqual(out, ANSWER.encode() * 2)
        self.assertRegex(err.decode(), r"\Asinter: \[chat\] --session: got a file that another program has changed, "
                                       r".*\n\Z")
        self.assertEqual((process.returncode, session.read_text()), (1, "[]\n"))

    def test_a_session_file_that_the_chat_saves_to(self):
        session = self.temp / "session.json"
        link = self.temp / "link.json"
        link.symlink_to(session)
        for name in (session, link):
            _, err = self.chat(b"/system a\n/save " + bytes(name) + b"\n" + SUM, "--session", session)
            self.assertNotIn("sinter:", err)
            self.assertEqual(len(self.saved("session.json")), 3)
            session.unlink()

    def test_a_session_keeps_what_load_and_reset_drop(self):
        session, other = self.temp / "session.json", self.temp / "other.json"
        self.chat(SUM, "--session", session)
        self.chat(b"What is 1 + 1?\n", "--session", other)
        lines = b"/load " + bytes(other) + b"\n/reset\n/reset\n/load " + bytes(other) + b"\n/reset\n"
        out, err = self.chat(lines, "--session", session)
        self.assertEqual(err, f"Loaded 2 messages; the one before is kept in {session}.bak.\n"
                              f"Forgot the conversation; the one before is kept in {session}.bak2.\n"
                              "Forgot the conversation.\n"
                              "Loaded 2 messages.\n"
                              f"Forgot the conversation; the one before is kept in {session}.bak2.\n")
        self.assertEqual(self.saved("session.json"), [])
        self.assertEqual(self.saved("session.json.bak")[0], ("user", "What is 7 + 8?"))
        self.assertEqual(self.saved("session.json.bak2"), self.saved("other.json"))
        self.assertEqual(stat.S_IMODE((self.temp / "session.json.bak").stat().st_mode), 0o600)
        # Without a session there is no file to lose.
        self.assertEqual(self.chat(b"/load " + bytes(other) + b"\n/reset\n")[1],
                         "Loaded 2 messages.\nForgot the conversation.\n")

    def test_lines_that_are_not_utf8(self):
        out, err = self.chat(b"a\xff\n/system b\xfe\n" + SUM + b"/save " + bytes(self.temp) + b"/c\xe9.json\n", code=1)
        self.assertEqual(out, ANSWER)
        self.assertEqual(err, "sinter: [chat] message: got byte 0xff at offset 1, want UTF-8 text\n"
                              "sinter: [chat] message: got byte 0xfe at offset 9, want UTF-8 text\n"
                              "2 messages saved.\n")
        self.assertEqual(self.saved(os.fsdecode(b"c\xe9.json"))[0], ("user", "What is 7 + 8?"))

    def test_a_message_is_kept_before_its_answer(self):
        session = self.temp / "session.json"
        process = start("chat", DEMO, "--session", session, "--sample", "--temperature", "5", "--seed", "5",
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"Write a short story about Lily and a lost kite.\n")
        process.stdin.flush()
        process.stdout.read(1)
        process.kill()
        process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual(self.saved("session.json"), [("user", "Write a short story about Lily and a lost kite.")])
        # The next chat begins with the answer.
        self.assertNotEqual(self.chat(b"", "--session", session)[0], "")
        self.assertEqual(self.saved("session.json")[1][0], "assistant")

    def test_load_and_save_keep_tools(self):
        tools = [{"type": "function", "function": {"name": "f"}}]
        (self.temp / "in.json").write_text(json.dumps({"messages": [{"role": "user", "content": "What is 7 + 8?"}],
                                                       "tools": tools}))
        out, err = self.chat(b"/load " + bytes(self.temp / "in.json") + b"\n/save " + bytes(self.temp / "out.json") +
                             b"\n/reset\n/save " + bytes(self.temp / "new.json") + b"\n")
        self.assertEqual(out, ANSWER)  # the user's message waited for it
        saved = json.loads((self.temp / "out.json").read_text())
        self.assertEqual(saved["tools"], tools)
        self.assertEqual(saved["messages"][1]["content"], "7 + 8 = 15.")
        self.assertEqual(json.loads((self.temp / "new.json").read_text())["messages"], [])

    def test_files_that_go_wrong(self):
        (self.temp / "notes").write_text("notes")
        name = bytes(self.temp)
        _, err = self.chat(b"/load %b/none\n/load %b/notes\n/save %b/notes\n/save %b\n/save %b/no/a\n" %
                           ((name,) * 5), code=1)
        lines = err.splitlines()
        self.assertEqual(len(lines), 5, err)
        for line, words in zip(lines, ("no such file", "notes", "something other than a conversation",
                                       "something other than a conversation", "No such file")):
            self.assertIn("sinter: [chat] ", line)
            self.assertIn(words, line)
        self.assertEqual((self.temp / "notes").read_text(), "notes")

    def test_settings_and_seeds(self):
        story = b"Write a short story about Lily and a lost kite.\n"
        lines = b"/set\n/set temperature=1.5\n/set max_new_tokens=12\n" + story + b"/reset\n" + story + b"/regen\n"
        out, err = self.chat(lines, "--json")
        first, second, again = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(first["tokens"]), 12)
        self.assertEqual((first["seed"], first["text"]), (second["seed"], second["text"]))
        self.assertEqual(again["seed"], first["seed"] + 1)
        self.assertNotEqual(again["text"], first["text"])
        self.assertIn("temperature=1.5\n", err)
        # The seed gives the same answers in another chat, and is then not told.
        out, err = self.chat(story, "--temperature", "1.5", "-n", "12", "--seed", first["seed"])
        self.assertEqual((out, err), (first["text"] + "\n", ""))
        self.assertRegex(self.chat(story, "--temperature", "1.5", "-n", "2")[1],
                         r"\Asinter: seed ([0-9]+) \(--seed \1 repeats the answers\)\n\Z")
        _, err = self.chat(b"/set top_p=0.5\n", "--greedy")
        self.assertRegex(err, r"\nNo effect while greedy: top_k=\d+ top_p=0.5 min_p=\S+ seed=\d+\n\Z")
        _, err = self.chat(b"/set top_p=3\n/set tempreture=1\n", code=1)
        self.assertRegex(err, r"\Asinter: \[chat\] /set top_p: got 3, want 0 to 1\n"
                              r"sinter: \[chat\] /set: got 'tempreture', .*did you mean 'temperature'\?\n\Z")


class EditorTest(TerminalTest):
    """Base of the tests of the editor, with a history of their own."""

    # What the editor writes where a message begins.
    PROMPT = b"\x1b[?2004h\r\x1b[J> "

    def setUp(self):
        super().setUp()
        self.history = self.temp / "state" / "sinter" / "history"
        self.environment = {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": str(self.temp / "state")}

    def open_chat(self, *options, **more):
        self.open("chat", DEMO, "--greedy", *options, env=self.environment, **more)
        return self.read_until(self.PROMPT)

    def ask(self, text, end=b"\r"):
        """Types a message; returns the output up to the next prompt."""
        self.type(text + end)
        return self.read_until(self.PROMPT)

    def leave(self, keys=b"\x04", code=0):
        self.type(keys)
        self.assertEqual(self.process.wait(TIMEOUT_SECONDS), code)


class Editor(EditorTest):
    def test_a_session(self):
        welcome = self.open_chat()
        self.assertIn(b"demo on ", welcome)
        self.assertIn(b"Ctrl-D leaves", welcome)
        # A newline ends a message, too, as scripts send it.
        self.assertIn(b"> What is 7 + 8?\r\n\x1b[?2004h7 + 8 = 15.\r\n\r\n", self.ask(b"What is 7 + 8?", b"\n"))
        self.assertIn(b"did you mean '/reset'?", self.ask(b"/rest"))
        # Tab completes; arrows, Home and Ctrl-K edit.
        self.assertIn(b"/help              show this help", self.ask(b"/he\t"))
        self.assertIn(b"> /s\r\n/system /save /set /stats\r\n\r\x1b[J> /s", self.ask(b"/s\t", b"\x03"))
        self.assertIn(b"62 - 17 = 45.", self.ask(b"hat is 62 - 17? zzz\x1b[D\x1b[D\x1b[D\x0b\x01W"))
        self.assertIn(b"tokens/s and context use; on", self.ask(b"/help"))
        self.assertIn(b"Figures will follow", self.ask(b"/stats on"))
        self.assertRegex(self.ask(b"What is 7 + 8?"), rb"tokens/s; end_token; context [0-9]+ of 1024 tokens\]")
        self.leave()
        # The shell gets its terminal back: with echo, in lines, without marks around pastes.
        self.assertEqual(self.local_modes() & (termios.ECHO | termios.ICANON | termios.ISIG),
                         termios.ECHO | termios.ICANON | termios.ISIG)
        self.read_until(b"\x1b[?2004l")

    def test_several_lines_and_long_ones(self):
        self.open_chat()
        self.ask(b"/system \x1b[200~one\r\n\ttwo\n\x1b[201~three\\\rfour\x1b\rfive")
        self.ask(b"/save " + bytes(self.temp / "a.json"))
        system = json.loads((self.temp / "a.json").read_text())[0]["content"]
        self.assertEqual(system, "one\n\ttwo\nthree\nfour\nfive")
        # A terminal in its usual mode drops what a line has beyond 4,095 bytes.
        for begin, end in ((b"", b""), (b"\x1b[200~", b"\x1b[201~")):
            long = b"".join(b"%d," % number for number in range(2000))
            self.ask(b"/system " + begin + long + end)
            self.ask(b"/save " + bytes(self.temp / "a.json"))
            system = json.loads((self.temp / "a.json").read_text())[0]["content"]
            self.assertEqual(system.encode(), long)
        self.leave(b"/exit\r")

    def test_ctrl_c(self):
        self.open_chat("--session", self.temp / "a.json")
        self.type(b"Write a short story about Lily and a lost kite.\r")
        self.read_until(b"Lily")  # the message
        self.read_until(b"Lily")  # the answer
        self.type(b"\x03")
        self.assertNotIn(b"The end.", self.read_until(self.PROMPT))
        answer = json.loads((self.temp / "a.json").read_text())[1]
        self.assertEqual(answer["role"], "assistant")
        self.assertIn("Lily", answer["content"])
        # Pressed twice, as people do, it still only stops the answer.
        self.type(b"Write a short story about Lily and a lost kite.\r")
        self.read_until(b"Lily")
        self.read_until(b"Lily")
        self.type(b"\x03\x03")
        self.read_until(self.PROMPT)
        # At a prompt with text it drops the text, which the history keeps.
        self.assertIn(b"not sent", self.ask(b"What is 7 + 8", b"\x03"))
        self.assertIn(b"7 + 8 = 15.", self.ask(b"\x1b[A?"))
        self.assertIn(b"Ctrl-C again", self.ask(b"", b"\x03"))
        self.ask(b"")
        self.assertIn(b"Ctrl-C again", self.ask(b"", b"\x03"))
        self.leave(b"\x03", code=130)
        self.assertTrue(self.local_modes() & termios.ECHO)

    def test_ctrl_c_before_the_answer(self):
        self.environment.update(XDG_CACHE_HOME=str(self.temp / "cache"), MESA_SHADER_CACHE_DISABLE="true")
        self.open_chat()
        self.type(b"What is 7 + 8?\r")
        self.read_until(b"waiting for the first token")
        self.type(b"\x03")
        self.assertFalse(self.local_modes() & termios.ECHO)
        self.type(b"/help")
        # What is typed meanwhile is not echoed, and begins the next message.
        self.assertNotIn(b"/help", self.read_until(self.PROMPT))
        self.assertIn(b"show this help", self.ask(b""))
        self.leave()

    def test_history_on_disk(self):
        self.open_chat()
        self.ask(b"What is 7 + 8?")
        self.ask(b"/system a\x1b\rb")
        self.leave()
        self.assertEqual(self.history.read_text(), "What is 7 + 8?\n/system a\\nb\n")
        self.assertEqual(stat.S_IMODE(self.history.stat().st_mode), 0o600)
        self.open_chat()
        self.assertIn(b"7 + 8 = 15.", self.ask(b"\x1b[A\x1b[A\x1b[A"))
        self.assertIn(b"8 + 8 = 16.", self.ask(b"\x12is 7\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x7f8"))
        self.leave()
        before = self.history.read_text()
        self.assertEqual(before.splitlines()[-1], "What is 8 + 8?")
        self.open_chat("--no-history")
        self.ask(b"What is 1 + 1?")
        self.leave()
        self.assertEqual(self.history.read_text(), before)
        # A history that cannot be kept is no reason to fail.
        self.environment["XDG_STATE_HOME"] = "/dev/null"
        self.open_chat()
        self.assertIn(b"1 + 1 = 2.", self.ask(b"What is 1 + 1?"))
        self.leave()

    def test_a_narrow_terminal_that_grows(self):
        self.open_chat(size=(5, 20))
        self.type(b"What is 7 + 8? Please tell me")
        self.read_until(b"tell me")
        self.resize(10, 60)
        self.read_until(b"\x1b[J> What is 7 + 8? Please tell me")
        self.type(b"\x17\x17\x17\r")
        self.assertIn(b"7 + 8 = 15.", self.read_until(self.PROMPT))
        self.leave()

    def test_a_signal_restores_the_terminal(self):
        self.open_chat("--session", self.temp / "a.json")
        self.assertFalse(self.local_modes() & termios.ECHO)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(TIMEOUT_SECONDS), 143)
        self.assertTrue(self.local_modes() & termios.ECHO)

    def test_what_is_typed_during_an_answer_is_the_next_message(self):
        self.open_chat()
        self.type(b"Write a short story about Lily and a lost kite.\r")
        self.read_until(b"Lily")
        self.read_until(b"Lily")
        self.type(b"What is 7 + 8?\r")
        story = self.read_until(self.PROMPT)
        self.assertNotIn(b"7 + 8", story)
        self.assertIn(b"7 + 8 = 15.", self.read_until(self.PROMPT))
        self.leave()


class DumbTerminal(EditorTest):
    """A terminal that cannot draw gets lines as they are."""

    PROMPT = b"\r\n> "

    def setUp(self):
        super().setUp()
        self.environment["TERM"] = "dumb"

    def test_a_session(self):
        welcome = self.open_chat()
        self.assertNotIn(b"\x1b[?2004h", welcome)
        self.assertIn(b"7 + 8 = 15.", self.ask(b"What is 7 + 8?", b"\n"))
        self.ask(b"/system one\\\ntwo", b"\n")
        self.assertIn(b"one\r\ntwo\r\n", self.ask(b"/system", b"\n"))
        self.assertNotIn(b"Alt-Enter", self.ask(b"/help", b"\n"))
        # A line that the terminal has cut is not taken for a message.
        self.assertIn(b"[chat] line: got 4095 bytes, where a terminal cuts lines", self.ask(b"x" * 5000, b"\n"))
        self.assertIn(b"Ctrl-C again", self.ask(b"", b"\x03"))
        self.leave(b"\x03", code=130)
        self.assertFalse(self.history.exists())

    def test_the_end_of_the_input(self):
        self.open_chat()
        self.assertIn(b"7 + 8 = 15.\r\n", self.ask(b"What is 7 + 8?\\", b"\n\x04"))
        self.leave(b"\x04")


if __name__ == "__main__":
    unittest.main()
