// Fuzz target: the reader of JSON must accept what nlohmann's parser accepts, except for what its
// limits and the bans on duplicate keys and NUL bytes exclude, and give the same value.
//
// Seeds: JSON files of this checkout.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sinter;  // NOLINT: a program of one screen
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json want = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  nlohmann::json value;
  try {
    value = ParseJson(text, "json", "text");
  } catch (const Error& error) {
    RequireErrorOf(error, "json");
    const std::string_view what = error.what();
    Require(want.is_discarded() || what.find(" twice in an object") != std::string_view::npos ||
                what.find(" nested more than ") != std::string_view::npos ||
                what.find("got a NUL byte") != std::string_view::npos,
            "nlohmann's parser accepts this text");
    return 0;
  }
  Require(!want.is_discarded(), "nlohmann's parser refuses this text");
  Require(value == want, "nlohmann's parser reads another value");
  Require(JsonExcerpt(value).size() < 1000, "the excerpt is not short");
  const nlohmann::ordered_json ordered = ParseOrderedJson(text, "json", "text");
  Require(nlohmann::json(ordered) == want, "the ordered value is another one");
  return 0;
}
