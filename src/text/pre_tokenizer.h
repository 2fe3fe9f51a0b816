// Implements the pre-tokenizers of tokenizer.json, which split normalized text into words. BPE then
// merges each word on its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/json_fields.h"
#include "text/normalizer.h"
#include "text/pattern.h"

namespace sinter::text {

// Treatment of the matches at which a text is split.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Returns the words that `segments` give under `behavior`, as [begin, end) of the text. The words
// may include empty ones.
std::vector<Segment> SplitSegments(const std::vector<Segment>& segments, SplitBehavior behavior);

// Pre-tokenizer of a tokenizer.json: ByteLevel, Split, Metaspace, Digits, Whitespace,
// WhitespaceSplit, Punctuation, CharDelimiterSplit and Sequence.
class PreTokenizer {
 public:
  // Reads the pre-tokenizer. Null gives one that does not split. Throws Error on an unknown type or
  // a bad field.
  static PreTokenizer FromJson(const Json* json);

  // Splits every piece that is not an added token, and drops empty pieces. Throws Error if the text
  // grows too much.
  void Apply(std::vector<Piece>* pieces) const;

 private:
  enum class Kind { kByteLevel, kSplit, kMetaspace, kDigits, kWhitespaceSplit, kPunctuation };
  enum class PrependScheme { kNever, kFirst, kAlways };
  struct Step {
    Kind kind;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    std::shared_ptr<const Pattern> pattern;
    bool invert = false;
    bool add_prefix_space = false;
    bool split = true;
    PrependScheme prepend = PrependScheme::kNever;
    std::string replacement;
  };
  void Append(const Json& json, int depth);
  void AppendMetaspace(const Json& json, const std::string& component);
  static void ApplyStep(const Step& step, Piece piece, std::vector<Piece>* out);

  std::vector<Step> steps_;
};

}  // namespace sinter::text
