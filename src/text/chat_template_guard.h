// Checks a chat template before minja parses it. minja recurses for every bracket, operator and
// block, and scans comments with a recursive matcher, so a hostile template could exhaust the
// stack.
#pragma once

#include <string>
#include <string_view>

namespace sinter::text {

// Returns the template with its comments emptied (`{#- long -#}` to `{#--#}`), which does not
// change its output. Throws Error if it exceeds the limits that ChatTemplate::FromSource names.
std::string GuardTemplate(std::string_view source);

}  // namespace sinter::text
