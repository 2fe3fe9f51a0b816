// Added tokens: strings such as <|im_end|> that are found in the text before anything else looks at
// it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/bpe.h"
#include "text/json_fields.h"
#include "text/normalizer.h"
#include "text/string_map.h"

namespace sinter::text {

struct AddedToken {
  int32_t id;
  std::string content;
  bool single_word = false;  // matches only where no word character touches it
  bool lstrip = false;       // takes white space to its left along
  bool rstrip = false;
  bool normalized = true;  // is looked for in the normalized text
  bool special = false;    // is left out of decoded text on request
};

// Finds the leftmost, then longest of a set of strings.
class TokenTrie {
 public:
  // Later additions of the same string are ignored.
  void Add(std::string_view content, int32_t index);
  // The index and length of the longest string that `text` has at `pos`; an index of -1 if none.
  std::pair<int32_t, size_t> LongestAt(std::string_view text, size_t pos) const;
  bool MayBeginWith(char c) const { return first_bytes_[static_cast<uint8_t>(c)]; }

 private:
  std::unordered_map<uint64_t, int32_t> children_;  // node << 8 | byte -> node
  std::vector<int32_t> index_of_node_ = {-1};
  std::array<bool, 256> first_bytes_ = {};
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // `json`: the "added_tokens" array, or null. A token that the model's vocabulary has keeps the
  // vocabulary's id, as in the reference tokenizer. Throws Error on bad fields, on an id that
  // another token has, and on contents longer than 1 KiB.
  AddedTokens(const Json* json, const Bpe& model, const Normalizer& normalizer);

  // The prompt as pieces: added tokens, and normalized text between them. `text` must be valid
  // UTF-8.
  std::vector<Piece> Split(std::string_view text, const Normalizer& normalizer) const;

  const AddedToken* Find(int32_t id) const;
  const AddedToken* Find(std::string_view content) const;
  // The largest id + 1; 0 without tokens.
  int32_t id_limit() const { return id_limit_; }

 private:
  void SplitPiece(const TokenTrie& trie, const Piece& piece, std::vector<Piece>* out) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  StringMap<size_t> by_content_;
  TokenTrie raw_;         // those looked for in the text as it came
  TokenTrie normalized_;  // those looked for, in their own normalized form, in the normalized text
  int32_t id_limit_ = 0;
};

}  // namespace sinter::text
