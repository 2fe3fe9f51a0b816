// What a chat template is checked for before minja parses it: minja recurses once a bracket,
// operator or block, and scans comments with a recursive matcher, so a hostile template could
// exhaust the stack.
#pragma once

#include <string>
#include <string_view>

namespace sinter::text {

// The template with its comments emptied (`{#- long -#}` to `{#--#}`), which changes nothing in
// what it renders. Throws Error where it exceeds the limits that ChatTemplate::FromSource names.
std::string GuardTemplate(std::string_view source);

}  // namespace sinter::text
