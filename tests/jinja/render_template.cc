// Renders templates for tools/check_templates. Reads two lines of JSON a template,
//   {"template": TEXT, "now": SECONDS}
//   {NAME: VALUE, ...}
// and prints one: {"text": TEXT} or {"error": MESSAGE, "line": LINE}.
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "text/jinja/json.h"
#include "text/jinja/template.h"

namespace {

using sinter::text::jinja::Rendering;
using sinter::text::jinja::Template;
using sinter::text::jinja::TemplateError;
using Json = nlohmann::ordered_json;

Json Answer(const Json& request, const std::string& variables) {
  try {
    const Template source = Template::Parse(request["template"].get<std::string>());
    const auto now = std::chrono::system_clock::from_time_t(request["now"].get<std::time_t>());
    Rendering rendering(source, now);
    // By our own reader, which keeps long integers.
    const auto values = sinter::text::jinja::ParseJson(rendering.runtime(), variables);
    for (const auto& [name, value] : values.dict().entries()) rendering.Set(name.string(), value);
    return {{"text", rendering.Run()}};
  } catch (const TemplateError& error) {
    return {{"error", error.what()}, {"line", error.line()}};
  }
}

}  // namespace

int main() {
  std::string request, variables;
  while (std::getline(std::cin, request) && std::getline(std::cin, variables)) {
    std::cout << Answer(Json::parse(request), variables)
                     .dump(-1, ' ', false, Json::error_handler_t::replace)
              << std::endl;
  }
}
