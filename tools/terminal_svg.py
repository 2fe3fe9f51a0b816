#!/usr/bin/env python3
"""Makes the README's pictures of terminal sessions: docs/images/NAME-light.svg and NAME-dark.svg.

    tools/terminal_svg.py [NAME...] [--sinter COMMAND] [--out FOLDER]

NAME is a key of PICTURES; default: all of them. Runs the commands of a picture on a pseudo-terminal,
types the lines given there, and draws the screen as it is at the end, or at the first moment at which
a given text is on it. Needs Python's standard library only.
"""

import argparse
import fcntl
import os
import pathlib
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
from xml.sax.saxutils import escape

COLUMNS = 106
TIMEOUT_SECONDS = 300
# A program that is silent for this long at a prompt waits for a line.
QUIET_SECONDS = 0.3


class Command:
    """A command, which runs with ./sinter replaced by the option --sinter.

    `typed` are lines for its `> ` prompts. With `until`, a regular expression, the picture shows the
    screen at the first moment at which a line matches, and the command is stopped. A command that is
    not `shown` only prepares the next ones.
    """

    def __init__(self, line, typed=(), until=None, shown=True):
        self.line, self.typed, self.until, self.shown = line, list(typed), until, shown


PICTURES = {
    "chat": [Command("./sinter chat models/demo",
                     ["Who are you?", "What is 23 + 45?", "And 62 - 17?", "/stats", "Thank you!", "/exit"])],
    "load": [Command("./sinter convert --random 1 --config qwen3-0.6b", until=r"(6\d|7\d)%"),
             Command("./sinter convert --random 1 --config qwen3-0.6b", shown=False),
             Command("./sinter chat qwen3-0.6b-random", until=r"([4-9]\d)%")],
}

FONT_SIZE, LINE_HEIGHT, CHARACTER_WIDTH, MARGIN, TOP = 14, 19, 8.43, 18, 44
# The sixteen colours of a terminal, black to white, then their bright forms.
THEMES = {
    "dark": {"background": "#11151c", "text": "#d7dde6", "command": "#8bd49c", "title": "#9aa5b5",
             "palette": ["#11151c", "#f07178", "#8bd49c", "#ffcb6b", "#82aaff", "#c792ea", "#89ddff", "#d7dde6",
                         "#7b8798", "#ff8b92", "#a6e3b4", "#ffd98c", "#9cc4ff", "#dcb3ff", "#a3e8ff", "#ffffff"]},
    "light": {"background": "#f7f8fa", "text": "#24292f", "command": "#116329", "title": "#57606a",
              "palette": ["#24292f", "#cf222e", "#116329", "#7d4e00", "#0969da", "#8250df", "#1b7c83", "#6e7781",
                          "#57606a", "#a40e26", "#1a7f37", "#633c01", "#218bff", "#a475f9", "#3192aa", "#24292f"]},
}


class Screen:
    """What a terminal shows: rows of (character, style). A style is (colour, bold, dim, inverse); the
    colour is an index of the palette, an RGB text, or None."""

    PLAIN = (None, False, False, False)
    # Control sequences with final letter, other escapes, operating system commands, characters.
    TOKEN = re.compile(r"\x1b\[([0-9;?<>=]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|(.)",
                       re.DOTALL)

    def __init__(self):
        self.rows, self.row, self.column, self.style = [[]], 0, 0, self.PLAIN

    def feed(self, text):
        """Draws `text`; returns the incomplete sequence at its end."""
        incomplete = re.search(r"\x1b(\[[0-9;?<>=]*|\][^\x07\x1b]*)?\Z", text)
        rest = incomplete.group() if incomplete else ""
        for match in self.TOKEN.finditer(text[:len(text) - len(rest)]):
            if match.group(2):
                self._control(match.group(1), match.group(2))
            elif match.group(3):
                self._character(match.group(3))
        return rest

    def lines(self):
        return ["".join(character for character, _ in row).rstrip() for row in self.rows]

    def before_cursor(self):
        return "".join(character for character, _ in self.rows[self.row][:self.column])

    def _character(self, character):
        if character == "\n":
            self._move(self.row + 1, self.column)
        elif character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(self.column - 1, 0)
        elif character == "\t":
            self.column = min(self.column // 8 * 8 + 8, COLUMNS - 1)
        elif character >= " " and not unicodedata.combining(character):
            cells = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self.column + cells > COLUMNS:
                self._move(self.row + 1, 0)
            row = self.rows[self.row]
            row.extend([(" ", self.PLAIN)] * (self.column + cells - len(row)))
            row[self.column:self.column + cells] = [(character, self.style)] + [("", self.style)] * (cells - 1)
            self.column += cells

    def _move(self, row, column):
        self.row, self.column = max(row, 0), min(max(column, 0), COLUMNS - 1)
        while len(self.rows) <= self.row:
            self.rows.append([])

    def _control(self, parameters, final):
        numbers = [int(number or 0) for number in parameters.split(";")] if re.fullmatch(
            r"[0-9;]*", parameters) else []
        first = numbers[0] if numbers else 0
        if final in "ABCD":
            step = max(first, 1)
            self._move(self.row + {"A": -step, "B": step}.get(final, 0),
                       self.column + {"C": step, "D": -step}.get(final, 0))
        elif final == "G":
            self._move(self.row, first - 1)
        elif final in "JK":
            row = self.rows[self.row]
            if first == 0:
                del row[self.column:]
            elif first == 2:
                row.clear()
            if final == "J" and first == 0:
                del self.rows[self.row + 1:]
        elif final == "m" and numbers:
            self._select(numbers)

    def _select(self, numbers):
        color, bold, dim, inverse = self.style
        at = 0
        while at < len(numbers):
            number = numbers[at]
            if number == 0:
                color, bold, dim, inverse = self.PLAIN
            elif number in (1, 2):
                bold, dim = bold or number == 1, dim or number == 2
            elif number == 22:
                bold = dim = False
            elif number in (7, 27):
                inverse = number == 7
            elif 30 <= number <= 37 or 90 <= number <= 97:
                color = number - 30 if number < 90 else number - 82
            elif number == 39:
                color = None
            elif number == 38 and numbers[at + 1:at + 2] == [5]:
                color, at = numbers[at + 2] if numbers[at + 2] < 16 else None, at + 2
            elif number == 38 and numbers[at + 1:at + 2] == [2]:
                color, at = "#{:02x}{:02x}{:02x}".format(*numbers[at + 2:at + 5]), at + 4
            at += 1
        self.style = (color, bold, dim, inverse)


def capture(line, command, environment, folder):
    """Runs `line` and returns its Screen. Exits with a message if it fails or takes too long."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    process = subprocess.Popen(line, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                               env=environment, cwd=folder)
    os.close(slave)
    screen, rest, typed, end = Screen(), "", list(command.typed), time.monotonic() + TIMEOUT_SECONDS
    reached = False
    while time.monotonic() < end:
        if not select.select([master], [], [], QUIET_SECONDS)[0]:
            if typed and screen.before_cursor().endswith("> "):
                os.write(master, typed.pop(0).encode() + b"\r")
            continue
        try:
            piece = os.read(master, 4096)
        except OSError:  # Linux reports a closed other end as an error
            piece = b""
        if not piece:
            break
        rest = screen.feed(rest + piece.decode("utf-8", "replace"))
        if command.until and any(re.search(command.until, text) for text in screen.lines()):
            reached = True
            process.send_signal(signal.SIGINT)
            break
    else:
        process.kill()
    os.close(master)
    code = process.wait()
    if (command.until and not reached) or (not command.until and code != 0):
        sys.exit(f"{shlex.join(line)}: exit code {code}\n" + "\n".join(screen.lines()))
    return screen


def runs(row):
    """Yields (column, text, style) of the neighbouring characters with one style, without blanks at the end."""
    begin = 0
    for column in range(1, len(row) + 1):
        if column == len(row) or row[column][1] != row[begin][1]:
            text = "".join(character for character, _ in row[begin:column])
            if text.strip() or row[begin][1][3]:
                yield begin, text, row[begin][1]
            begin = column


def svg(rows, theme):
    """Returns the picture. `rows` holds a list of (column, text, style) for each row; the style of a
    command is the text "command"."""
    colors = THEMES[theme]
    width = round(COLUMNS * CHARACTER_WIDTH + 2 * MARGIN)
    height = TOP + len(rows) * LINE_HEIGHT + MARGIN
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" role="img" aria-label="A terminal session of Sinter">',
           f"<style>text{{font:{FONT_SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',"
           f"monospace;white-space:pre;fill:{colors['text']}}}</style>",
           f'<rect fill="{colors["background"]}" width="{width}" height="{height}" rx="10"/>']
    for index, color in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        out.append(f'<circle cx="{MARGIN + 4 + 20 * index}" cy="20" r="6" fill="{color}"/>')
    out.append(f'<text x="{width / 2}" y="25" text-anchor="middle" style="fill:{colors["title"]}">sinter</text>')
    for index, row in enumerate(rows):
        for column, text, style in row:
            text = text.rstrip() or text
            css = f"fill:{colors['command']}"
            x, y = MARGIN + column * CHARACTER_WIDTH, TOP + (index + 1) * LINE_HEIGHT - 5
            if style != "command":
                color, bold, dim, inverse = style
                fill = colors["text"] if color is None else colors["palette"][color] if isinstance(color, int) else color
                if inverse:
                    out.append(f'<rect x="{x:.1f}" y="{y - 14}" width="{len(text) * CHARACTER_WIDTH:.1f}" '
                               f'height="{LINE_HEIGHT}" fill="{fill}"/>')
                    fill = colors["background"]
                css = f"fill:{fill}" + (";font-weight:bold" if bold else "") + (";opacity:.65" if dim else "")
                if (color, bold, dim, inverse) == Screen.PLAIN:
                    css = ""
            # textLength keeps the columns aligned with fonts of other widths.
            out.append(f'<text x="{x:.1f}" y="{y}" textLength="{len(text) * CHARACTER_WIDTH:.1f}" '
                       f'xml:space="preserve"{f" style={chr(34)}{css}{chr(34)}" if css else ""}>{escape(text)}</text>')
    return "\n".join(out) + "\n</svg>\n"


def rows_of(picture, sinter, folder):
    """Runs the commands of a picture in `folder`; returns the rows to draw."""
    # The user's own history, settings and models do not show, nor do compiled shaders.
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment.update({"TERM": "xterm-256color", "XDG_CONFIG_HOME": f"{folder}/config",
                        "XDG_DATA_HOME": f"{folder}/data", "XDG_STATE_HOME": f"{folder}/state"})
    rows = []
    for command in picture:
        screen = capture(shlex.split(sinter) + shlex.split(command.line)[1:], command, environment, folder)
        if not command.shown:
            continue
        rows.append([(0, "$ " + command.line, "command")])
        rows += [list(runs(row)) for row in screen.rows]
        while not rows[-1]:
            rows.pop()
        rows.append([])
    return rows[:-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--sinter", default="./sinter", help="what runs in the place of ./sinter")
    parser.add_argument("--out", default="docs/images", type=pathlib.Path, help="folder of the pictures")
    options = parser.parse_args()
    for name in options.names:
        if name not in PICTURES:
            parser.error(f"got '{name}', want one of {', '.join(PICTURES)}")
    sinter = [str(pathlib.Path(word).resolve()) if "/" in word else word for word in shlex.split(options.sinter)]
    for name in options.names or PICTURES:
        with tempfile.TemporaryDirectory(prefix="sinter-picture-") as folder:
            os.symlink(pathlib.Path("models").resolve(), pathlib.Path(folder) / "models")
            rows = rows_of(PICTURES[name], shlex.join(sinter), folder)
        for theme in THEMES:
            (options.out / f"{name}-{theme}.svg").write_text(svg(rows, theme), encoding="utf-8")


if __name__ == "__main__":
    main()
