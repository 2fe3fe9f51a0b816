#include "text/tokenizer.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace sinter::text {

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
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  // Streaming an empty file sets failbit; only badbit indicates a read error.
  if (file) content << file.rdbuf();
  // Opening a folder succeeds, and reading from it looks like reading an empty file.
  if (!file.is_open() || file.bad() || std::filesystem::is_directory(path)) {
    throw Error("tokenizer", "{}: cannot be read, want a tokenizer.json", path.string());
  }
  try {
    return FromJson(std::move(content).str());
  } catch (const Error& error) {
    // Removes the area from the message of FromJson, because this Error adds it again.
    const std::string_view message = error.what();
    throw Error("tokenizer", "{}: {}", path.string(),
                message.substr(std::string_view("[tokenizer] ").size()));
  }
}

Tokenizer Tokenizer::FromJson(std::string_view json) {
  try {
    const Json root = Json::parse(json);
    return Tokenizer(std::make_shared<const Parts>(root));
  } catch (const Json::exception& error) {
    // nlohmann's messages may quote the bytes that it could not read, so they may be invalid UTF-8.
    throw Error("tokenizer", "got no valid JSON: {}", SanitizeUtf8(error.what()));
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
