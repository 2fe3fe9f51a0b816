#include "cli/checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/excerpt.h"
#include "cli/nearest.h"
#include "text/utf8.h"

namespace sinter::cli {
namespace {

// Names the validator of OneOf(), whose description holds the words, separated by commas.
constexpr char kChoices[] = "choices";

std::optional<int64_t> Parsed(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Returns whether the text is a whole number of any length.
bool IsWhole(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Returns the range as text. The type's own limit is named only if `too_high`.
template <typename T>
std::string RangeText(T low, T high, bool too_high) {
  return high == std::numeric_limits<T>::max() && !too_high ? fmt::format("{} or more", low)
                                                            : fmt::format("{} to {}", low, high);
}

std::vector<std::string> SplitAtCommas(const std::string& list) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    words.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

}  // namespace

CLI::Validator WholeNumber(int64_t low, int64_t high) {
  return {[low, high](const std::string& text) {
            if (!IsWhole(text)) return fmt::format("got '{}', want a whole number", Excerpt(text));
            const std::optional<int64_t> value = Parsed(text);
            if (value && *value >= low && *value <= high) return std::string();
            // A number beyond 64 bits is told the bound of the others.
            const bool too_high = !value && !text.starts_with('-');
            return fmt::format("got {}, want {}", Excerpt(text), RangeText(low, high, too_high));
          },
          ""};
}

CLI::Validator Number(double low, double high) {
  return {[low, high](const std::string& text) {
            double value = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            if (end != text.data() + text.size() || error == std::errc::invalid_argument)
              return fmt::format("got '{}', want a number", Excerpt(text));
            // Beyond the range of doubles from_chars stores nothing; strtod returns 0 or infinity.
            const bool beyond = error == std::errc::result_out_of_range;
            if (beyond) value = std::strtod(text.c_str(), nullptr);
            if (value >= low && value <= high) return std::string();
            return fmt::format("got {}, want {}", Excerpt(text),
                               RangeText(low, high, beyond && value > high));
          },
          ""};
}

CLI::Validator OneOf(std::vector<std::string> words) {
  const std::string list = fmt::format("{}", fmt::join(words, ","));
  return {[words = std::move(words)](const std::string& text) {
            if (std::ranges::find(words, text) != words.end()) return std::string();
            return fmt::format("got '{}', want one of {}{}", Excerpt(text), fmt::join(words, ", "),
                               Suggestion(text, words));
          },
          list, kChoices};
}

CLI::Validator NotEmpty() {
  return {[](const std::string& text) {
            return text.empty() ? std::string("got '', want a value") : std::string();
          },
          ""};
}

CLI::Validator Utf8Text() {
  return {[](const std::string& text) { return Utf8Problem(text); }, ""};
}

std::string Utf8Problem(std::string_view text) {
  const auto at = text::FindInvalidUtf8(text);
  if (!at) return "";
  return fmt::format("got byte {:#04x} at offset {}, want UTF-8 text",
                     static_cast<unsigned char>(text[*at]), *at);
}

void CheckUtf8(std::string_view text, std::string_view what) {
  if (const std::string problem = Utf8Problem(text); !problem.empty())
    throw Error("cli", "{}: {}", what, problem);
}

std::vector<std::string> Choices(const CLI::Option& option) {
  try {
    // get_validator() has no const form.
    return SplitAtCommas(
        const_cast<CLI::Option&>(option).get_validator(kChoices)->get_description());
  } catch (const CLI::OptionNotFound&) {
    return {};
  }
}

}  // namespace sinter::cli
