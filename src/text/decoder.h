// Decoders: how tokenizer.json turns tokens back into text, as a chain that takes one token at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_fields.h"
#include "text/pattern.h"

namespace sinter::text {

// One link of a running chain. Before a ByteLevel or Fuse link every Push is one token; behind it,
// all pushes together are one text in pieces.
class DecoderLink {
 public:
  virtual ~DecoderLink() = default;
  // Takes whole characters (valid UTF-8) and passes on whatever is certain.
  virtual void Push(std::string_view token) = 0;
  // Passes on what was held back. No Push follows.
  virtual void Finish() = 0;
};

// The decoder of a tokenizer.json: ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace,
// BPEDecoder and Sequence.
class Decoder {
 public:
  // Null gives the decoder that puts a space between tokens. Throws Error on an unknown type or a
  // bad field.
  static Decoder FromJson(const Json* json);

  // A chain that appends its text to *out. It must not outlive *this and *out. Push and Finish
  // throw Error where a Replace exceeds its limits. The cost is linear in the tokens, however many
  // there are.
  std::unique_ptr<DecoderLink> Start(std::string* out) const;

 private:
  enum class Kind { kByteLevel, kReplace, kByteFallback, kFuse, kStrip, kMetaspace, kBpe, kJoin };
  struct Step {
    Kind kind;
    std::shared_ptr<const Pattern> pattern;
    std::string content;  // Replace: the replacement. Strip: the character. Metaspace: the marker.
                          // BPE: the suffix.
    size_t start = 0;
    size_t stop = 0;
    bool drop_first = false;  // Metaspace: whether the first token's markers vanish
  };
  void Append(const Json& json, int depth);
  static std::unique_ptr<DecoderLink> MakeLink(const Step& step, bool fused,
                                               const std::shared_ptr<size_t>& bytes,
                                               std::unique_ptr<DecoderLink> next);

  std::vector<Step> steps_;
};

}  // namespace sinter::text
