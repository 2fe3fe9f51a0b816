// Fuzz target: any bytes as a chat template must give a text or a sinter::Error, within the budget.
// Seeds: the templates of tests/data/jinja, one a file (tools/run_fuzzers).
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/jinja/json.h"
#include "text/jinja/template.h"
#include "text/utf8.h"

namespace {

using sinter::text::jinja::Rendering;
using sinter::text::jinja::Template;
using sinter::text::jinja::TemplateError;

// The variables of tests/data/jinja and those of a chat.
constexpr std::string_view kVariables = R"({
  "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " hi\n "},
    {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "add",
      "arguments": {"a": 1, "b": [2.5, null]}}}]}],
  "tools": [{"type": "function", "function": {"name": "add", "parameters": {}}}],
  "tree": [{"n": "a", "c": [{"n": "b", "c": []}]}], "s": "Hello, World", "u": "Éa ß　x",
  "d": {"a": 1, "B": 2, "items": 3}, "empty": [], "no": null, "big": 100000000000000000000,
  "n": 3, "f": 2.5, "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})";

// Small enough for many tries a second.
constexpr sinter::text::jinja::Limits kLimits = {
    .steps = 200'000, .text_bytes = 1 << 20, .heap_bytes = 16 << 20};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const Template source = Template::Parse({reinterpret_cast<const char*>(data), size});
    Rendering rendering(source, sinter::text::jinja::Runtime::Time(), kLimits);
    const auto values = sinter::text::jinja::ParseJson(rendering.runtime(), kVariables);
    for (const auto& [name, value] : values.dict().entries()) rendering.Set(name.string(), value);
    if (!sinter::text::IsValidUtf8(rendering.Run())) __builtin_trap();
  } catch (const TemplateError& error) {
    if (error.line() < 1) __builtin_trap();
  }
  return 0;
}
