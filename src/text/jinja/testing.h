// Provides helpers for the tests of Jinja. Included by *_test.cc only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "text/jinja/json.h"
#include "text/jinja/template.h"

namespace sinter::text::jinja {

// Renders a template with the variables of a JSON object.
inline std::string RenderText(const std::string& source, const std::string& variables = "{}",
                              const Limits& limits = {}) {
  const Template parsed = Template::Parse(source);
  Rendering rendering(parsed, Runtime::Time(), limits);
  const Value values = ParseJson(rendering.runtime(), variables);
  for (const auto& [name, value] : values.dict().entries()) rendering.Set(name.string(), value);
  return rendering.Run();
}

// Returns "LINE: MESSAGE" of the error that a template gives; its text if it gives none.
inline std::string ErrorText(const std::string& source, const std::string& variables = "{}",
                             const Limits& limits = {}) {
  try {
    return "no error: " + RenderText(source, variables, limits);
  } catch (const TemplateError& error) {
    return std::to_string(error.line()) + ": " + error.what();
  }
}

}  // namespace sinter::text::jinja
