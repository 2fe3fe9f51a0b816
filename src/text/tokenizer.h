// Implements tokenizers in Hugging Face's tokenizer.json format with a BPE model, either byte-level
// (GPT-2, Qwen, Llama 3, gpt-oss) or in SentencePiece's style (Llama 2, Phi-3, Mistral, Gemma). Ids
// and texts equal those of the `tokenizers` library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_source.h"
#include "text/decoder.h"

namespace sinter::text {

class StreamDecoder;

// Tokenizer. Immutable, movable and cheap to copy. All calls are safe from several threads at once.
class Tokenizer {
 public:
  // Reads a tokenizer.json. Throws Error (area "tokenizer") if the file cannot be read, is not
  // JSON, or contains a component, a field or an id that Sinter does not support or that
  // contradicts the rest. Ignores settings for truncation and padding.
  static Tokenizer FromFile(const std::filesystem::path& path);
  static Tokenizer FromJson(std::string_view json);
  // Reads the tokenizer.json of a model's files.
  static Tokenizer FromFiles(const FileSource& files);

  // Returns the ids of `text`. Recognizes added tokens in it, special ones too. Reads ill-formed
  // UTF-8 as U+FFFD. With `add_special_tokens`, puts the post-processor's tokens (bos, eos) around
  // the result. Throws Error if a pattern exceeds its limits, the text grows too much, or a
  // character has no token and the named unk_token does not exist.
  std::vector<int32_t> Encode(std::string_view text, bool add_special_tokens) const;

  // Returns the text of `ids`. Omits ids without a token, because models pad their vocabulary, and
  // with `skip_special` also special tokens. Bytes that form no character become U+FFFD. Throws
  // Error if a Replace of the decoder exceeds its limits.
  std::string Decode(std::span<const int32_t> ids, bool skip_special) const;

  std::optional<int32_t> TokenToId(std::string_view token) const;
  std::optional<std::string> IdToToken(int32_t id) const;
  bool IsSpecial(int32_t id) const;
  // Returns the largest id + 1, added tokens included. The model's own vocabulary may be padded
  // beyond it.
  int32_t VocabSize() const;

 private:
  friend class StreamDecoder;
  struct Parts;
  // Reads a tokenizer.json. The texts of errors begin with `prefix`: nothing, or a path and ": ".
  static Tokenizer Parse(std::string_view json, std::string_view prefix);

  explicit Tokenizer(std::shared_ptr<const Parts> parts);
  // Returns null for an id without a token.
  const std::string* FindToken(int32_t id) const;

  std::shared_ptr<const Parts> parts_;
};

// Decodes ids one by one, for output while the model generates. The texts of all Push calls and of
// Flush together equal the result of Decode for all ids, at a cost linear in their number. No text
// ends within a character: bytes wait until their character is complete or can no longer be
// completed (then U+FFFD appears). With ByteFallback decoders, byte tokens wait for the end of
// their run, because the whole run decides whether it is text.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);
  ~StreamDecoder();
  StreamDecoder(const StreamDecoder&) = delete;
  StreamDecoder& operator=(const StreamDecoder&) = delete;

  // Returns the text that is certain and was not returned before; often empty. Throws Error as
  // Decode does.
  std::string Push(int32_t id);
  // Returns the remaining text and resets the decoder.
  std::string Flush();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string out_;
  std::unique_ptr<DecoderLink> chain_;
};

}  // namespace sinter::text
