// From the regular expressions that tokenizer.json holds to those that PCRE2 reads.
#pragma once

#include <string>
#include <string_view>

namespace sinter::text {

// The reference tokenizer matches with Oniguruma. What means something else to PCRE2 is rewritten:
//   \s \S \w \W \h \H   Oniguruma's Unicode sets (White_Space; letters, marks, digits, connectors;
//   hex digits) [a-z&&[^aeiou]]     intersection, nested sets, to lookaheads \u4E00  {,3}  {1,3}+
//   (?m)   to \x{4E00}  {0,3}  (?:..{1,3})+  (?s)
// Everything else passes through. Throws Error on an unterminated or too deeply nested set, and on
// a leading (*VERB), which would change PCRE2's own settings.
std::string OnigurumaToPcre2(std::string_view pattern);

}  // namespace sinter::text
