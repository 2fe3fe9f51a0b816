// Tokenizers of Hugging Face's tokenizer.json format with a BPE model, byte-level (GPT-2, Qwen,
// Llama 3, gpt-oss) or of SentencePiece's kind (Llama 2, Phi-3, Mistral, Gemma). Ids and texts are
// those of the `tokenizers` library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/decoder.h"

namespace sinter::text {

class StreamDecoder;

// Immutable; movable and cheap to copy. All calls are safe from several threads at once.
class Tokenizer {
 public:
  // Throws Error (area "tokenizer") if the file cannot be read, is no JSON, or holds a component, a
  // field or an id that Sinter does not know or that contradicts the rest. Truncation and padding
  // settings are ignored.
  static Tokenizer FromFile(const std::filesystem::path& path);
  static Tokenizer FromJson(std::string_view json);

  // The ids of `text`. Added tokens in it are recognized, special ones too. Ill-formed UTF-8 is
  // read as U+FFFD. `add_special_tokens` puts the post-processor's tokens (bos, eos) around the
  // result. Throws Error if a pattern exceeds its limits, or a character has no token and the named
  // unk_token does not exist.
  std::vector<int32_t> Encode(std::string_view text, bool add_special_tokens) const;

  // The text of `ids`. Ids without a token are left out (models pad their vocabulary), with
  // `skip_special` special tokens too. Bytes that form no character become U+FFFD.
  std::string Decode(std::span<const int32_t> ids, bool skip_special) const;

  std::optional<int32_t> TokenToId(std::string_view token) const;
  std::optional<std::string> IdToToken(int32_t id) const;
  bool IsSpecial(int32_t id) const;
  // The largest id + 1, added tokens included. The model's own vocabulary may be padded beyond it.
  int32_t VocabSize() const;

 private:
  friend class StreamDecoder;
  struct Parts;
  explicit Tokenizer(std::shared_ptr<const Parts> parts);
  // Null for an id without a token.
  const std::string* FindToken(int32_t id) const;

  std::shared_ptr<const Parts> parts_;
};

// Decodes ids one by one, for output while the model generates. The texts of all Push calls and of
// Flush make up what Decode gives for all ids, at a cost linear in their number. No text ends
// within a character: bytes wait until theirs is complete or cannot be any more (then U+FFFD
// appears). With ByteFallback decoders, byte tokens wait for the end of their run, because the
// whole run decides whether it is text.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);
  ~StreamDecoder();
  StreamDecoder(const StreamDecoder&) = delete;
  StreamDecoder& operator=(const StreamDecoder&) = delete;

  // The text that is certain now and was not given out before; often empty. Throws Error as Decode
  // does.
  std::string Push(int32_t id);
  // The rest; afterwards the decoder is as new.
  std::string Flush();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string out_;
  std::unique_ptr<DecoderLink> chain_;
};

}  // namespace sinter::text
