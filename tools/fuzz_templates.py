"""Random templates, rendered by Jinja2 (set up as transformers does) and by Sinter. Used by
tools/check_templates."""

import copy
import datetime
import json
import random
import signal
import time
import warnings

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = 1752148805
# Texts of objects by address, which differ from run to run.
INCOMPARABLE = (' object at 0x', ' at 0x', '<built-in', '<bound method', '<function', '<class')


class Generation(jinja2.ext.Extension):
    """transformers' tag around what an assistant says."""

    tags = {'generation'}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(['name:endgeneration'], drop_needle=True)
        call = self.call_method('_body')
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    """Returns Jinja2's environment as transformers makes it."""
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def strftime_now(format):
        now = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
        return now.replace(tzinfo=None).strftime(format)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=[Generation, 'jinja2.ext.loopcontrols'])
    made.filters['tojson'] = tojson
    made.globals['raise_exception'] = raise_exception
    made.globals['strftime_now'] = strftime_now
    return made


VARIABLES = {
    'messages': [
        {'role': 'system', 'content': 'Be brief.'},
        {'role': 'user', 'content': ' hi\n\u00a0', 'name': 'A b'},
        {'role': 'assistant', 'content': None, 'tool_calls': [
            {'id': 'x1', 'function': {'name': 'add', 'arguments': {'a': 1, 'b': [2.5, None]}}}]},
        {'role': 'user', 'content': [{'type': 'text', 'text': 'é😀'}, {'type': 'image'}]},
    ],
    'tools': [{'type': 'function', 'function': {'name': 'add', 'parameters': {
        'type': 'object', 'items': 3, 'properties': {'a': {'type': 'number'}}}}}],
    'empty': [], 'no': None, 'yes': True, 'n': 3, 'f': 2.5, 's': 'Hello, World', 'u': 'Éa ß\u3000x',
    'd': {'a': 1, 'B': 2, 'c': 'x'}, 'big': 10 ** 20,
}
NAMES = [*VARIABLES, 'x', 'y', 'missing', 'm', 'loop', 'ns']
STRINGS = ["''", "'a'", "'a b'", "' x '", "'A-b c'", "'é'", "'a,b,,c'", r"'l\n2\tz'", "'role'",
           "'content'", "'user'", "'5'", "'-3.5e2'", "'%s'", "'%5.2f|%d'", "'<b>&'", "'{}'", "'{0}-{a}'",
           '"it\'s"', r"'\u00a0x\x1c'", "'0x1F'", "'ÀÉ ß'", "'a\\\\d'", "'{:>5}'", "'ab' 'cd'", "'\\d'"]
NUMBERS = ['0', '1', '2', '3', '-1', '7', '10', '1_000', '0x10', '1.5', '0.1', '2.0', '1e3', '1e-7',
           '1e16', '123456789.125', '9223372036854775807', '-2', '0b11', '12345678901234567890', '.5',
           '-0.0', '1e22', '2.675']
FILTERS = [
    'abs', "attr('a')", 'batch(2)', "batch(2, 'z')", 'capitalize', 'center(9)', 'count', "d('z')",
    "default('z')", "default('z', true)", 'dictsort', "dictsort(by='value')", 'dictsort(true)',
    'dictsort(reverse=true)', 'e', 'escape', 'filesizeformat', 'filesizeformat(true)', 'first', 'float',
    'forceescape', 'format(1, 2)', "format('q')", "groupby('role')", "groupby('role')|map('first')|list",
    'indent', 'indent(2, true)', 'indent(1, blank=true)', "indent('>>')", 'int', 'int(7)',
    'int(base=16)', 'items', 'items|list', "join(',')", 'join', "join(',', attribute='role')", 'last',
    'length', 'list', 'lower', "map('upper')|list", "map(attribute='role')|list",
    "map(attribute='role', default='q')|join(' ')", "map('length')|list", "map('string')|list", 'max',
    'min', "max(attribute='role')", "reject('none')|list", "reject('string')|list",
    "rejectattr('content', 'none')|list|length", "replace('a', 'b')", "replace('', '-')",
    "replace('l', 'L', 1)", 'reverse', 'reverse|list', 'round', 'round(1)', "round(1, 'floor')",
    "round(method='ceil')", 'round(-1)', 'safe', 'select|list', "select('string')|list",
    "select('odd')|list", "selectattr('role', 'equalto', 'user')|list", "selectattr('name')|list",
    "selectattr('tool_calls', 'defined')|list|length", "selectattr('content', 'string')|list|length",
    'slice(2)|list', "slice(3, 'z')|list", 'sort', 'sort(reverse=true)', "sort(attribute='role')",
    'sort(case_sensitive=true)', "sort(attribute='role,content')", 'string', 'sum', 'sum(start=5)',
    "sum('a')", 'title', 'tojson', 'tojson(indent=2)', 'tojson(ensure_ascii=true)',
    'tojson(sort_keys=true)', "tojson(separators=(',', ':'))", 'tojson(indent=0)', 'trim', "trim('ax ')",
    'truncate(5)', 'truncate(8, true)', "truncate(6, false, '..', 0)", 'unique|list',
    "unique(attribute='role')|list", 'upper', 'urlencode', 'wordcount', 'xmlattr', 'nosuch',
]
TESTS = [
    'boolean', 'callable', 'defined', 'divisibleby 3', 'divisibleby(2)', "eq 'a'", 'eq 1', 'even',
    'false', "filter", 'float', 'ge 2', 'gt 1', "in 'abc'", 'in [1, 2]', 'integer', 'iterable', 'le 2',
    'lower', 'lt 3', 'mapping', 'ne 1', 'none', 'number', 'odd', 'sameas none', 'sequence', 'string',
    'test', 'true', 'undefined', 'upper', 'escaped', 'not none', 'not defined', 'nosuch',
]
METHODS = [
    'upper()', 'lower()', 'title()', 'capitalize()', 'swapcase()', 'casefold()', 'strip()',
    "strip('a ')", "lstrip('H')", 'rstrip()', 'split()', "split(',')", "split(',', 1)",
    "split(None, 1)", "rsplit(' ', 1)", "split(maxsplit=1)", 'splitlines()', 'splitlines(true)',
    "startswith('a')", "startswith(('H', 'a'))", "endswith('b')", "find('l')", "find('l', 3)",
    "rfind('l')", "index('a')", "count('l')", "count('')", "replace('a', 'q')", "replace('l', '', 1)",
    "partition(',')", "rpartition('l')", "removeprefix('a')", "removesuffix('d')", 'isdigit()',
    'isalpha()', 'isalnum()', 'isspace()', 'isupper()', 'islower()', 'istitle()', 'isidentifier()',
    'isnumeric()', 'isdecimal()', 'isascii()', 'isprintable()', 'zfill(8)', 'ljust(8)', "rjust(8, '.')",
    'center(9)', "center(10, '*')", 'expandtabs()', 'expandtabs(3)', "join(['a', 'b'])", "join('xy')",
    'format(1, a=2)', "format('q', a='r')", 'keys()', 'values()', 'items()', 'keys()|list',
    'items()|list', "get('a')", "get('zz', 5)", "get('role')", 'copy()', "index('b')", 'append(1)',
    "update({})", 'pop()', '__class__', '__len__()', 'nosuch', 'nosuch()', 'a', 'role', 'content', '0', '1',
    'items', 'function.name', 'is_integer()', 'bit_length()',
]
# Expressions by the type of their value, so that most templates are right. '{s}' stands for a string
# expression, {n} for a number, {i} for an int, {l} for a list, {d} for a dict, {a} for anything,
# {m} for a list of messages, {b} for a bool.
TYPED = {
    's': [
        's', 'u', "d['c']", "{m}|map(attribute='role')|join({s})", '{s} ~ {a}', '{s} + {s}', '{s} * {i}', '{s}[{i}]',
        '{s}[{i}:]', '{s}[:{i}]', '{s}[::-1]', '{s}|upper', '{s}|lower', '{s}|title', '{s}|capitalize', '{s}|trim',
        '{s}|trim({s})', '{s}|replace({s}, {s})', '{s}|indent({i})', "{s}|indent({i}, true)", '{s}|center({i})',
        '{s}|e', '{s}|string', '{s}|urlencode', '{s}|reverse', '{l}|join', '{l}|join({s})', '{a}|string', '{a}|tojson',
        '{a}|tojson(indent={i})', "{a}|tojson(separators=({s}, {s}))", '{s}|default({s}, true)', '{s}.strip()',
        '{s}.strip({s})', '{s}.lstrip({s})', '{s}.rstrip()', '{s}.upper()', '{s}.lower()', '{s}.title()',
        '{s}.capitalize()', '{s}.swapcase()', '{s}.casefold()', '{s}.replace({s}, {s})', '{s}.replace({s}, {s}, {i})',
        '{s}.ljust({i})', "{s}.rjust({i}, '*')", '{s}.center({i})', '{s}.zfill({i})', '{s}.expandtabs({i})',
        '{s}.removeprefix({s})', '{s}.removesuffix({s})', "{s}.join({l}|map('string'))", '{s}.split({s})[0]',
        '{s}.partition({s})[{i}]', "'%s' % ({a},)", "'%5s|%-5s|' % ({s}, {s})", "'%r' % ({a},)", "'%d' % {n}",
        "'%.3f %e %g' % ({n}, {n}, {n})", "'%05d %+d % d %x' % ({i}, {i}, {i}, {i})", "'{}{!r}'.format({a}, {a})",
        "'{:>8}{:<6}|{:^7}'.format({s}, {s}, {s})", "'{:8.2f}|{:+}|{:,}|{:g}|{}'.format({n}, {i}, {i}, {n}, {n})",
        "'{:08.3f}|{:x}|{:#x}|{:b}|{:e}|{:%}|{:.3}'.format({n}, {i}, {i}, {i}, {n}, {n}, {n})", '{a}|string|lower',
        "'%s-%s'|format({a}, {a})", '{s}|truncate({i} + 9)', '{s}|truncate({i} + 9, true)',
        "{s}|truncate(9, false, '', {i} * {i})", '{s}|forceescape', "{m}[{i}].role", '{n}|filesizeformat',
        '({s} if {b} else {s})', '({s} or {s})', '{l}|first|string', '{d}|xmlattr', '{s}|safe + {s}', "{s}|safe|replace({s}, {s})",
    ],
    'i': [
        'n', '0', '1', '2', '3', '-1', '7', '-2', '5', '{s}|length', '{l}|length', '{s}.count({s})', '{s}.find({s})',
        '{s}.rfind({s})', '{s}|wordcount', '{i} + {i}', '{i} - {i}', '{i} * {i}', '{i} // 2', '{i} % 3', '{s}|int',
        '-({i})', '{i}|abs', '{n}|int', '{l}.count({a})', 'd.a', '({i} if {b} else {i})', '{i} % -3', '{i} // -2',
        "{s}|int({i})", '{i}|round',
    ],
    'n': [
        'f', '0.1', '2.5', '1e16', '1e-5', '123456.789', '{i}', '{i}', '{i} / 2', '{i} / 3', '{n} + {n}', '{n} * {n}',
        '{n} - {n}', '{n}|round', '{n}|round(1)', '{n}|round({i})', "{n}|round(1, 'floor')", "{n}|round(0, 'ceil')",
        '{s}|float', '{n}|float', '{n} // 2', '{n} % 2.5', '{i} ** 2', '2 ** {i}', '{n}|abs', '-({n})', '1e22', '2.675',
        '{n} // -0.5', '{n} % -1.5',
    ],
    'l': [
        '[]', '[{a}]', '[{a}, {a}]', '[{s}, {s}, {s}]', '[{i}, {i}, {i}]', '{m}', '{s}.split({s})', '{s}.split()',
        '{s}.split({s}, {i})', '{s}.rsplit({s}, {i})', '{s}.split(none, {i})', '{s}.rsplit(none, {i})',
        '{s}.splitlines()', '{s}|list', '{l} + {l}', '{l}[{i}:]', '{l}[::{i}]', '{l}[{i}:{i}]', '{l}|list',
        '{l}|reverse|list', "{l}|map('string')|list", '{m}|map(attribute={s})|list', "{m}|map(attribute='role')|list",
        "{l}|map('default', {s})|list", "{l}|map('string')|sort", "{l}|map('string')|sort(reverse=true)",
        "{l}|map('string')|unique|list", '{l}|select|list', '{l}|reject|list', "{l}|select('string')|list",
        "{l}|reject('none')|list", "{l}|select('equalto', {a})|list", "{l}|select('in', {l})|list",
        '{l}|batch(2)|list', '{l}|batch(2, {a})|list', '{l}|slice(2)|list', '{l}|slice(3, {a})|list',
        '{d}.keys()|list', '{d}.values()|list', '{d}.items()|list', '{d}|items|list', '{d}|dictsort',
        "{d}|dictsort(reverse=true)", '{d}|list', 'range({i})|list', 'range({i}, {i})|list', '{l} * 2',
        '({l} if {b} else {l})', "{s}.partition({s})", '({a}, {a})', "{m}|groupby('role')|map('first')|list",
        "{m}|sort(attribute='role')|map(attribute='role')|list", '[[{a}], {l}]|sum(start=[])', "{s}|map('upper')|list",
        "{l}|map('tojson')|list", "{l}|map('length')|list", '{l}|map("join", {s})|list', "{l}|map('replace', {s}, {s})|list",
    ],
    'm': ['messages', 'messages', 'messages[1:]', 'messages[::-1]', "{m}|selectattr('role', 'equalto', 'user')|list",
          "{m}|rejectattr('role', 'in', ['user', {s}])|list", "{m}|selectattr('tool_calls', 'defined')|list",
          "{m}|selectattr('name', 'undefined')|list", "{m}|selectattr('content', 'string')|list",
          "{m}|rejectattr('content', 'none')|list", '{m} + {m}', "{m}|selectattr('tool_calls')|list"],
    'd': ['d', '{{}}', '{{{s}: {a}}}', '{{{s}: {a}, {i}: {a}}}', 'dict(a={a}, b={a})', 'dict({d}, z={a})', 'messages[0]',
          "messages[2].tool_calls[0].function", "tools[0].function.parameters"],
    'b': ['true', 'false', 'yes', '{a} == {a}', '{a} != {a}', '{s} < {s}', '{n} >= {n}', '{s} in {s}', '{a} in {l}',
          '{s} not in {d}', 'not {a}', '{b} and {b}', '{b} or {b}', '{s}.startswith({s})', '{s}.endswith(({s}, {s}))',
          '{s}.isdigit()', '{s}.isalpha()', '{s}.isspace()', '{s}.isupper()', '{s}.istitle()', '{s}.isalnum()',
          '{a} is defined', '{a} is string', '{a} is mapping', '{a} is sequence', '{a} is iterable', '{a} is number',
          '{a} is none', '{a} is integer', '{a} is float', '{a} is boolean', '{s} is lower', '{s} is upper',
          '{i} is odd', '{i} is divisibleby 3', '{a} is in {l}', '{a} is eq {a}', '{a} is sameas true', '{a} is callable',
          '{a} is not none', '{n} < {n} < {n}', '{l} < {l} if 0 else {b}', '{a} is true', '{a} is escaped'],
}
TYPED['a'] = ['{s}', '{i}', '{n}', '{l}', '{d}', '{b}', '{s}', '{l}', 'none', 'x', 'missing', 'no', 'empty', 'big',
              '{l}[{i}]', '{d}.a', '{d}[{s}]', "{d}.get({s}, {a})", '{l}|first', '{l}|last', '{m}[{i}].content',
              '{a}|default({a})', '({a} if {b})', '{a} and {a}', '{a} or {a}', 'm', 'loop', 'loop.index', 'ns.a',
              '{l}|sum(start=0) if 0 else {i}', "{l}|map('string')|max", '{l}|map("string")|min']
TERMS = {'s': STRINGS, 'i': ['n', '0', '1', '2', '-1'], 'n': [*NUMBERS[:19], 'f'], 'l': ['messages', 'empty', '[1, 2]', "['a']"],
         'm': ['messages'], 'd': ['d', "{'a': 1}"], 'b': ['true', 'false', 'yes'], 'a': ['s', 'n', 'none', 'x', 'd', 'true']}

LOOP = ['index', 'index0', 'first', 'last', 'length', 'revindex', 'revindex0', 'previtem', 'nextitem',
        'depth', 'depth0', "cycle('a', 'b')", 'changed(m)', 'changed(1)']


class Generator:
    """Makes templates."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.in_loop = 0

    def pick(self, choices):
        return self.random.choice(choices)

    def chance(self, probability):
        return self.random.random() < probability

    def typed(self, kind, depth):
        """Returns an expression of a type."""
        if depth <= 0:
            return self.pick(TERMS[kind])
        text, out = self.pick(TYPED[kind]).replace('{{', '\0').replace('}}', '\1'), ''
        while '{' in text:
            before, _, rest = text.partition('{')
            if len(rest) > 1 and rest[0] in TYPED and rest[1] == '}':
                sub = self.typed(rest[0], depth - 1)
                simple = sub.isidentifier() or sub in STRINGS
                out, text = out + before + (sub if simple else f'({sub})'), rest[2:]
            else:
                out, text = out + before + '{', rest
        return (out + text).replace('\0', '{').replace('\1', '}')

    def expression(self, depth):
        """Returns an expression."""
        if self.chance(0.8):
            return self.typed(self.pick('ssaalnmdb'), depth)
        if depth <= 0 or self.chance(0.15):
            return self.pick([lambda: self.pick(NAMES), lambda: self.pick(NAMES),
                              lambda: self.pick(STRINGS), lambda: self.pick(NUMBERS),
                              lambda: self.pick(['true', 'false', 'none', '[]', '{}', '()'])])()
        sub = lambda: self.expression(depth - 1)  # noqa: E731
        kind = self.random.randrange(22)
        if kind < 5:
            return f'{self.atom(depth)}|{self.pick(FILTERS)}'
        if kind < 9:
            return f'{self.atom(depth)}.{self.pick(METHODS)}'
        if kind == 9:
            return f'{self.atom(depth)} is {self.pick(TESTS)}'
        if kind == 10:
            return f'{self.atom(depth)}[{sub()}]'
        if kind == 11:
            bounds = [self.pick(['', '1', '-1', '2', 'n', '0', '5']) for _ in range(3)]
            # Jinja slices constants when it compiles, where a slice of a number is no error.
            sliced = self.pick([*NAMES, "'a b'", 's', 'messages', '(s ~ u)', 'd.keys()|list'])
            return f'{sliced if sliced[-1] != "t" else "(" + sliced + ")"}[{":".join(bounds[:self.pick([2, 3])])}]'
        if kind == 12:
            return f'[{", ".join(sub() for _ in range(self.random.randrange(4)))}]'
        if kind == 13:
            keys = [self.pick(["'a'", "'b'", '1', 'true', '1.0', 'none', "'role'", '(1, 2)'])
                    for _ in range(self.random.randrange(4))]
            return '{' + ', '.join(f'{key}: {sub()}' for key in keys) + '}'
        if kind == 14:
            return f'({sub()} if {sub()}' + (f' else {sub()})' if self.chance(0.7) else ')')
        if kind == 15:
            return f'({sub()} {self.pick(["and", "or"])} {sub()})'
        if kind == 16:
            return f'(not {sub()})'
        if kind == 17:
            return f'({sub()} {self.pick(["==", "!=", "<", ">", "<=", ">=", "in", "not in"])} {sub()})'
        if kind == 18:
            return f'({sub()} ~ {sub()})'
        if kind == 19:
            return f'{self.pick(["-", "+"])}{self.atom(depth)}'
        if kind == 20 and self.in_loop:
            return f'loop.{self.pick(LOOP)}'
        if kind == 20:
            return self.pick(['range(3)', 'range(1, 6, 2)', 'range(5, 0, -2)', 'dict(a=1, b=2)', 'namespace(a=1)',
                              'dict([(1, 2)])', "strftime_now('%d %b %Y %H:%M')", "cycler('a', 'b').next()",
                              'joiner()()', "range(3)|list", "raise_exception('no')", 'dict(d, z=1)'])
        return f'({sub()} {self.pick(["+", "-", "*", "/", "//", "%", "**"])} {self.small(depth)})'

    def small(self, depth):
        return self.pick([lambda: self.pick(['2', '3', '-1', '0', '2.5', '7']),
                          lambda: self.expression(depth - 1)])()

    def atom(self, depth):
        text = self.expression(depth - 1)
        return text if text.isidentifier() or text[0] in "'[{(" or self.chance(0.3) else f'({text})'

    def space(self):
        return self.pick(['', '', '', ' ', '\n', '  \n', '\n  ', 'a', ' b ', '\n\n', '\t', 'x\n', '\r\n', '{', '\u00a0'])

    def begin(self):
        return self.pick(['{%', '{%', '{%-', '{%+']) + self.pick([' ', ' ', '', '\n'])

    def end(self):
        return self.pick([' ', ' ', '']) + self.pick(['%}', '%}', '-%}', '+%}'])

    def tag(self, text):
        return self.space() + self.begin() + text + self.end() + self.space()

    def statement(self, depth):
        """Returns a tag with what belongs to it."""
        if depth <= 0 or self.chance(0.4):
            opening, closing = self.pick(['{{', '{{', '{{-', '{{ ']), self.pick([' }}', ' }}', ' -}}'])
            return self.space() + opening + ' ' + self.expression(3) + closing + self.space()
        kind = self.random.randrange(16)
        body = lambda: self.body(depth - 1)  # noqa: E731
        if kind < 3:
            text = self.tag(f'if {self.expression(2)}') + body()
            if self.chance(0.3):
                text += self.tag(f'elif {self.expression(2)}') + body()
            if self.chance(0.5):
                text += self.tag('else') + body()
            return text + self.tag('endif')
        if kind < 7:
            source = self.pick(['messages', 'range(3)', 'd.items()', 'd', 's', '[1, 2, 3]', 'empty',
                                'messages[1:]', '(1, 2)', self.expression(2)])
            target = self.pick(['m', 'x', 'm', 'k, v' if 'items' in source else 'm'])
            condition = f' if {self.expression(2)}' if self.chance(0.25) else ''
            recursive = ' recursive' if self.chance(0.1) else ''
            self.in_loop += 1
            inside = body()
            if self.chance(0.2):
                inside += self.tag(f'if {self.expression(1)}') + self.tag(
                    self.pick(['break', 'continue'])) + self.tag('endif') + body()
            if recursive and self.chance(0.5):
                inside += '{{ loop([1] if loop.depth < 3 else []) }}'
            self.in_loop -= 1
            other = self.tag('else') + body() if self.chance(0.25) else ''
            return self.tag(f'for {target} in {source}{condition}{recursive}') + inside + other + self.tag('endfor')
        if kind < 9:
            return self.tag(self.pick([
                f'set x = {self.expression(3)}', f'set x, y = {self.expression(1)}, {self.expression(1)}',
                f'set ns = namespace(a={self.expression(1)})', f'set ns.a = {self.expression(2)}',
                f'set m = {self.expression(2)}', f'set x, y = {self.expression(2)}']))
        if kind == 9:
            return self.tag(self.pick(['set x', 'set x | upper', "set x|trim|replace('a', 'b')"])) + body() + self.tag('endset')
        if kind == 10:
            parameters = self.pick(['', 'x', 'x, y=2', "x='q', y=x"])
            arguments = self.pick(['', '1', "'a', 2", 'y=3', 'x=s', "1, 2, 3", 'z=1'])
            extra = self.pick(['', '', '{{ varargs }}', '{{ kwargs }}', '{{ caller() }}', "{{ caller('p') }}"])
            text = self.tag(f'macro f({parameters})') + body() + extra + self.tag('endmacro')
            if 'caller' in extra or self.chance(0.2):
                return text + self.tag(f'call{self.pick(["", "(q)"])} f({arguments})') + body() + self.tag('endcall')
            return text + f'{{{{ f({arguments}) }}}}'
        if kind == 11:
            return self.tag(f'filter {self.pick(["upper", "trim", "indent(2)", "replace(1, 2)", "lower|title"])}') + body() + self.tag('endfilter')
        if kind == 12:
            return self.tag(f'with {self.pick(["x=1", "x=2, y=x", "m=s", ""])}') + body() + self.tag('endwith')
        if kind == 13:
            return self.space() + self.pick(['{# c #}', '{#- c -#}', '{# a\nb #}', '{#+ c +#}', '{#c-#}', '{##}']) + self.space()
        if kind == 14:
            return self.tag('raw') + self.pick(['{{ x }}', '{% if %}', 'a', ' \n']) + self.tag('endraw')
        return self.tag(self.pick(['generation'])) + body() + self.tag('endgeneration')

    def body(self, depth):
        return ''.join(self.statement(depth) for _ in range(self.pick([0, 1, 1, 2])))

    def template(self):
        if self.chance(0.6):
            return '{{ ' + self.expression(self.pick([1, 2, 3])) + ' }}'
        return ''.join(self.statement(3) for _ in range(self.pick([1, 2, 3])))


def reference(env, template):
    """Returns Jinja2's text, None and its error, or None twice where it takes too long."""
    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        return env.from_string(template).render(**copy.deepcopy(VARIABLES)), None
    except TimeoutError:
        return None, None
    except (MemoryError, RecursionError):
        return None, None
    except Exception as error:  # pylint: disable=broad-except
        return None, error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def fuzz(renderer, seconds):
    """Prints each difference; returns whether there is none."""
    warnings.simplefilter('ignore')
    env = environment()
    start, tried, wrong, errors = time.monotonic(), 0, 0, 0
    seed = int(time.time())
    while time.monotonic() - start < seconds:
        seed += 1
        template = Generator(seed).template()
        want, error = reference(env, template)
        if want is None and error is None:
            continue
        if want is not None and any(part in want for part in INCOMPARABLE):
            continue
        got = renderer.render(template, VARIABLES, NOW)
        # Integers beyond 64 bits are an error on purpose.
        if got.get('text') is None and '64 bits' in got['error'] or '4300 digits' in str(error):
            continue
        tried += 1
        errors += want is None
        if got.get('text') != want:
            wrong += 1
            print(f'{template!r}\n  got  {str(got)[:300]}\n  want {want!r:.300} {error!r:.200}', flush=True)
    print(f'{tried - wrong} of {tried} agree, {errors} of them errors')
    return wrong == 0
