#include "text/normalizer.h"

#include "base/error.h"
#include "base/file.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

// Limit on the growth of a text. The largest growth of ordinary normalizers is NFKD of U+FDFA (11
// times its bytes) followed by ByteLevel (2 times).
constexpr size_t kMaxNormalizerGrowth = 64;
constexpr size_t kMaxNormalizerGrowthBytes = size_t{64} * 1024;

// Returns the bytes of white space at the beginning of `text`.
size_t LeadingSpace(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    size_t next = pos;
    if (!IsWhitespace(NextCodePoint(text, &next))) break;
    pos = next;
  }
  return pos;
}

size_t TrailingSpace(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    size_t pos = begin;
    if (!IsWhitespace(NextCodePoint(text, &pos))) break;
    end = begin;
  }
  return text.size() - end;
}

std::string WithoutMarks(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = NextCodePoint(text, &pos);
    if (!IsMark(c)) AppendUtf8(c, &out);
  }
  return out;
}

}  // namespace

Normalizer Normalizer::FromJson(const Json* json) {
  Normalizer normalizer;
  if (json != nullptr) normalizer.Append(*json, 0);
  return normalizer;
}

void Normalizer::Append(const Json& json, int depth) {
  const std::string type = ComponentType(json, "normalizer", depth);
  const std::string component = "normalizer " + type;
  const auto form = [&](NormalForm f) { steps_.push_back({.kind = Kind::kNormalForm, .form = f}); };
  if (type == "Sequence") {
    for (const Json& part : RequireArray(json, "normalizers", component)) Append(part, depth + 1);
  } else if (type == "NFC") {
    form(NormalForm::kNfc);
  } else if (type == "NFD") {
    form(NormalForm::kNfd);
  } else if (type == "NFKC") {
    form(NormalForm::kNfkc);
  } else if (type == "NFKD") {
    form(NormalForm::kNfkd);
  } else if (type == "Lowercase") {
    steps_.push_back({.kind = Kind::kLowercase});
  } else if (type == "Prepend") {
    steps_.push_back(
        {.kind = Kind::kPrepend, .content = RequireString(json, "prepend", component)});
  } else if (type == "Replace") {
    auto pattern = std::make_shared<const Pattern>(Pattern::FromJson(json, "pattern", component));
    steps_.push_back({.kind = Kind::kReplace,
                      .content = RequireString(json, "content", component),
                      .pattern = std::move(pattern)});
  } else if (type == "Strip") {
    steps_.push_back({.kind = Kind::kStrip,
                      .left = BoolOr(json, "strip_left", component, true),
                      .right = BoolOr(json, "strip_right", component, true)});
  } else if (type == "StripAccents") {
    steps_.push_back({.kind = Kind::kStripAccents});
  } else if (type == "ByteLevel") {
    steps_.push_back({.kind = Kind::kByteLevel});
  } else {
    throw Error("tokenizer",
                "normalizer: got type \"{}\", want NFC, NFD, NFKC, NFKD, Lowercase, Prepend, "
                "Replace, Strip, "
                "StripAccents, ByteLevel or Sequence",
                Excerpt(type));
  }
}

void Normalizer::Apply(Piece* piece) const {
  const size_t max_bytes = piece->text.size() * kMaxNormalizerGrowth + kMaxNormalizerGrowthBytes;
  for (const Step& step : steps_) {
    std::string& text = piece->text;
    switch (step.kind) {
      case Kind::kNormalForm:
        text = Normalize(text, step.form);
        break;
      case Kind::kLowercase:
        text = ToLower(text);
        break;
      case Kind::kPrepend:
        if (!text.empty()) text.insert(0, step.content);
        break;
      case Kind::kReplace:
        text = step.pattern->Replace(text, step.content, max_bytes);
        break;
      case Kind::kStrip: {
        const size_t leading = step.left ? LeadingSpace(text) : 0;
        text.erase(0, leading);
        if (step.right) text.erase(text.size() - TrailingSpace(text));
        if (leading > 0) piece->at_start = false;
        break;
      }
      case Kind::kStripAccents:
        text = WithoutMarks(text);
        break;
      case Kind::kByteLevel:
        text = BytesToByteLevel(text);
        break;
    }
    if (text.size() > max_bytes) {
      throw Error("tokenizer",
                  "normalizer: got more than {} bytes, want a step that grows the text less",
                  max_bytes);
    }
  }
}

}  // namespace sinter::text
