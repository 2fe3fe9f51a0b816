// Templates that mean harm: each ends in an error, within time, memory and stack.
#include "text/jinja/testing.h"

namespace sinter::text::jinja {
namespace {

using testing::HasSubstr;

// Repeats a text.
std::string Times(int count, const std::string& text) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

const Limits kFewSteps = {.steps = 1'000'000};

TEST(JinjaLimits, Steps) {
  const std::string loops =
      Times(6, "{% for i in range(100000) %}") + "x" + Times(6, "{% endfor %}");
  EXPECT_THAT(ErrorText(loops, "{}", kFewSteps), HasSubstr("does not come to an end"));
  EXPECT_THAT(ErrorText("{% set ns = namespace(s='ab') %}{% for i in range(99999) %}"
                        "{% set ns.s = ns.s.replace('a', 'ba').upper().lower() %}{% endfor %}",
                        "{}", kFewSteps),
              HasSubstr("does not come to an end"));
}

TEST(JinjaLimits, Memory) {
  EXPECT_THAT(ErrorText("{{ 'a' * 999999999999 }}"), HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{{ [1] * 999999999999 }}"), HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{{ 'a'.center(999999999999) }}"), HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{{ '%999999999d' % 1 }}"), HasSubstr("too big"));
  EXPECT_THAT(ErrorText("{{ '{:999999999}'.format(1) }}"), HasSubstr("got a number over"));
  EXPECT_THAT(ErrorText("{{ 'a'|indent(999999999999) }}"), HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{{ [1]|tojson(indent=999999999999) }}"), HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{{ [1]|batch(999999999999, 0)|list }}"), HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{% set ns = namespace(s='abcdefgh') %}{% for i in range(99) %}"
                        "{% set ns.s = ns.s ~ ns.s %}{% endfor %}"),
              HasSubstr("too long"));
  EXPECT_THAT(ErrorText("{% set ns = namespace(l=[1]) %}{% for i in range(99) %}"
                        "{% set ns.l = ns.l + ns.l %}{% endfor %}",
                        "{}", {.heap_bytes = 1 << 20}),
              HasSubstr("too much memory"));
  EXPECT_THAT(ErrorText("{{ ('a' * 999999)|list|length }}", "{}", {.heap_bytes = 1 << 20}),
              HasSubstr("too much memory"));
}

TEST(JinjaLimits, Depth) {
  EXPECT_THAT(ErrorText("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("too deep"));
  EXPECT_THAT(ErrorText("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
              HasSubstr("too deep"));
  EXPECT_THAT(ErrorText("{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}"
                        "{% call f() %}{% endcall %}"),
              HasSubstr("too deep"));
  // Values that nest: a list in a list, a namespace in itself, generators on generators.
  const std::string nested =
      "{% set ns = namespace(l=[]) %}{% for i in range(20000) %}"
      "{% set ns.l = [ns.l] %}{% endfor %}";
  EXPECT_EQ(RenderText(nested), "");
  EXPECT_THAT(ErrorText(nested + "{{ ns.l }}"), HasSubstr("too deep"));
  EXPECT_THAT(ErrorText(nested + "{{ ns.l|tojson }}"), HasSubstr("too deep"));
  EXPECT_THAT(ErrorText(nested + "{{ ns.l == [ns.l] }}"), HasSubstr("too deep"));
  EXPECT_THAT(ErrorText(nested + "{{ ns.l < [ns.l] }}"), HasSubstr("too deep"));
  EXPECT_THAT(ErrorText("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}"),
              HasSubstr("too deep"));
  EXPECT_THAT(ErrorText("{% set ns = namespace(g=[1]) %}{% for i in range(20000) %}"
                        "{% set ns.g = ns.g|map('abs') %}{% endfor %}{{ ns.g|list }}"),
              HasSubstr("too deep"));
  EXPECT_THAT(ErrorText("{% set ns = namespace(t=()) %}{% for i in range(20000) %}"
                        "{% set ns.t = (ns.t,) %}{% endfor %}{{ {ns.t: 1} }}"),
              HasSubstr("too deep"));
}

TEST(JinjaLimits, Nesting) {
  for (const std::string& open : {"(", "[", "{1:", "-", "not ", "f(", "x if (", "x|default("}) {
    EXPECT_THAT(ErrorText("{{ " + Times(5'000, open)), HasSubstr("too deep")) << open;
  }
  for (const std::string& link :
       {"+1", "~1", " or 1", " and 1", "*1", "**1", ".a", "[0]", "()", "|abs", " if 1 else 1"}) {
    const std::string text = ErrorText("{{ 1" + Times(5'000, link) + " }}");
    if (link == "~1") {  // one node, however many parts
      EXPECT_EQ(text, "no error: " + Times(5'001, "1"));
    } else {
      EXPECT_THAT(text, HasSubstr("too deep")) << link;
    }
  }
  for (const std::string& tag :
       {"{% if 1 %}", "{% for x in [1] %}", "{% filter upper %}", "{% set x %}", "{% with %}",
        "{% macro f() %}", "{% call f() %}", "{% generation %}"}) {
    EXPECT_THAT(ErrorText(Times(2'000, tag)), HasSubstr("too deep")) << tag;
  }
  std::string branches = "{% if 0 %}";
  for (int i = 0; i < 5'000; ++i) branches += "{% elif 0 %}";
  EXPECT_EQ(RenderText(branches + "{% else %}x{% endif %}"), "x");
  // Right at the bound the stack still holds, whatever the nodes are.
  const std::string deep = Times(50, "(") + "1" + Times(50, ")");
  EXPECT_EQ(RenderText(Times(20, "{% if 1 %}") + "{{ " + deep + " }}" + Times(20, "{% endif %}")),
            "1");
}

TEST(JinjaLimits, LinearTime) {
  const std::string spaces(50'000, ' ');
  EXPECT_EQ(RenderText("a" + spaces + "{%- if 1 -%}" + spaces + "b{% endif %}"), "ab");
  EXPECT_EQ(RenderText("{#" + std::string(200'000, '-') + "#}a"), "a");
  EXPECT_THAT(ErrorText(Times(50'000, "{%")), HasSubstr("tag name expected"));
  EXPECT_THAT(ErrorText("{% raw %}" + Times(50'000, "{% ")), HasSubstr("Missing end of raw"));
  EXPECT_EQ(RenderText("{{ 'x'.join(('a' * 60000).rsplit('a' * 20)) |length }}"), "3000");
  const std::string wanted = "('a' * 500000 ~ 'b')";
  EXPECT_EQ(RenderText("{{ " + wanted + " in ('a' * 1000000) }}"), "False");
  EXPECT_THAT(ErrorText("{{ ('a' * 1000000).rfind(" + wanted + ") }}"), HasSubstr("steps"));
  EXPECT_EQ(RenderText("{{ ('Σ' * 30000)|lower|length }}"), "30000");
  EXPECT_THAT(ErrorText(std::string((4 << 20) + 1, 'a')), HasSubstr("want at most 4194304"));
}

}  // namespace
}  // namespace sinter::text::jinja
