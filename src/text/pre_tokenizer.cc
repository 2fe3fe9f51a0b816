#include "text/pre_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "text/byte_level.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

// Pattern of GPT-2 (encoder.py).
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Pattern of the pre-tokenizer Whitespace: runs of word characters, and runs of other characters
// that are not white space.
constexpr std::string_view kWordsPattern = R"([\w\p{Join_Control}]+|[^\w\p{Join_Control}\s]+)";

// Limit on the growth of a text. ByteLevel doubles bytes that are not ASCII; a chain of them would
// do so again and again.
constexpr size_t kMaxPreTokenizerGrowth = 64;
constexpr size_t kMaxPreTokenizerGrowthBytes = size_t{64} * 1024;

SplitBehavior BehaviorFromJson(const Json& json, const std::string& component, bool required) {
  const auto name = required ? RequireString(json, "behavior", component)
                             : OptionalString(json, "behavior", component).value_or("Isolated");
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  throw Error("tokenizer",
              "{}: field \"behavior\": got \"{}\", want Removed, Isolated, MergedWithPrevious, "
              "MergedWithNext or "
              "Contiguous",
              component, Excerpt(name));
}

// Returns segments in which every character that `is_match` accepts is a match of its own.
template <typename IsMatch>
std::vector<Segment> CharacterSegments(std::string_view text, const IsMatch& is_match) {
  std::vector<Segment> segments;
  size_t last = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    if (!is_match(NextCodePoint(text, &pos))) continue;
    if (begin > last) segments.push_back({last, begin, false});
    segments.push_back({begin, pos, true});
    last = pos;
  }
  if (last < text.size()) segments.push_back({last, text.size(), false});
  return segments;
}

void AppendWords(const Piece& piece, const std::vector<Segment>& words, std::vector<Piece>* out) {
  for (const Segment& word : words) {
    if (word.begin == word.end) continue;
    out->push_back(
        {piece.text.substr(word.begin, word.end - word.begin), piece.at_start && word.begin == 0});
  }
}

}  // namespace

std::vector<Segment> SplitSegments(const std::vector<Segment>& segments, SplitBehavior behavior) {
  std::vector<Segment> words;
  words.reserve(segments.size());
  bool previous_match = false;
  const auto add = [&](const Segment& segment, bool merge, auto extend) {
    if (merge && !words.empty()) {
      extend(&words.back());
    } else {
      words.push_back(segment);
    }
    previous_match = segment.is_match;
  };
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return segments;
    case SplitBehavior::kRemoved:
      std::copy_if(segments.begin(), segments.end(), std::back_inserter(words),
                   [](const Segment& segment) { return !segment.is_match; });
      return words;
    case SplitBehavior::kContiguous:
      for (const Segment& segment : segments) {
        add(segment, segment.is_match == previous_match,
            [&](Segment* word) { word->end = segment.end; });
      }
      return words;
    case SplitBehavior::kMergedWithPrevious:
      for (const Segment& segment : segments) {
        add(segment, segment.is_match && !previous_match,
            [&](Segment* word) { word->end = segment.end; });
      }
      return words;
    case SplitBehavior::kMergedWithNext:
      std::for_each(segments.rbegin(), segments.rend(), [&](const Segment& segment) {
        add(segment, segment.is_match && !previous_match,
            [&](Segment* word) { word->begin = segment.begin; });
      });
      std::reverse(words.begin(), words.end());
      return words;
  }
  return words;
}

PreTokenizer PreTokenizer::FromJson(const Json* json) {
  PreTokenizer pre_tokenizer;
  if (json != nullptr) pre_tokenizer.Append(*json, 0);
  return pre_tokenizer;
}

void PreTokenizer::Append(const Json& json, int depth) {
  const std::string type = ComponentType(json, "pre_tokenizer", depth);
  const std::string component = "pre_tokenizer " + type;
  if (type == "Sequence") {
    for (const Json& part : RequireArray(json, "pretokenizers", component)) Append(part, depth + 1);
  } else if (type == "ByteLevel") {
    // trim_offsets concerns only offsets, which Sinter does not report.
    Step step{.kind = Kind::kByteLevel};
    step.add_prefix_space = BoolOr(json, "add_prefix_space", component, true);
    if (BoolOr(json, "use_regex", component, true)) {
      step.pattern = std::make_shared<const Pattern>(Pattern::Regex(kGpt2Pattern));
    }
    steps_.push_back(std::move(step));
  } else if (type == "Split") {
    Step step{.kind = Kind::kSplit, .behavior = BehaviorFromJson(json, component, true)};
    step.pattern = std::make_shared<const Pattern>(Pattern::FromJson(json, "pattern", component));
    step.invert = BoolOr(json, "invert", component, false);
    steps_.push_back(std::move(step));
  } else if (type == "CharDelimiterSplit") {
    Step step{.kind = Kind::kSplit, .behavior = SplitBehavior::kRemoved};
    step.pattern = std::make_shared<const Pattern>(
        Pattern::Literal(RequireCharacter(json, "delimiter", component)));
    steps_.push_back(std::move(step));
  } else if (type == "Metaspace") {
    AppendMetaspace(json, component);
  } else if (type == "Digits") {
    const bool individual = BoolOr(json, "individual_digits", component, false);
    steps_.push_back(
        {.kind = Kind::kDigits,
         .behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous});
  } else if (type == "Whitespace") {
    Step step{.kind = Kind::kSplit, .behavior = SplitBehavior::kRemoved};
    step.pattern = std::make_shared<const Pattern>(Pattern::Regex(kWordsPattern));
    step.invert = true;
    steps_.push_back(std::move(step));
  } else if (type == "WhitespaceSplit") {
    steps_.push_back({.kind = Kind::kWhitespaceSplit, .behavior = SplitBehavior::kRemoved});
  } else if (type == "Punctuation") {
    steps_.push_back(
        {.kind = Kind::kPunctuation, .behavior = BehaviorFromJson(json, component, false)});
  } else {
    throw Error(
        "tokenizer",
        "pre_tokenizer: got type \"{}\", want ByteLevel, Split, Metaspace, Digits, Whitespace, "
        "WhitespaceSplit, Punctuation, CharDelimiterSplit or Sequence",
        Excerpt(type));
  }
}

void PreTokenizer::AppendMetaspace(const Json& json, const std::string& component) {
  Step step{.kind = Kind::kMetaspace};
  step.replacement = RequireCharacter(json, "replacement", component);
  step.split = BoolOr(json, "split", component, true);
  const auto scheme = OptionalString(json, "prepend_scheme", component);
  const std::string name = scheme.value_or("always");
  if (name == "always") {
    step.prepend = PrependScheme::kAlways;
  } else if (name == "first") {
    step.prepend = PrependScheme::kFirst;
  } else if (name == "never") {
    step.prepend = PrependScheme::kNever;
  } else {
    throw Error("tokenizer",
                "{}: field \"prepend_scheme\": got \"{}\", want always, first or never", component,
                Excerpt(name));
  }
  // Older files have only add_prefix_space.
  if (!BoolOr(json, "add_prefix_space", component, true)) {
    if (scheme && step.prepend != PrependScheme::kNever) {
      throw Error("tokenizer",
                  "{}: add_prefix_space false and prepend_scheme \"{}\" contradict each other",
                  component, Excerpt(name));
    }
    step.prepend = PrependScheme::kNever;
  }
  steps_.push_back(std::move(step));
}

void PreTokenizer::ApplyStep(const Step& step, Piece piece, std::vector<Piece>* out) {
  const auto split = [&](std::vector<Segment> segments) {
    if (step.invert) {
      for (Segment& segment : segments) segment.is_match = !segment.is_match;
    }
    AppendWords(piece, SplitSegments(segments, step.behavior), out);
  };
  switch (step.kind) {
    case Kind::kByteLevel: {
      if (step.add_prefix_space && !piece.text.starts_with(' ')) piece.text.insert(0, 1, ' ');
      const size_t first = out->size();
      if (step.pattern) {
        split(step.pattern->FindSegments(piece.text));
      } else {
        out->push_back(std::move(piece));
      }
      for (size_t i = first; i < out->size(); ++i)
        (*out)[i].text = BytesToByteLevel((*out)[i].text);
      return;
    }
    case Kind::kMetaspace: {
      std::string text;
      for (const char c : piece.text) c == ' ' ? text += step.replacement : text += c;
      const bool prepend = step.prepend == PrependScheme::kAlways ||
                           (step.prepend == PrependScheme::kFirst && piece.at_start);
      if (prepend && !text.starts_with(step.replacement)) text.insert(0, step.replacement);
      piece.text = std::move(text);
      if (!step.split) {
        out->push_back(std::move(piece));
        return;
      }
      const auto segments = Pattern::Literal(step.replacement).FindSegments(piece.text);
      AppendWords(piece, SplitSegments(segments, SplitBehavior::kMergedWithNext), out);
      return;
    }
    case Kind::kSplit:
      return split(step.pattern->FindSegments(piece.text));
    case Kind::kDigits:
      return split(CharacterSegments(piece.text, IsNumeric));
    case Kind::kWhitespaceSplit:
      return split(CharacterSegments(piece.text, IsWhitespace));
    case Kind::kPunctuation:
      return split(CharacterSegments(piece.text, IsPunctuation));
  }
}

void PreTokenizer::Apply(std::vector<Piece>* pieces) const {
  const auto total_bytes = [&] {
    size_t bytes = 0;
    for (const Piece& piece : *pieces) bytes += piece.text.size();
    return bytes;
  };
  const size_t max_bytes = total_bytes() * kMaxPreTokenizerGrowth + kMaxPreTokenizerGrowthBytes;
  for (const Step& step : steps_) {
    if (total_bytes() > max_bytes) {
      throw Error("tokenizer",
                  "pre_tokenizer: got more than {} bytes, want a step that grows the text less",
                  max_bytes);
    }
    std::vector<Piece> out;
    out.reserve(pieces->size());
    for (Piece& piece : *pieces) {
      if (piece.token >= 0) {
        out.push_back(std::move(piece));
      } else if (!piece.text.empty()) {
        ApplyStep(step, std::move(piece), &out);
      }
    }
    *pieces = std::move(out);
  }
}

}  // namespace sinter::text
