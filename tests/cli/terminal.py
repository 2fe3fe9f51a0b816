"""Runs the program on a pseudo-terminal."""

import fcntl
import os
import pty
import select
import struct
import termios
import time

from sinter_cli import TIMEOUT_SECONDS, CliTest, start


def set_size(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def start_on_terminal(test, rows, columns, *command, **options):
    """Starts the program on a terminal of its own until the test ends; returns its process and the terminal."""
    def take_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    master, slave = pty.openpty()
    set_size(master, rows, columns)
    process = start(*command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                    preexec_fn=take_terminal, **options)
    os.close(slave)
    test.addCleanup(os.close, master)
    test.addCleanup(process.kill)
    return process, master


class TerminalTest(CliTest):
    """Base of the tests: the program runs on a pseudo-terminal, and the test types and reads."""

    def open(self, *command, size=(24, 80), **options):
        self.process, self.master = start_on_terminal(self, *size, *command, **options)
        self.screen = b""

    def read_until(self, text):
        """Reads the output until it contains `text`; returns what came since the last call."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while text not in self.screen:
            self.assertLess(time.monotonic(), deadline, self.screen)
            if select.select([self.master], [], [], 1)[0]:
                self.screen += os.read(self.master, 4096)
        end = self.screen.index(text) + len(text)
        seen, self.screen = self.screen[:end], self.screen[end:]
        return seen

    def resize(self, rows, columns):
        set_size(self.master, rows, columns)

    def local_modes(self):
        """Returns the terminal's modes of echo and the like (c_lflag)."""
        return termios.tcgetattr(self.master)[3]

    def type(self, text):
        """Types the text, and reads meanwhile: a terminal holds only so much."""
        while text:
            readable, writable, _ = select.select([self.master], [self.master], [], TIMEOUT_SECONDS)
            if readable:
                self.screen += os.read(self.master, 4096)
            elif writable:
                text = text[os.write(self.master, text[:512]):]
