#!/usr/bin/env python3
"""Checks that a libsinter.so exports exactly the functions that sinter.h declares.

    tests/library/exports_test.py LIBRARY HEADER
"""

import re
import subprocess
import sys


def main(library, header):
    with open(header, encoding='utf-8') as file:
        text = re.sub(r'/\*.*?\*/', '', file.read(), flags=re.S)
    declared = set(re.findall(r'^SINTER_API\b[^;]*?\b(sinter_\w+)\(', text, flags=re.M))
    listing = subprocess.run(['nm', '-D', '--defined-only', '--format=posix', library],
                             check=True, capture_output=True, text=True).stdout
    exported = {line.split()[0] for line in listing.splitlines()}
    messages = [f'{name}: declared, not exported' for name in sorted(declared - exported)]
    messages += [f'{name}: exported, not declared' for name in sorted(exported - declared)]
    if len(declared) < 20:
        messages.append(f'{header}: got {len(declared)} functions, want more: is it read rightly?')
    print('\n'.join(messages) or f'ok: {len(declared)} functions')
    return 1 if messages else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
