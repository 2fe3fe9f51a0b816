#include "text/jinja/template.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "text/jinja/testing.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

// Texts that Jinja2 gives, set up as transformers does (tools/check_templates record).
TEST(Jinja, AgreesWithRecordedTexts) {
  int rows = 0;
  for (const auto& file : std::filesystem::directory_iterator(SINTER_JINJA_DATA)) {
    std::ifstream stream(file.path());
    const auto data = nlohmann::ordered_json::parse(stream);
    // Not by way of nlohmann's numbers, which end at 64 bits.
    std::ifstream again(file.path());
    std::string line, variables;
    while (std::getline(again, line) && variables.empty()) {
      constexpr std::string_view kKey = "  \"variables\": ";
      if (line.starts_with(kKey))
        variables = line.substr(kKey.size(), line.size() - kKey.size() - 1);
    }
    for (const auto& row : data["rows"]) {
      ++rows;
      const auto source = row["template"].get<std::string>();
      SCOPED_TRACE(source);
      try {
        EXPECT_EQ(RenderText(source, variables), row["text"].get<std::string>());
      } catch (const TemplateError& error) {
        ADD_FAILURE() << error.what();
      }
    }
  }
  EXPECT_GT(rows, 100);
}

TEST(Jinja, ManyThreadsRenderOneTemplate) {
  const Template source = Template::Parse(
      "{% macro f(x) %}{{ x }}{% endmacro %}{% for i in range(50) %}{{ f('a') ~ i }}{% endfor %}");
  const auto render = [&]() {
    Rendering rendering(source, Runtime::Time());
    return rendering.Run();
  };
  const std::string want = render();
  std::vector<std::thread> threads;
  std::vector<std::string> texts(4);
  for (std::string& text : texts) threads.emplace_back([&]() { text = render(); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, want);
}

TEST(Jinja, StrftimeNow) {
  const Template source =
      Template::Parse("{{ strftime_now('%d %b %Y %H:%M:%S %A %j %y %-d %e %f %Z|%%f') }}");
  std::tm noon = {};
  noon.tm_year = 126, noon.tm_mon = 10, noon.tm_mday = 5, noon.tm_hour = 12, noon.tm_isdst = -1;
  Rendering rendering(source, std::chrono::system_clock::from_time_t(std::mktime(&noon)));
  EXPECT_EQ(rendering.Run(), "05 Nov 2026 12:00:00 Thursday 309 26 5  5 000000 |%f");
  EXPECT_THAT(ErrorText("{{ strftime_now('%999999999d') }}"), testing::HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{{ strftime_now('a\\x00') }}"), testing::HasSubstr("null character"));
}

struct ErrorCase {
  const char* source;
  const char* error;  // line and message
};

TEST(Jinja, SyntaxErrors) {
  const ErrorCase cases[] = {
      {"\n{% if %}", "2: Expected an expression, got end of statement block"},
      {"{{ }}", "1: Expected an expression, got end of print statement"},
      {"{{ 1 + }}", "1: unexpected end of print statement"},
      {"{{ 'a }}", "1: unexpected char \"'\" at 3"},
      {"{{ a ? b }}", "1: unexpected char '?' at 5"},
      {"a\n{# b", "2: Missing end of comment tag"},
      {"{% raw %}\n", "1: Missing end of raw directive"},
      {"{% endif %}", "1: Encountered unknown tag 'endif'. "},
      {"{% if 1 %}\n{% endfor %}",
       "2: Encountered unknown tag 'endfor'. Jinja was looking for the following tags: 'elif' or "
       "'else' or 'endif'."},
      {"{% for x in y %}\n\n",
       "2: Unexpected end of template. Jinja was looking for the following tags: 'endfor' or "
       "'else'."},
      {"{{ (1] }}", "1: unexpected ']', expected ')'"},
      {"{{ 1) }}", "1: unexpected ')'"},
      {"{{ x|nosuch }}", "1: No filter named 'nosuch'."},
      {"{{ x is nosuch }}", "1: No test named 'nosuch'."},
      {"{{ 1 is odd is even }}", "1: You cannot chain multiple tests with is"},
      {"{% break %}", "1: 'break' outside loop"},
      {"{% for i in x %}{% macro f() %}{% continue %}{% endmacro %}{% endfor %}",
       "1: 'continue' outside loop"},
      {"{% set 1 = 2 %}", "1: can't assign to '1', want a name"},
      {"{% set none = 2 %}", "1: can't assign to 'none'"},
      {"{% for loop in x %}{% endfor %}",
       "1: Can't assign to special loop variable in for-loop target"},
      {"{% macro f(a=1, b) %}{% endmacro %}", "1: non-default argument follows default argument"},
      {"{% macro f(a, *b) %}{% endmacro %}", "1: expected token 'name', got '*'"},
      {"{% macro f(a, a) %}{% endmacro %}", "1: duplicate argument 'a' in macro definition"},
      {"{% macro f(caller) %}{{ caller }}{% endmacro %}",
       "1: When defining macros or call blocks the special \"caller\" argument must be omitted or "
       "be given a default."},
      {"{{ f(a=1, 2) }}", "1: invalid syntax for function call expression"},
      {"{{ f(a=1, a=2) }}", "1: keyword argument repeated: a"},
      {"{% call x %}{% endcall %}", "1: expected call"},
      {"{% block a %}{% endblock %}{% block a %}{% endblock %}", "1: block 'a' defined twice"},
      {"{{ a.'b' }}", "1: expected name or number"},
      {"{{ '\\x1' }}", "1: string literal: truncated \\xXX escape"},
      {"{{ '\\ud800' }}", "1: string literal: got the lone surrogate U+D800, want a character"},
      {"{{ '\\N{DASH}' }}",
       "1: string literal: \\N{...} escapes are not supported, want \\u or \\U"},
      {"{{ 0xFFFFFFFFFFFFFFFFF }}", "1: the integer FFFFFFFFFFFFFFFFF does not fit 64 bits"},
      {"{% do x %}", "1: Encountered unknown tag 'do'. "},
  };
  for (const ErrorCase& c : cases) EXPECT_EQ(ErrorText(c.source), c.error) << c.source;
}

TEST(Jinja, RenderingErrors) {
  const ErrorCase cases[] = {
      {"{{ x.y }}", "1: 'x' is undefined"},
      {"\n{{ d.x.y }}", "2: 'dict object' has no attribute 'x'"},
      {"{{ [1][5].y }}", "1: list object has no element 5"},
      {"{{ none.x.y }}", "1: 'None' has no attribute 'x'"},
      {"{{ x + 1 }}", "1: 'x' is undefined"},
      {"{{ 1 < x }}", "1: 'x' is undefined"},
      {"{{ x() }}", "1: 'x' is undefined"},
      {"{{ 'a'() }}", "1: 'str' object is not callable"},
      {"{% macro f() %}\n{{ x.y }}{% endmacro %}\n\n{{ f() }}", "2: 'x' is undefined"},
      {"{% macro f() %}\n{% endmacro %}{{ f() + 1 }}",
       "2: can only concatenate str (not \"int\") to str"},
      {"{{\n1\n+\n'a'\n}}", "3: unsupported operand type(s) for +: 'int' and 'str'"},
      {"{{ 7 % 0 }}", "1: integer modulo by zero"},
      {"{{ 7 // 0 }}", "1: integer division or modulo by zero"},
      {"{{ 1 / 0.0 }}", "1: float division by zero"},
      {"{{ 9223372036854775807 + 1 }}",
       "1: 9223372036854775807 + 1: the result does not fit the 64 bits of an integer"},
      {"{{ 10 ** 20 }}", "1: 10 ** 20: the result does not fit the 64 bits of an integer"},
      {"{{ 100000000000000000000 + 1 }}",
       "1: arithmetic with 100000000000000000000: want integers of 64 bits"},
      {"{{ 'a'.split('') }}", "1: split(): empty separator"},
      {"{{ 'a'|truncate(2) }}", "1: expected length >= 3, got 2"},
      {"{{ 1|length }}", "1: object of type 'int' has no len()"},
      {"{{ [1]|map('odd')|length }}", "1: object of type 'generator' has no len()"},
      {"{% for x in 1 %}{% endfor %}", "1: 'int' object is not iterable"},
      {"{{ [1].append(2) }}", "1: access to attribute 'append' of 'list' object is unsafe."},
      {"{{ d.update(a=1) }}", "1: access to attribute 'update' of 'dict' object is unsafe."},
      {"{{ ''.__class__.x }}", "1: access to attribute '__class__' of 'str' object is unsafe."},
      {"{% set x.y = 1 %}", "1: cannot assign attribute on non-namespace object"},
      {"{% set a, b = [1] %}", "1: not enough values to unpack (expected 2, got 1)"},
      {"{% set a, b = 'xyz' %}", "1: too many values to unpack (expected 2)"},
      {"{% for i in [1] %}{{ loop([]) }}{% endfor %}",
       "1: The loop must have the 'recursive' marker to be called recursively."},
      {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}",
       "1: macro 'f' takes not more than 1 argument(s)"},
      {"{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", "1: macro 'f' takes no keyword argument 'b'"},
      {"{% macro f(a) %}{{ a.x }}{% endmacro %}{{ f() }}", "1: parameter 'a' was not provided"},
      {"{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}", "1: No caller defined"},
      {"{% include 'x' %}", "1: include: a chat template has no other templates to load"},
      {"{% from 'x' import y as z with context %}",
       "1: from: a chat template has no other templates to load"},
      {"{% import 'x' as y %}", "1: import: a chat template has no other templates to load"},
      {"{% extends 'x' %}", "1: extends: a chat template has no other templates to load"},
      {"{% autoescape true %}{% endautoescape %}",
       "1: autoescape: escaping of all output is not supported"},
      {"{% block a required %}{% endblock %}", "1: Required block 'a' not found"},
      {"{% if 1 %}{{ 1|nosuch }}{% endif %}", "1: No filter named 'nosuch' found."},
      {"{{ [1]|map('nosuch')|list }}", "1: No filter named 'nosuch'."},
      {"{{ [1]|select('nosuch')|list }}", "1: No test named 'nosuch'."},
      {"{{ [1]|map|list }}", "1: map requires a filter argument"},
      {"{{ {[1]: 2} }}", "1: unhashable type: 'list'"},
      {"{{ x|tojson }}", "1: Object of type Undefined is not JSON serializable"},
      {"{{ {(1, 2): 3}|tojson }}", "1: keys must be str, int, float, bool or None, not tuple"},
      {"{{ range(1000000000) }}", "1: range: the sandbox blocks ranges of more than 100000 items"},
      {"{{ '%s' % (1, 2) }}", "1: not all arguments converted during string formatting"},
      {"{{ '%s %s' % 1 }}", "1: not enough arguments for format string"},
      {"{{ '%d' % 'a' }}", "1: %d format: a real number is required, not str"},
      {"{{ '{}'.format() }}", "1: Replacement index 0 out of range for positional args tuple"},
      {"{{ '{'.format(1) }}", "1: expected '}' before end of string"},
      {"{{ 'a'|indent(nosuch=1) }}", "1: indent() got an unexpected keyword argument 'nosuch'"},
      {"{{ 'a'|replace('b') }}", "1: replace() missing the required argument 'new'"},
      {"{{ 'a'.startswith(1) }}", "1: startswith first arg must be str or a tuple of str, not int"},
      {"{{ [1, 'a']|sort }}", "1: '<' not supported between instances of 'str' and 'int'"},
      {"{{ 1 in 'a' }}", "1: 'in <string>' requires string as left operand, not int"},
      {"{{ 1 in 2 }}", "1: argument of type 'int' is not iterable"},
      {"{{ lipsum() }}",
       "1: lipsum() gives random text, which no prompt can want; it is not supported"},
      {"{{ 'abc'[::0] }}", "1: slice step cannot be zero"},
  };
  for (const ErrorCase& c : cases)
    EXPECT_EQ(ErrorText(c.source, R"({"d": {}})"), c.error) << c.source;
}

// Names in messages are cut between characters.
TEST(Jinja, LongNamesInErrors) {
  std::string name;
  for (int i = 0; i < 500; ++i) name += "é";
  for (const std::string& source :
       {"{{ x" + name + ".y }}", "{{ d.x" + name + ".y }}", "{{ {'x" + name + " ': 1}|xmlattr }}",
        "{{ 'a'|indent(x" + name + "=1) }}", "{{ '%(x" + name + ")s' % {} }}",
        "{{ '{x" + name + "}'.format() }}", "{{ 1|x" + name + " }}", "{% x" + name + " %}",
        "{% macro x" + name + "() %}{% endmacro %}{{ x" + name + "(1) }}"}) {
    const std::string error = ErrorText(source, R"({"d": {}})");
    EXPECT_TRUE(IsValidUtf8(error)) << source;
    EXPECT_LT(error.size(), 200u) << error;
  }
}

TEST(Jinja, JsonInput) {
  EXPECT_EQ(RenderText("{{ x }}", R"({"x": [1, -1, 1.5, true, null, "a\u00e9", {}]})"),
            "[1, -1, 1.5, True, None, 'aé', {}]");
  EXPECT_EQ(RenderText("{{ x }} {{ x.b }}", R"({"x": {"b": 1, "a": 2, "b": 3}})"),
            "{'b': 3, 'a': 2} 3");
  EXPECT_EQ(RenderText("{{ x }}", R"({"x": 123456789012345678901234567890})"),
            "123456789012345678901234567890");
  EXPECT_THAT(ErrorText("", "{"), testing::HasSubstr("got no valid JSON"));
  const std::string open(300, '['), close(300, ']');
  EXPECT_THAT(ErrorText("", open + close), testing::HasSubstr("nested deeper than 200 levels"));
  EXPECT_THAT(ErrorText("", std::string(5000, '1')), testing::HasSubstr("number overflow"));
  EXPECT_THAT(ErrorText("{{ " + std::string(5000, '1') + " }}"), testing::HasSubstr("too long"));
}

}  // namespace
}  // namespace sinter::text::jinja
