// Reads reference.json, which records the logits that a model folder should give.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::model {

struct ReferenceCase {
  std::vector<int32_t> prompt, tokens;
};

// Contents of reference.json: `cases`, each with the tokens of its prompt and those given after it,
// the name of the file of logits, and its shape [cases, steps, vocab].
struct Reference {
  std::vector<ReferenceCase> cases;
  size_t steps = 0, vocab = 0;
  std::string logits_file;
};

// Logits of a reference: f32, [cases, steps, vocab]. Step 0 holds those after the prompt's last
// token, and step i those after tokens[i - 1].
struct ReferenceLogits {
  Reference reference;
  std::span<const float> logits;
  std::shared_ptr<const void> owner;

  std::span<const float> Row(size_t index, size_t step) const {
    return logits.subspan((index * reference.steps + step) * reference.vocab, reference.vocab);
  }
};

// Parses reference.json. `file` is named in errors. Throws Error("verify") if a field is missing,
// has a wrong type or is out of range: tokens are below the vocabulary's size, every case has a
// prompt and a token for each step but the first, and logits_file stays in the folder.
Reference ParseReference(std::string_view json, std::string_view file);

// Reads the reference of a model folder, with its logits. Throws Error("verify") as above, or if
// the file of logits does not have the size that its shape says.
ReferenceLogits ReadReference(const std::filesystem::path& folder);

}  // namespace sinter::model
