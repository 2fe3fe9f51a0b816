// Fuzz target: any bytes as reference.json must give a reference whose parts fit each other, or an
// Error("verify").
//
// Seeds: reference.json of models/demo.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/file.h"
#include "fuzz/require.h"
#include "model/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sinter;  // NOLINT: a program of one screen
  try {
    const model::Reference reference =
        model::ParseReference({reinterpret_cast<const char*>(data), size}, "reference.json");
    Require(StaysInFolder(reference.logits_file), "the logits are outside of the folder");
    Require(!reference.cases.empty() && reference.steps > 0 && reference.vocab > 0, "a size is 0");
    for (const model::ReferenceCase& one : reference.cases) {
      Require(!one.prompt.empty() && one.tokens.size() + 1 >= reference.steps,
              "a token is missing");
      for (const auto* tokens : {&one.prompt, &one.tokens}) {
        for (const int32_t token : *tokens) {
          Require(token >= 0 && static_cast<size_t>(token) < reference.vocab,
                  "a token is out of range");
        }
      }
    }
  } catch (const Error& error) {
    RequireErrorOf(error, "verify");
  }
  return 0;
}
