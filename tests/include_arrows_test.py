#!/usr/bin/env python3
"""Checks the sources' layout: which folder may include which, who may name WebGPU, file lengths.

    tests/include_arrows_test.py [ROOT]     checks the checkout at ROOT (default: this one)
    tests/include_arrows_test.py --self     checks this checker on made-up trees
"""

import pathlib
import re
import sys
import tempfile

# FOLDER -> the folders under src/ that its files may include; docs/architecture.md draws the same.
ALLOWED = {
    'base': set(),
    'wgsl': {'base'},
    'graph': {'base'},
    'text': {'base'},
    'schedule': {'base'},
    'onnx': {'graph', 'base'},
    'passes': {'graph', 'base'},
    'convert': {'onnx', 'graph', 'base'},
    'kernels': {'wgsl', 'base'},
    'gpu': {'wgsl', 'base'},
    'compile': {'kernels', 'graph', 'base'},
}
ALLOWED['interpret'] = ALLOWED['compile'] | {'compile', 'passes'}
ALLOWED['model'] = ALLOWED['compile'] | {'compile', 'passes', 'onnx'}
ALLOWED['run'] = ALLOWED['compile'] | {'compile', 'gpu', 'wgsl'}
ALLOWED['engine'] = ALLOWED['run'] | ALLOWED['model'] | {'run', 'model', 'schedule'}
ALLOWED['generate'] = ALLOWED['engine'] | {'engine', 'text'}
ALLOWED['cli'] = ALLOWED['generate'] | {'generate', 'convert', 'interpret'}
ALLOWED['api'] = ALLOWED['generate'] | {'generate'}
ALLOWED['server'] = ALLOWED['generate'] | {'generate'}

# The one folder that knows the API beneath; everything else goes through its classes.
WEBGPU_FOLDER = 'gpu'
WEBGPU = re.compile(r'#\s*include\s*[<"](webgpu|dawn)/|__EMSCRIPTEN__')
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"/]+)/[^"]*"')

MAX_LINES = 800
SUFFIXES = {'.cc', '.h', '.hpp', '.wgsl', '.cmake', '.py', '.sh', '.ts', '.js', '.txt'}
SOURCE_FOLDERS = ('src', 'include', 'tests', 'tools', 'bench', 'cmake', 'web')


def check_includes(root):
    """Yields a message for each line under src/ that crosses an arrow or names WebGPU."""
    for path in sorted((root / 'src').rglob('*')):
        if path.suffix not in {'.cc', '.h', '.hpp'} or not path.is_file():
            continue
        parts = path.relative_to(root / 'src').parts
        folder = parts[0]
        if len(parts) < 2:
            yield f'{path}: lies in no folder of src/'
            continue
        if folder not in ALLOWED:
            yield f'{path}: folder src/{folder} has no arrows in {pathlib.Path(__file__).name}'
            continue
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            found = INCLUDE.match(line)
            target = found and found.group(1)
            # A test is a leaf: it may build its cases with whatever it likes.
            if (target in ALLOWED and target != folder and target not in ALLOWED[folder] and
                    not path.name.endswith('_test.cc')):
                yield f'{path}:{number}: src/{folder} may not include src/{target}'
            if folder != WEBGPU_FOLDER and WEBGPU.search(line):
                yield f'{path}:{number}: only src/{WEBGPU_FOLDER} may name webgpu.h or __EMSCRIPTEN__'


def check_lengths(root):
    """Yields a message for each source file that is too long to be read in one go."""
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob('*')):
            if path.suffix not in SUFFIXES or not path.is_file() or 'node_modules' in path.parts:
                continue
            lines = path.read_bytes().count(b'\n')
            if lines > MAX_LINES and 'data' not in path.relative_to(root).parts:
                yield f'{path}: {lines} lines, more than {MAX_LINES}'


def check(root):
    """Returns all messages about the tree at root."""
    return [*check_includes(root), *check_lengths(root)]


def self_check():
    """Each rule fires on a tree that breaks it, and a tree that keeps them all is accepted."""
    cases = [
        ({'src/graph/a.cc': '#include "base/error.h"\n'}, None),
        ({'src/cli/a.cc': '#include "generate/generator.h"\n'}, None),
        ({'src/gpu/a.h': '#include <webgpu/webgpu_cpp.h>\n#ifdef __EMSCRIPTEN__\n'}, None),
        ({'src/run/a_test.cc': '#include "onnx/reader.h"\n'}, None),
        ({'src/base/a.h': '#include "gpu/device.h"\n'}, 'src/base may not include src/gpu'),
        ({'src/graph/a.h': '#include "onnx/reader.h"\n'}, 'src/graph may not include src/onnx'),
        ({'src/kernels/x/x.cc': '#include "graph/graph.h"\n'},
         'src/kernels may not include src/graph'),
        ({'src/kernels/x/x.cc': '#include "gpu/device.h"\n'},
         'src/kernels may not include src/gpu'),
        ({'src/compile/a.cc': '#include "gpu/device.h"\n'}, 'src/compile may not include src/gpu'),
        ({'src/compile/a.cc': '#include "run/program.h"\n'}, 'src/compile may not include src/run'),
        ({'src/model/a.cc': '#include "gpu/device.h"\n'}, 'src/model may not include src/gpu'),
        ({'src/engine/a.cc': '#include "schedule/page_cache.h"\n'}, None),
        ({'src/schedule/a.h': '#include "engine/model.h"\n'},
         'src/schedule may not include src/engine'),
        ({'src/run/a.cc': '#include "engine/model.h"\n'}, 'src/run may not include src/engine'),
        ({'src/run/a.cc': '# include <dawn/native/DawnNative.h>\n'}, 'only src/gpu'),
        ({'src/run/a.cc': '#if defined(__EMSCRIPTEN__)\n'}, 'only src/gpu'),
        ({'src/novel/a.cc': ''}, 'no arrows'),
        ({'src/a.cc': ''}, 'lies in no folder'),
        ({'src/base/a.cc': '\n' * (MAX_LINES + 1)}, 'more than 800'),
    ]
    failures = []
    for files, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding='utf-8')
            messages = check(root)
            right = (len(messages) >= 1 and all(expected in m for m in messages)) \
                if expected else not messages
            if not right:
                failures.append(f'{files}: got {messages}, want {expected}')
    return failures


def main(arguments):
    if arguments == ['--self']:
        messages = self_check()
    else:
        root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent)
        messages = check(root)
    print('\n'.join(messages) or 'ok')
    return 1 if messages else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
