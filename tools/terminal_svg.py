#!/usr/bin/env python3
"""Makes docs/images/demo.svg, a picture of a real terminal session.

    tools/terminal_svg.py OUT.svg [--sinter COMMAND]

Runs the commands of SESSION on a pseudo-terminal, types the lines given there, and draws the
screen's contents at the end. Needs Python's standard library only.
"""

import argparse
import os
import pty
import select
import shlex
import struct
import subprocess
import sys
import termios
import fcntl
from xml.sax.saxutils import escape

COLUMNS, ROWS = 124, 400
TIMEOUT_SECONDS = 120

# (command as the picture shows it, lines typed at its `> ` prompts; "^D" is end of file)
SESSION = [
    ('./sinter run models/demo -p "Write a short story about Lily and a lost kite."', []),
    ("./sinter chat models/demo", ["What is 23 + 45?", "And 62 - 17?", "^D"]),
]

FONT_SIZE, LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 14, 19, 8.43, 18
COLORS = {"background": "#11151c", "text": "#d7dde6", "command": "#8bd49c", "figures": "#7b8798",
          "title": "#9aa5b5"}


def capture(command, typed):
    """Returns the text that `command` writes to a terminal of COLUMNS columns.

    Types one line of `typed` whenever the output ends with a `> ` prompt. Exits with a message if the
    command fails or stays silent for TIMEOUT_SECONDS.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave,
                               start_new_session=True)
    os.close(slave)
    output, answered = b"", 0
    typed = list(typed)
    while True:
        if select.select([master], [], [], TIMEOUT_SECONDS)[0]:
            try:
                piece = os.read(master, 4096)
            except OSError:  # Linux reports a closed other end as an error
                piece = b""
            if not piece:
                break
            output += piece
        else:
            process.kill()
            sys.exit(f"{command}: silent for {TIMEOUT_SECONDS} s")
        if typed and output[answered:].endswith(b"> "):
            line = typed.pop(0)
            os.write(master, b"\x04" if line == "^D" else line.encode() + b"\n")
            answered = len(output)
    os.close(master)
    if process.wait() != 0:
        sys.exit(f"{command}: exit code {process.returncode}\n{output.decode('utf-8', 'replace')}")
    return output.decode("utf-8", "replace")


def screen(text):
    """Returns the lines left on the screen; `\\r` returns to column 0, ESC [K erases to the line's end."""
    lines = [""]
    column = 0
    at = 0
    while at < len(text):
        if text.startswith("\x1b[K", at):
            lines[-1] = lines[-1][:column]
            at += 3
            continue
        character = text[at]
        at += 1
        if character == "\n":
            lines.append("")
            column = 0
        elif character == "\r":
            column = 0
        elif character >= " ":
            if column == COLUMNS:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1:]
            column += 1
    return [line.rstrip() for line in lines]


def svg(rows):
    """Returns the picture as SVG. `rows` holds (CSS class, text) of each line."""
    width = round(COLUMNS * CHARACTER_WIDTH + 2 * MARGIN)
    top = 44
    height = top + len(rows) * LINE_HEIGHT + MARGIN
    style = "".join(f".{name}{{fill:{color}}}" for name, color in COLORS.items())
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" role="img" aria-label="A terminal session of Sinter">',
           f"<style>text{{font:{FONT_SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans "
           f"Mono',monospace;white-space:pre}}{style}</style>",
           f'<rect class="background" width="{width}" height="{height}" rx="10"/>']
    for index, color in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        out.append(f'<circle cx="{MARGIN + 4 + 20 * index}" cy="20" r="6" fill="{color}"/>')
    out.append(f'<text class="title" x="{width / 2}" y="25" text-anchor="middle">sinter</text>')
    for index, (name, text) in enumerate(rows):
        if text:
            # textLength keeps the columns aligned with fonts of other widths.
            out.append(f'<text class="{name}" x="{MARGIN}" y="{top + (index + 1) * LINE_HEIGHT - 5}" '
                       f'textLength="{len(text) * CHARACTER_WIDTH:.1f}" xml:space="preserve">'
                       f"{escape(text)}</text>")
    return "\n".join(out) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("out")
    parser.add_argument("--sinter", default="./sinter", help="what runs in the place of ./sinter")
    options = parser.parse_args()
    rows = []
    for shown, typed in SESSION:
        words = shlex.split(shown)
        rows += [("command", line) for line in screen("$ " + shown)]
        for line in screen(capture(shlex.split(options.sinter) + words[1:], typed)):
            name = "figures" if line.startswith(("[", "/reset")) else "text"
            rows.append(("command" if line.startswith("> ") else name, line))
        while rows and not rows[-1][1]:
            rows.pop()
        rows.append(("text", ""))
    with open(options.out, "w", encoding="utf-8") as file:
        file.write(svg(rows[:-1]))


if __name__ == "__main__":
    main()
