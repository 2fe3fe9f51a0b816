// Implements the post-processors of tokenizer.json, which put special tokens around a prompt.
#pragma once

#include <cstdint>
#include <vector>

#include "text/json_fields.h"

namespace sinter::text {

// Post-processor of a tokenizer.json: TemplateProcessing (its template for a single text),
// ByteLevel (which only moves offsets, so it does nothing here) and Sequence.
class PostProcessor {
 public:
  // Reads the post-processor. Null gives one that adds nothing. Throws Error on an unknown type, a
  // template without exactly one text, and special tokens whose ids are not below `id_limit`.
  static PostProcessor FromJson(const Json* json, int32_t id_limit);

  const std::vector<int32_t>& before() const { return before_; }
  const std::vector<int32_t>& after() const { return after_; }

 private:
  void Append(const Json& json, int32_t id_limit, int depth);

  std::vector<int32_t> before_;
  std::vector<int32_t> after_;
};

}  // namespace sinter::text
