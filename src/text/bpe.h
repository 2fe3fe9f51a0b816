// Implements the BPE model of tokenizer.json: vocabulary, merges, and the merging of one word
// (Sennrich et al. 2016, arXiv:1508.07909), with SentencePiece's byte fallback.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "text/json_fields.h"
#include "text/merge_table.h"
#include "text/string_map.h"

namespace sinter::text {

// Exclusive upper bound on token ids. It bounds the tables that are indexed by id. The largest
// vocabularies in use have 262,144 tokens.
inline constexpr int32_t kMaxTokens = 1 << 24;

// BPE model. Immutable except for its word cache; encoding is safe from several threads at once.
class Bpe {
 public:
  // Reads the "model" of a tokenizer.json. Throws Error on a type other than BPE, dropout, ids that
  // are negative, repeated or not below kMaxTokens, and merges of tokens that are not in the
  // vocabulary.
  explicit Bpe(const Json& model);

  // Appends the tokens of one word (valid UTF-8). O(n log n) in its length. Characters that are
  // neither in the vocabulary nor covered by byte_fallback become unk_token, or are dropped if
  // there is none. Throws Error if unk_token is needed but not in the vocabulary.
  void Encode(std::string_view word, std::vector<int32_t>* out) const;

  std::optional<int32_t> TokenToId(std::string_view token) const;
  // Returns null for an id that is not in the vocabulary.
  const std::string* IdToToken(int32_t id) const;
  // Returns the largest id + 1.
  int32_t id_limit() const { return static_cast<int32_t>(tokens_.size()); }
  size_t size() const { return ids_.size(); }

 private:
  struct Cache {
    std::mutex mutex;
    StringMap<std::vector<int32_t>> words;
  };

  void LoadVocabulary(const Json& model);
  void LoadMerges(const Json& model);
  void AddMerge(std::string_view left, std::string_view right, uint32_t rank);
  std::vector<int32_t> Characters(std::string_view word) const;
  // Applies the merges to all ids of a word, part by part.
  void MergeAll(std::vector<int32_t>* ids) const;
  // Returns whether a merge may cross the place between these two ids of characters.
  bool MayJoin(int32_t left, int32_t right) const;

  StringMap<int32_t> ids_;
  std::vector<const std::string*> tokens_;  // indexed by id; null if no token has it
  MergeTable merges_;
  // Pairs of characters at which merges join: the last of the left token and the first of the right
  // one. A word falls into parts wherever two of its characters are no such pair, because no merge
  // crosses that place. In text without a pre-tokenizer these parts are about the words.
  std::unordered_set<uint64_t> joints_;
  bool has_parts_ = true;
  std::optional<std::string> unk_token_;
  std::string continuing_subword_prefix_;
  std::string end_of_word_suffix_;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
  // Ids of the tokens <0x00> to <0xFF>, -1 if the vocabulary lacks one; empty without
  // byte_fallback.
  std::vector<int32_t> byte_tokens_;
  std::unique_ptr<Cache> cache_ = std::make_unique<Cache>();
};

}  // namespace sinter::text
