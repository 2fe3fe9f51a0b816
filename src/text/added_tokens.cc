#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

// Upper bound on the bytes of a token, which bounds the search to this many steps per byte of text.
// The longest tokens in use have about 60 bytes.
constexpr size_t kMaxContentBytes = 1024;

// Returns whether `c` is a word character as Rust's regex crate defines it: letters, marks, decimal
// digits, connectors, joiners.
bool IsWordCharacter(char32_t c);

const Pattern& WordPattern() {
  static const Pattern pattern = Pattern::Regex(R"([\w\p{Join_Control}])");
  return pattern;
}

bool IsWordCharacter(char32_t c) {
  std::string text;
  AppendUtf8(c, &text);
  return WordPattern().FindSegments(text).front().is_match;
}

size_t CharacterBefore(std::string_view text, size_t pos) {
  do --pos;
  while (pos > 0 && (static_cast<uint8_t>(text[pos]) & 0xC0) == 0x80);
  return pos;
}

bool WordBefore(std::string_view text, size_t pos) {
  if (pos == 0) return false;
  size_t begin = CharacterBefore(text, pos);
  return IsWordCharacter(NextCodePoint(text, &begin));
}

bool WordAfter(std::string_view text, size_t pos) {
  return pos < text.size() && IsWordCharacter(NextCodePoint(text, &pos));
}

}  // namespace

void TokenTrie::Add(std::string_view content, int32_t index) {
  if (content.empty()) return;
  first_bytes_[static_cast<uint8_t>(content[0])] = true;
  uint64_t node = 0;
  for (const char c : content) {
    const auto next = static_cast<int32_t>(index_of_node_.size());
    const auto [it, inserted] = children_.emplace(node << 8 | static_cast<uint8_t>(c), next);
    if (inserted) index_of_node_.push_back(-1);
    node = static_cast<uint64_t>(it->second);
  }
  if (index_of_node_[node] < 0) index_of_node_[node] = index;
}

std::pair<int32_t, size_t> TokenTrie::LongestAt(std::string_view text, size_t pos) const {
  std::pair<int32_t, size_t> longest = {-1, 0};
  uint64_t node = 0;
  for (size_t i = pos; i < text.size(); ++i) {
    const auto it = children_.find(node << 8 | static_cast<uint8_t>(text[i]));
    if (it == children_.end()) break;
    node = static_cast<uint64_t>(it->second);
    if (index_of_node_[node] >= 0) longest = {index_of_node_[node], i + 1 - pos};
  }
  return longest;
}

AddedTokens::AddedTokens(const Json* json, const Bpe& model, const Normalizer& normalizer) {
  if (json == nullptr) return;
  if (!json->is_array()) {
    throw Error("tokenizer", "field \"added_tokens\": got {}, want an array", json->type_name());
  }
  for (const Json& entry : *json) {
    AddedToken token;
    token.content = RequireString(entry, "content", "added token");
    const std::string component = fmt::format("added token \"{}\"", Excerpt(token.content));
    token.id = static_cast<int32_t>(RequireInt(entry, "id", component, 0, kMaxTokens - 1));
    token.single_word = BoolOr(entry, "single_word", component, false);
    token.lstrip = BoolOr(entry, "lstrip", component, false);
    token.rstrip = BoolOr(entry, "rstrip", component, false);
    token.special = BoolOr(entry, "special", component, false);
    token.normalized = BoolOr(entry, "normalized", component, !token.special);
    // Ignores empty tokens and repetitions, as the reference tokenizer does.
    if (token.content.empty() || by_content_.contains(token.content)) continue;
    if (token.content.size() > kMaxContentBytes) {
      throw Error("tokenizer", "{}: got {} bytes, want at most {}", component, token.content.size(),
                  kMaxContentBytes);
    }
    if (const auto id = model.TokenToId(token.content)) {
      token.id = *id;
    } else if (const std::string* other = model.IdToToken(token.id)) {
      throw Error("tokenizer",
                  "{}: got id {}, which \"{}\" has already, want one token for each id", component,
                  token.id, Excerpt(*other));
    }
    if (by_id_.contains(token.id)) {
      throw Error("tokenizer",
                  "{}: got id {}, which \"{}\" has already, want one token for each id", component,
                  token.id, Excerpt(Find(token.id)->content));
    }
    const size_t index = tokens_.size();
    by_id_.emplace(token.id, index);
    by_content_.emplace(token.content, index);
    id_limit_ = std::max(id_limit_, token.id + 1);
    tokens_.push_back(std::move(token));
  }
  // If two tokens are equal once normalized, the special one wins, because it is added first.
  for (const bool special : {true, false}) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].special != special) continue;
      if (tokens_[i].normalized) {
        Piece piece{tokens_[i].content};
        normalizer.Apply(&piece);
        normalized_.Add(piece.text, static_cast<int32_t>(i));
      } else {
        raw_.Add(tokens_[i].content, static_cast<int32_t>(i));
      }
    }
  }
}

const AddedToken* AddedTokens::Find(int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::Find(std::string_view content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

void AddedTokens::SplitPiece(const TokenTrie& trie, const Piece& piece,
                             std::vector<Piece>* out) const {
  const std::string_view text = piece.text;
  size_t done = 0;
  const auto add_text = [&](size_t end) {
    if (done < end)
      out->push_back({std::string(text.substr(done, end - done)), piece.at_start && done == 0});
  };
  for (size_t pos = 0; pos < text.size();) {
    if (!trie.MayBeginWith(text[pos])) {
      ++pos;
      continue;
    }
    const auto [index, length] = trie.LongestAt(text, pos);
    if (index < 0) {
      ++pos;
      continue;
    }
    const AddedToken& token = tokens_[index];
    size_t begin = pos;
    size_t end = pos + length;
    pos = end;
    if (token.single_word && (WordBefore(text, begin) || WordAfter(text, end))) continue;
    if (token.lstrip) {
      while (begin > done) {
        const size_t previous = CharacterBefore(text, begin);
        size_t next = previous;
        if (!IsWhitespace(NextCodePoint(text, &next))) break;
        begin = previous;
      }
    }
    if (token.rstrip) {
      while (end < text.size()) {
        size_t next = end;
        if (!IsWhitespace(NextCodePoint(text, &next))) break;
        end = next;
      }
    }
    add_text(begin);
    out->push_back({{}, false, token.id});
    // The next token may begin inside the white space that this one has taken. `done` never moves
    // back, so the rest of that white space does not become text.
    done = std::max(done, end);
  }
  add_text(text.size());
}

std::vector<Piece> AddedTokens::Split(std::string_view text, const Normalizer& normalizer) const {
  std::vector<Piece> raw;
  SplitPiece(raw_, Piece{std::string(text), true}, &raw);
  std::vector<Piece> pieces;
  for (Piece& piece : raw) {
    if (piece.token >= 0) {
      pieces.push_back(std::move(piece));
      continue;
    }
    normalizer.Apply(&piece);
    SplitPiece(normalized_, piece, &pieces);
  }
  return pieces;
}

}  // namespace sinter::text
