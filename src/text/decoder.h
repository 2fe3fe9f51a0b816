// Implements the decoders of tokenizer.json, which turn tokens back into text, as a chain that
// takes one token at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_fields.h"
#include "text/pattern.h"

namespace sinter::text {

// One link of a running chain. Before a ByteLevel or Fuse link, every Push is one token. After it,
// all pushes together are one text in pieces.
class DecoderLink {
 public:
  virtual ~DecoderLink() = default;
  // Takes whole characters (valid UTF-8) and passes on the part of the text that is certain.
  virtual void Push(std::string_view token) = 0;
  // Passes on the text that was held back. No Push may follow.
  virtual void Finish() = 0;
};

// Decoder of a tokenizer.json: ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, BPEDecoder
// and Sequence.
class Decoder {
 public:
  // Reads the decoder. Null gives one that puts a space between tokens. Throws Error on an unknown
  // type or a bad field.
  static Decoder FromJson(const Json* json);

  // Returns a chain that appends its text to *out. It must not outlive *this and *out. Push and
  // Finish throw Error if a Replace exceeds its limits. The cost is linear in the number of tokens.
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
    bool drop_first = false;  // Metaspace: removes the first token's markers
  };
  void Append(const Json& json, int depth);
  static std::unique_ptr<DecoderLink> MakeLink(const Step& step, bool fused,
                                               const std::shared_ptr<size_t>& bytes,
                                               std::unique_ptr<DecoderLink> next);

  std::vector<Step> steps_;
};

}  // namespace sinter::text
