#include "text/decoder.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

// Limit on the output of a Replace, relative to the bytes that go into the chain. One Replace may
// turn each space into a few bytes, but a chain of them could multiply a text again and again.
constexpr size_t kMaxDecoderGrowth = 64;
constexpr size_t kMaxDecoderGrowthBytes = size_t{64} * 1024;

class Link : public DecoderLink {
 public:
  explicit Link(std::unique_ptr<DecoderLink> next) : next_(std::move(next)) {}
  void Finish() override { next_->Finish(); }

 protected:
  std::unique_ptr<DecoderLink> next_;
};

// Last link of every chain.
class AppendLink : public DecoderLink {
 public:
  explicit AppendLink(std::string* out) : out_(out) {}
  void Push(std::string_view token) override { out_->append(token); }
  void Finish() override {}

 private:
  std::string* out_;
};

// Joins all pieces into one token, for links that cannot process a text in pieces.
class GatherLink : public Link {
 public:
  using Link::Link;
  void Push(std::string_view token) override { text_ += token; }
  void Finish() override {
    next_->Push(text_);
    next_->Finish();
  }

 private:
  std::string text_;
};

class JoinLink : public Link {
 public:
  using Link::Link;
  void Push(std::string_view token) override {
    if (!first_) next_->Push(" ");
    first_ = false;
    next_->Push(token);
  }

 private:
  bool first_ = true;
};

class FuseLink : public Link {
 public:
  using Link::Link;
  void Push(std::string_view token) override { next_->Push(token); }
};

class ByteLevelLink : public Link {
 public:
  using Link::Link;
  void Push(std::string_view token) override {
    bytes_.clear();
    text_.clear();
    ByteLevelToBytes(token, &bytes_);
    assembler_.Push(bytes_, &text_);
    if (!text_.empty()) next_->Push(text_);
  }
  void Finish() override {
    text_.clear();
    assembler_.Finish(&text_);
    if (!text_.empty()) next_->Push(text_);
    next_->Finish();
  }

 private:
  Utf8Assembler assembler_;
  std::string bytes_;
  std::string text_;
};

// Joins byte tokens, such as <0xE4> <0xBD> <0xA0>, into characters. A run of byte tokens that is
// not valid UTF-8 as a whole becomes one U+FFFD per byte, even where it contains valid characters.
// This is the reference tokenizer's behaviour, and the reason why no part of a run is certain
// before its end.
class ByteFallbackLink : public Link {
 public:
  using Link::Link;
  void Push(std::string_view token) override {
    const int byte = ByteOf(token);
    if (byte >= 0) {
      run_ += static_cast<char>(byte);
      return;
    }
    EndRun();
    next_->Push(token);
  }
  void Finish() override {
    EndRun();
    next_->Finish();
  }

 private:
  static int ByteOf(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    int byte = 0;
    for (const char c : token.substr(3, 2)) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                               : -1;
      if (digit < 0) return -1;
      byte = byte * 16 + digit;
    }
    return byte;
  }
  void EndRun() {
    if (run_.empty()) return;
    if (IsValidUtf8(run_)) {
      next_->Push(run_);
    } else {
      for (size_t i = 0; i < run_.size(); ++i) next_->Push(kReplacementCharacter);
    }
    run_.clear();
  }
  std::string run_;
};

// First link of a chain. Counts the bytes that go in.
class CountLink : public Link {
 public:
  CountLink(std::unique_ptr<DecoderLink> next, std::shared_ptr<size_t> bytes)
      : Link(std::move(next)), bytes_(std::move(bytes)) {}
  void Push(std::string_view token) override {
    *bytes_ += token.size();
    next_->Push(token);
  }

 private:
  std::shared_ptr<size_t> bytes_;
};

// Bytes that one Replace may produce: a multiple of the bytes that went into the chain.
class Budget {
 public:
  explicit Budget(std::shared_ptr<const size_t> bytes) : bytes_(std::move(bytes)) {}
  size_t Left() const { return *bytes_ * kMaxDecoderGrowth + kMaxDecoderGrowthBytes - spent_; }
  void Spend(size_t bytes) {
    if (bytes > Left()) {
      throw Error("tokenizer",
                  "decoder Replace: got more than {} bytes of text, want a replacement that grows "
                  "the text less",
                  spent_ + Left());
    }
    spent_ += bytes;
  }

 private:
  std::shared_ptr<const size_t> bytes_;
  size_t spent_ = 0;
};

class ReplaceLink : public Link {
 public:
  ReplaceLink(std::unique_ptr<DecoderLink> next, const Pattern& pattern, const std::string& content,
              Budget budget)
      : Link(std::move(next)), pattern_(pattern), content_(content), budget_(std::move(budget)) {}
  void Push(std::string_view token) override {
    const std::string out = pattern_.Replace(token, content_, budget_.Left());
    budget_.Spend(out.size());
    next_->Push(out);
  }

 private:
  const Pattern& pattern_;
  const std::string& content_;
  Budget budget_;
};

// Replaces a literal in a text that comes in pieces. Holds back the end of the text if it may begin
// a match.
class ReplaceInTextLink : public Link {
 public:
  ReplaceInTextLink(std::unique_ptr<DecoderLink> next, const std::string& literal,
                    const std::string& content, Budget budget)
      : Link(std::move(next)), literal_(literal), content_(content), budget_(std::move(budget)) {}
  void Push(std::string_view text) override {
    held_ += text;
    std::string out;
    size_t done = 0;
    for (size_t at = held_.find(literal_); at != std::string::npos;
         at = held_.find(literal_, done)) {
      budget_.Spend(at - done + content_.size());
      out.append(held_, done, at - done);
      out += content_;
      done = at + literal_.size();
    }
    // Length of the longest end of the text that is a beginning of the literal.
    size_t keep = std::min(literal_.size() - 1, held_.size() - done);
    while (keep > 0 &&
           !std::string_view(held_).ends_with(std::string_view(literal_).substr(0, keep)))
      --keep;
    out.append(held_, done, held_.size() - done - keep);
    held_.erase(0, held_.size() - keep);
    if (!out.empty()) next_->Push(out);
  }
  void Finish() override {
    if (!held_.empty()) next_->Push(held_);
    next_->Finish();
  }

 private:
  const std::string& literal_;
  const std::string& content_;
  Budget budget_;
  std::string held_;
};

// Removes up to `start` copies of the character from the beginning of each token and up to `stop`
// from its end.
class StripLink : public Link {
 public:
  StripLink(std::unique_ptr<DecoderLink> next, const std::string& character, size_t start,
            size_t stop)
      : Link(std::move(next)), character_(character), start_(start), stop_(stop) {}
  void Push(std::string_view token) override {
    for (size_t i = 0; i < start_ && token.starts_with(character_); ++i)
      token.remove_prefix(character_.size());
    for (size_t i = 0; i < stop_ && token.ends_with(character_); ++i)
      token.remove_suffix(character_.size());
    next_->Push(token);
  }

 private:
  const std::string& character_;
  size_t start_;
  size_t stop_;
};

// Does the same as StripLink for a text that comes in pieces: holds back up to `stop` copies of the
// character at its end.
class StripTextLink : public Link {
 public:
  StripTextLink(std::unique_ptr<DecoderLink> next, const std::string& character, size_t start,
                size_t stop)
      : Link(std::move(next)), character_(character), start_left_(start), stop_(stop) {}
  void Push(std::string_view text) override {
    while (start_left_ > 0 && !text.empty()) {
      if (text.starts_with(character_)) {
        text.remove_prefix(character_.size());
        --start_left_;
      } else {
        start_left_ = 0;
      }
    }
    if (text.empty()) return;
    size_t trailing = 0;
    std::string_view body = text;
    while (trailing < stop_ && body.ends_with(character_)) {
      body.remove_suffix(character_.size());
      ++trailing;
    }
    std::string out;
    // Characters are held back only while nothing else follows them and there are no more than
    // `stop`.
    const size_t keep = body.empty() ? std::min(stop_, held_ + trailing) : trailing;
    for (size_t i = keep; i < held_ + trailing; ++i) out += character_;
    out += body;
    held_ = keep;
    if (!out.empty()) next_->Push(out);
  }

 private:
  const std::string& character_;
  size_t start_left_;
  size_t stop_;
  size_t held_ = 0;
};

// Replaces the marker by a space. With `drop_first`, removes the first token's markers instead,
// because encoding put one there.
class MetaspaceLink : public Link {
 public:
  MetaspaceLink(std::unique_ptr<DecoderLink> next, const std::string& marker, bool drop_first,
                bool fused)
      : Link(std::move(next)), marker_(marker), drop_(drop_first), fused_(fused) {}
  void Push(std::string_view token) override {
    std::string out;
    for (size_t pos = 0; pos < token.size();) {
      const size_t begin = pos;
      NextCodePoint(token, &pos);
      const std::string_view character = token.substr(begin, pos - begin);
      if (character != marker_) {
        out += character;
      } else if (!drop_) {
        out += ' ';
      }
    }
    if (!fused_) drop_ = false;
    next_->Push(out);
  }

 private:
  const std::string& marker_;
  bool drop_;
  bool fused_;
};

// Replaces the suffix that ends a word by a space, and removes it from the last token.
class BpeLink : public Link {
 public:
  BpeLink(std::unique_ptr<DecoderLink> next, const std::string& suffix)
      : Link(std::move(next)), suffix_(Pattern::Literal(suffix)) {}
  void Push(std::string_view token) override {
    if (has_last_) Pass(" ");
    last_ = token;
    has_last_ = true;
  }
  void Finish() override {
    if (has_last_) Pass("");
    next_->Finish();
  }

 private:
  void Pass(std::string_view space) {
    // The result is never longer than the token: a suffix has at least one byte, which the space
    // replaces.
    next_->Push(suffix_.Replace(last_, space, last_.size()));
  }
  Pattern suffix_;
  std::string last_;
  bool has_last_ = false;
};

}  // namespace

Decoder Decoder::FromJson(const Json* json) {
  Decoder decoder;
  if (json != nullptr) {
    decoder.Append(*json, 0);
  } else {
    decoder.steps_.push_back({.kind = Kind::kJoin});
  }
  return decoder;
}

void Decoder::Append(const Json& json, int depth) {
  const std::string type = ComponentType(json, "decoder", depth);
  const std::string component = "decoder " + type;
  if (type == "Sequence") {
    for (const Json& part : RequireArray(json, "decoders", component)) Append(part, depth + 1);
  } else if (type == "ByteLevel") {
    steps_.push_back({.kind = Kind::kByteLevel});
  } else if (type == "Replace") {
    auto pattern = std::make_shared<const Pattern>(Pattern::FromJson(json, "pattern", component));
    steps_.push_back({.kind = Kind::kReplace,
                      .pattern = std::move(pattern),
                      .content = RequireString(json, "content", component)});
  } else if (type == "ByteFallback") {
    steps_.push_back({.kind = Kind::kByteFallback});
  } else if (type == "Fuse") {
    steps_.push_back({.kind = Kind::kFuse});
  } else if (type == "Strip") {
    steps_.push_back(
        {.kind = Kind::kStrip,
         .content = RequireCharacter(json, "content", component),
         .start = static_cast<size_t>(RequireInt(json, "start", component, 0, 1 << 20)),
         .stop = static_cast<size_t>(RequireInt(json, "stop", component, 0, 1 << 20))});
  } else if (type == "Metaspace") {
    const bool never = OptionalString(json, "prepend_scheme", component) == "never" ||
                       !BoolOr(json, "add_prefix_space", component, true);
    steps_.push_back({.kind = Kind::kMetaspace,
                      .content = RequireCharacter(json, "replacement", component),
                      .drop_first = !never});
  } else if (type == "BPEDecoder") {
    steps_.push_back({.kind = Kind::kBpe,
                      .content = OptionalString(json, "suffix", component).value_or("</w>")});
  } else {
    throw Error("tokenizer",
                "decoder: got type \"{}\", want ByteLevel, Replace, ByteFallback, Fuse, Strip, "
                "Metaspace, BPEDecoder "
                "or Sequence",
                Excerpt(type));
  }
}

std::unique_ptr<DecoderLink> Decoder::MakeLink(const Step& step, bool fused,
                                               const std::shared_ptr<size_t>& bytes,
                                               std::unique_ptr<DecoderLink> next) {
  switch (step.kind) {
    case Kind::kJoin:
      return std::make_unique<JoinLink>(std::move(next));
    case Kind::kFuse:
      return std::make_unique<FuseLink>(std::move(next));
    case Kind::kMetaspace:
      return std::make_unique<MetaspaceLink>(std::move(next), step.content, step.drop_first, fused);
    case Kind::kStrip:
      if (fused)
        return std::make_unique<StripTextLink>(std::move(next), step.content, step.start,
                                               step.stop);
      return std::make_unique<StripLink>(std::move(next), step.content, step.start, step.stop);
    case Kind::kReplace: {
      const std::string* literal = step.pattern->literal();
      if (fused && literal != nullptr && !literal->empty()) {
        return std::make_unique<ReplaceInTextLink>(std::move(next), *literal, step.content,
                                                   Budget(bytes));
      }
      next = std::make_unique<ReplaceLink>(std::move(next), *step.pattern, step.content,
                                           Budget(bytes));
      break;
    }
    case Kind::kByteLevel:
      next = std::make_unique<ByteLevelLink>(std::move(next));
      break;
    case Kind::kByteFallback:
      next = std::make_unique<ByteFallbackLink>(std::move(next));
      break;
    case Kind::kBpe:
      next = std::make_unique<BpeLink>(std::move(next), step.content);
      break;
  }
  return fused ? std::make_unique<GatherLink>(std::move(next)) : std::move(next);
}

std::unique_ptr<DecoderLink> Decoder::Start(std::string* out) const {
  std::unique_ptr<DecoderLink> chain = std::make_unique<AppendLink>(out);
  // Builds the chain from its end. A link after the first Fuse or ByteLevel gets one text in pieces
  // instead of tokens.
  size_t first_fuse = 0;
  while (first_fuse < steps_.size() && steps_[first_fuse].kind != Kind::kFuse &&
         steps_[first_fuse].kind != Kind::kByteLevel) {
    ++first_fuse;
  }
  const auto bytes = std::make_shared<size_t>(0);
  for (size_t i = steps_.size(); i-- > 0;) {
    chain = MakeLink(steps_[i], i > first_fuse, bytes, std::move(chain));
  }
  return std::make_unique<CountLink>(std::move(chain), bytes);
}

}  // namespace sinter::text
