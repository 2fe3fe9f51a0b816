#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

// Upper bound on the size of tokenizer.json. That of Gemma 3 has 33 MB.
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

}  // namespace

struct Tokenizer::Parts {
  explicit Parts(const Json& root)
      : model(RequireField(root, "model", "tokenizer.json")),
        normalizer(Normalizer::FromJson(FindField(root, "normalizer", "tokenizer.json"))),
        added_tokens(FindField(root, "added_tokens", "tokenizer.json"), model, normalizer),
        pre_tokenizer(PreTokenizer::FromJson(FindField(root, "pre_tokenizer", "tokenizer.json"))),
        post_processor(
            PostProcessor::FromJson(FindField(root, "post_processor", "tokenizer.json"),
                                    std::max(model.id_limit(), added_tokens.id_limit()))),
        decoder(Decoder::FromJson(FindField(root, "decoder", "tokenizer.json"))) {}

  Bpe model;
  Normalizer normalizer;
  AddedTokens added_tokens;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;
};

Tokenizer::Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

Tokenizer Tokenizer::FromFile(const std::filesystem::path& path) {
  const std::string json = ReadSmallFile(path, "tokenizer", "a tokenizer.json", kMaxFileBytes);
  return Parse(json, path.string() + ": ");
}

Tokenizer Tokenizer::FromFiles(const FileSource& files) {
  const std::string name = "tokenizer.json";
  return Parse(files.ReadSmall(name, "tokenizer", "a tokenizer.json", kMaxFileBytes),
               files.PathOf(name) + ": ");
}

Tokenizer Tokenizer::FromJson(std::string_view json) { return Parse(json, ""); }

Tokenizer Tokenizer::Parse(std::string_view json, std::string_view prefix) {
  const Json root = ParseJson(
      json, "tokenizer", prefix.empty() ? "tokenizer.json" : prefix.substr(0, prefix.size() - 2));
  try {
    return Tokenizer(std::make_shared<const Parts>(root));
  } catch (const Error& error) {
    // Removes the area from the message, because this Error adds it again. Tokens that the message
    // quotes may be long.
    const std::string_view message = error.what();
    throw Error("tokenizer", "{}{}", prefix,
                CutMiddle(message.substr(std::string_view("[tokenizer] ").size())));
  }
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, bool add_special_tokens) const {
  std::vector<Piece> pieces = parts_->added_tokens.Split(SanitizeUtf8(text), parts_->normalizer);
  parts_->pre_tokenizer.Apply(&pieces);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  const auto append = [&](const std::vector<int32_t>& more) {
    ids.insert(ids.end(), more.begin(), more.end());
  };
  if (add_special_tokens) append(parts_->post_processor.before());
  for (const Piece& piece : pieces) {
    if (piece.token >= 0) {
      ids.push_back(piece.token);
    } else {
      parts_->model.Encode(piece.text, &ids);
    }
  }
  if (add_special_tokens) append(parts_->post_processor.after());
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  StreamDecoder decoder(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) text += decoder.Push(id);
  return text + decoder.Flush();
}

const std::string* Tokenizer::FindToken(int32_t id) const {
  const AddedToken* added = parts_->added_tokens.Find(id);
  return added != nullptr ? &added->content : parts_->model.IdToToken(id);
}

std::optional<int32_t> Tokenizer::TokenToId(std::string_view token) const {
  const AddedToken* added = parts_->added_tokens.Find(token);
  return added != nullptr ? added->id : parts_->model.TokenToId(token);
}

std::optional<std::string> Tokenizer::IdToToken(int32_t id) const {
  const std::string* token = FindToken(id);
  if (token == nullptr) return std::nullopt;
  return *token;
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const AddedToken* added = parts_->added_tokens.Find(id);
  return added != nullptr && added->special;
}

int32_t Tokenizer::VocabSize() const {
  return std::max(parts_->model.id_limit(), parts_->added_tokens.id_limit());
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer),
      skip_special_(skip_special),
      chain_(tokenizer_.parts_->decoder.Start(&out_)) {}

StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::Push(int32_t id) {
  const std::string* token = tokenizer_.FindToken(id);
  if (token != nullptr && !(skip_special_ && tokenizer_.IsSpecial(id))) chain_->Push(*token);
  return std::exchange(out_, {});
}

std::string StreamDecoder::Flush() {
  chain_->Finish();
  chain_ = tokenizer_.parts_->decoder.Start(&out_);
  return std::exchange(out_, {});
}

}  // namespace sinter::text
