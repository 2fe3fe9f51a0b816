// Fuzz target: any bytes as a tokenizer.json must give a working tokenizer or a sinter::Error.
// Seeds: tests/data/tokenizers.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace {

constexpr std::string_view kPrompts[] = {
    "",
    "Hello  world! I'll pay 12345 euros.\n\n",
    "<|im_start|>user\nhi<|im_end|> <s>",
    "\xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80 e\xCC\x81 \xFF\xC3",
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto tokenizer =
        sinter::text::Tokenizer::FromJson({reinterpret_cast<const char*>(data), size});
    for (const std::string_view prompt : kPrompts) {
      std::vector<int32_t> ids = tokenizer.Encode(prompt, true);
      ids.push_back(tokenizer.VocabSize());
      ids.push_back(-1);
      for (int32_t id = 0; id < 300; ++id) ids.push_back(id);
      sinter::text::StreamDecoder decoder(tokenizer, false);
      std::string text;
      for (const int32_t id : ids) text += decoder.Push(id);
      text += decoder.Flush();
      if (text != tokenizer.Decode(ids, false)) std::abort();
    }
  } catch (const sinter::Error&) {
    // An Error is the right result for a file that is not valid.
  }
  return 0;
}
