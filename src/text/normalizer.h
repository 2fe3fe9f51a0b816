// Implements the normalizers of tokenizer.json, which change the text before it is split.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_fields.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace sinter::text {

// Part of the prompt on its way to becoming tokens.
struct Piece {
  std::string text;
  // True if the piece begins where the prompt begins. Metaspace's prepend_scheme "first" depends on
  // it.
  bool at_start = false;
  // Id of the added token that the piece is; -1 for ordinary text.
  int32_t token = -1;
};

// Normalizer of a tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip,
// StripAccents, ByteLevel and Sequence of these.
class Normalizer {
 public:
  // Reads the normalizer. Null gives one that changes nothing. Throws Error on an unknown type or a
  // bad field.
  static Normalizer FromJson(const Json* json);

  // Normalizes piece->text, and clears at_start if leading text was stripped. Throws Error if the
  // text grows too much (a chain of Replaces can double it again and again).
  void Apply(Piece* piece) const;

 private:
  enum class Kind {
    kNormalForm,
    kLowercase,
    kPrepend,
    kReplace,
    kStrip,
    kStripAccents,
    kByteLevel
  };
  struct Step {
    Kind kind;
    NormalForm form = NormalForm::kNfc;
    std::string content;
    std::shared_ptr<const Pattern> pattern;
    bool left = false;
    bool right = false;
  };
  void Append(const Json& json, int depth);

  std::vector<Step> steps_;
};

}  // namespace sinter::text
