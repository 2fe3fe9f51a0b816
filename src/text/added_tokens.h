// Finds added tokens: strings such as <|im_end|> that are recognized in the text before any other
// step.
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
  bool lstrip = false;       // the match includes the white space to its left
  bool rstrip = false;       // the match includes the white space to its right
  bool normalized = true;    // is searched for in the normalized text
  bool special = false;      // is omitted from decoded text on request
};

// Set of strings that finds the longest one at a position of a text.
class TokenTrie {
 public:
  // Adds a string with its index. Ignores a string that is empty or already in the set.
  void Add(std::string_view content, int32_t index);
  // Returns the index and length of the longest string that `text` has at `pos`; the index is -1 if
  // there is none.
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
  // Reads `json`, the "added_tokens" array or null. A token that is in the model's vocabulary keeps
  // the vocabulary's id, as in the reference tokenizer. Throws Error on bad fields, on an id that
  // another token has, and on contents longer than 1 KiB.
  AddedTokens(const Json* json, const Bpe& model, const Normalizer& normalizer);

  // Returns the prompt as pieces: added tokens, and the normalized text between them. `text` must
  // be valid UTF-8.
  std::vector<Piece> Split(std::string_view text, const Normalizer& normalizer) const;

  const AddedToken* Find(int32_t id) const;
  const AddedToken* Find(std::string_view content) const;
  // Returns the largest id + 1; 0 without tokens.
  int32_t id_limit() const { return id_limit_; }

 private:
  void SplitPiece(const TokenTrie& trie, const Piece& piece, std::vector<Piece>* out) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  StringMap<size_t> by_content_;
  TokenTrie raw_;         // tokens searched for in the text before normalization
  TokenTrie normalized_;  // tokens, normalized, that are searched for in the normalized text
  int32_t id_limit_ = 0;
};

}  // namespace sinter::text
