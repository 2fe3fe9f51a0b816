#include "text/bpe.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

// Limits of the word cache, equal to the reference tokenizer's. Words beyond them are merged anew
// each time.
constexpr size_t kMaxCachedWords = 10000;
constexpr size_t kMaxCachedWordBytes = 256;
// Words with fewer ids are merged in one part.
constexpr size_t kMinIdsForParts = 32;

// Returns the last character of one token and the first of another as one number. Neither token may
// be empty.
uint64_t Joint(std::string_view left, std::string_view right) {
  size_t last = left.size() - 1;
  while (last > 0 && (static_cast<uint8_t>(left[last]) & 0xC0) == 0x80) --last;
  size_t first = 0;
  return uint64_t{NextCodePoint(left, &last)} << 32 | NextCodePoint(right, &first);
}

}  // namespace

Bpe::Bpe(const Json& model) {
  const std::string type = OptionalString(model, "type", "model").value_or("BPE");
  if (type != "BPE") throw Error("tokenizer", "model: got type \"{}\", want BPE", Excerpt(type));
  if (const Json* dropout = FindField(model, "dropout", "model")) {
    if (!dropout->is_number() || dropout->get<double>() != 0) {
      throw Error("tokenizer", "model: dropout: got {}, want null or 0 (it makes encoding random)",
                  dropout->is_number() ? dropout->dump() : dropout->type_name());
    }
  }
  unk_token_ = OptionalString(model, "unk_token", "model");
  continuing_subword_prefix_ =
      OptionalString(model, "continuing_subword_prefix", "model").value_or("");
  end_of_word_suffix_ = OptionalString(model, "end_of_word_suffix", "model").value_or("");
  fuse_unk_ = BoolOr(model, "fuse_unk", "model", false);
  ignore_merges_ = BoolOr(model, "ignore_merges", "model", false);
  LoadVocabulary(model);
  LoadMerges(model);
  if (BoolOr(model, "byte_fallback", "model", false)) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_tokens_.push_back(TokenToId(fmt::format("<0x{:02X}>", byte)).value_or(-1));
    }
  }
}

void Bpe::LoadVocabulary(const Json& model) {
  const Json& vocab = RequireField(model, "vocab", "model");
  if (!vocab.is_object()) {
    throw Error("tokenizer", "model: field \"vocab\": got {}, want an object", vocab.type_name());
  }
  ids_.reserve(vocab.size());
  int32_t limit = 0;
  for (const auto& [token, json] : vocab.items()) {
    const auto id = static_cast<int32_t>(IntIn(json, "model vocab", token, 0, kMaxTokens - 1));
    limit = std::max(limit, id + 1);
    ids_.emplace(token, id);
  }
  tokens_.assign(static_cast<size_t>(limit), nullptr);
  for (const auto& [token, id] : ids_) {
    if (tokens_[id] != nullptr) {
      throw Error("tokenizer",
                  "model vocab: got id {} for both \"{}\" and \"{}\", want one token for each id",
                  id, Excerpt(*tokens_[id]), Excerpt(token));
    }
    tokens_[id] = &token;
  }
}

void Bpe::LoadMerges(const Json& model) {
  const Json& merges = RequireArray(model, "merges", "model");
  merges_.Reserve(merges.size());
  uint32_t rank = 0;
  for (const Json& merge : merges) {
    if (merge.is_string()) {
      const auto& line = merge.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      const size_t space = line.find(' ');
      if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
        throw Error("tokenizer",
                    "model merges, entry {}: got \"{}\", want two tokens with a space between",
                    rank, Excerpt(line));
      }
      const std::string_view view = line;
      AddMerge(view.substr(0, space), view.substr(space + 1), rank++);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      AddMerge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(),
               rank++);
    } else {
      throw Error("tokenizer",
                  "model merges, entry {}: got {}, want \"left right\" or [\"left\", \"right\"]",
                  rank, merge.type_name());
    }
  }
}

void Bpe::AddMerge(std::string_view left, std::string_view right, uint32_t rank) {
  const auto id = [&](std::string_view token) {
    const auto found = TokenToId(token);
    if (!found) {
      throw Error("tokenizer",
                  "model merges, entry {}: got token \"{}\", want one from the vocabulary", rank,
                  Excerpt(token));
    }
    return *found;
  };
  const int32_t left_id = id(left);
  const int32_t right_id = id(right);
  // The right part of a merge continues a word, so it carries the prefix, which the merged token
  // drops.
  if (right.size() < continuing_subword_prefix_.size()) {
    throw Error("tokenizer",
                "model merges, entry {}: got \"{}\", want a token that begins with \"{}\"", rank,
                Excerpt(right), Excerpt(continuing_subword_prefix_));
  }
  std::string merged(left);
  merged += right.substr(continuing_subword_prefix_.size());
  // If a pair is given twice, the last one counts, as in the reference tokenizer.
  merges_.Add(left_id, right_id, rank, id(merged));
  // The argument for parts needs merged tokens that are the characters' tokens, concatenated.
  if (left.empty() || right.empty() || !continuing_subword_prefix_.empty()) {
    has_parts_ = false;
  } else {
    joints_.insert(Joint(left, right));
  }
}

std::optional<int32_t> Bpe::TokenToId(std::string_view token) const {
  const auto it = ids_.find(token);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

const std::string* Bpe::IdToToken(int32_t id) const {
  return id >= 0 && id < id_limit() ? tokens_[id] : nullptr;
}

void Bpe::Encode(std::string_view word, std::vector<int32_t>* out) const {
  if (word.empty()) return;
  if (ignore_merges_) {
    if (const auto id = TokenToId(word)) {
      out->push_back(*id);
      return;
    }
  }
  const bool cached = word.size() < kMaxCachedWordBytes;
  if (cached) {
    const std::lock_guard lock(cache_->mutex);
    const auto it = cache_->words.find(word);
    if (it != cache_->words.end()) {
      out->insert(out->end(), it->second.begin(), it->second.end());
      return;
    }
  }
  std::vector<int32_t> ids = Characters(word);
  MergeAll(&ids);
  out->insert(out->end(), ids.begin(), ids.end());
  if (cached) {
    const std::lock_guard lock(cache_->mutex);
    if (cache_->words.size() < kMaxCachedWords) cache_->words.emplace(word, std::move(ids));
  }
}

// Returns the tokens of the word's single characters, before any merge.
std::vector<int32_t> Bpe::Characters(std::string_view word) const {
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  int32_t pending_unk = -1;
  const auto flush_unk = [&] {
    if (pending_unk >= 0) ids.push_back(pending_unk);
    pending_unk = -1;
  };
  std::string decorated;
  for (size_t pos = 0; pos < word.size();) {
    const size_t begin = pos;
    NextCodePoint(word, &pos);
    std::string_view character = word.substr(begin, pos - begin);
    const bool prefix = begin > 0 && !continuing_subword_prefix_.empty();
    const bool suffix = pos == word.size() && !end_of_word_suffix_.empty();
    if (prefix || suffix) {
      decorated = prefix ? continuing_subword_prefix_ : "";
      decorated += character;
      if (suffix) decorated += end_of_word_suffix_;
      character = decorated;
    }
    if (const auto id = TokenToId(character)) {
      flush_unk();
      ids.push_back(*id);
      continue;
    }
    const auto byte_token = [&](char c) { return byte_tokens_[static_cast<uint8_t>(c)]; };
    if (!byte_tokens_.empty() && std::all_of(character.begin(), character.end(),
                                             [&](char c) { return byte_token(c) >= 0; })) {
      // An unk_token that waits to be fused is emitted after these bytes, as in the reference
      // tokenizer.
      for (const char c : character) ids.push_back(byte_token(c));
      continue;
    }
    if (!unk_token_) continue;
    const auto unk = TokenToId(*unk_token_);
    if (!unk) {
      throw Error(
          "tokenizer",
          "model: got no token for \"{}\" and unk_token \"{}\", want the latter in the vocabulary",
          character, Excerpt(*unk_token_));
    }
    if (!fuse_unk_) flush_unk();
    pending_unk = *unk;
  }
  flush_unk();
  return ids;
}

bool Bpe::MayJoin(int32_t left, int32_t right) const {
  return joints_.contains(Joint(*tokens_[left], *tokens_[right]));
}

void Bpe::MergeAll(std::vector<int32_t>* ids) const {
  const std::span<int32_t> all = *ids;
  if (!has_parts_ || all.size() < kMinIdsForParts) {
    ids->resize(merges_.Apply(all));
    return;
  }
  size_t done = 0;
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    end = begin + 1;
    while (end < all.size() && MayJoin(all[end - 1], all[end])) ++end;
    const size_t left = merges_.Apply(all.subspan(begin, end - begin));
    std::copy_n(all.begin() + begin, left, all.begin() + done);
    done += left;
  }
  ids->resize(done);
}

}  // namespace sinter::text
