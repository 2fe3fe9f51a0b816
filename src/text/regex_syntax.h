// Translates the regular expressions of tokenizer.json into the syntax of PCRE2.
#pragma once

#include <string>
#include <string_view>

namespace sinter::text {

// Translates an expression from Oniguruma, with which the reference tokenizer matches, to PCRE2.
// Rewrites the parts that mean something else to PCRE2:
//
//   \s \S              Oniguruma's Unicode set White_Space
//   \w \W              letters, marks, digits, connectors
//   \h \H              hex digits
//   [a-z&&[^aeiou]]    intersections and nested sets become lookaheads
//   \u4E00             \x{4E00}
//   {,3}               {0,3}
//   ..{1,3}+           (?:..{1,3})+
//   (?m)               (?s)
//
// Everything else stays. Throws Error on an unterminated or too deeply nested set, and on a leading
// (*VERB), which would change PCRE2's own settings.
std::string OnigurumaToPcre2(std::string_view pattern);

}  // namespace sinter::text
