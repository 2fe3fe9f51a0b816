#include "convert/random_tokenizer.h"

#include <map>

#include "base/error.h"

namespace sinter::convert {
namespace {

// Returns the printable character that byte-level BPE writes for a byte (GPT-2's bytes_to_unicode):
// printable Latin-1 bytes stand for themselves, the others become U+0100 and the following ones.
std::string ByteText(int byte) {
  const auto printable = [](int b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  };
  int code = byte;
  if (!printable(byte)) {
    code = 0x100;
    for (int before = 0; before < byte; ++before) code += printable(before) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

// Returns a space, as byte-level BPE writes it, followed by syllables that spell `index` in base
// 80. Different indices give different words.
std::string Word(int64_t index) {
  constexpr std::string_view kConsonants = "bdfghjklmnprstvz", kVowels = "aeiou";
  std::string word;
  do {
    const int64_t syllable = index % 80;
    word += kConsonants[static_cast<size_t>(syllable / 5)];
    word += kVowels[static_cast<size_t>(syllable % 5)];
    index /= 80;
  } while (index > 0);
  return ByteText(' ') + word;
}

// Returns the special tokens' texts by id.
std::map<int64_t, std::string> Specials(const nlohmann::ordered_json& genai_config) {
  const auto& model = genai_config.at("model");
  std::map<int64_t, std::string> specials;
  const auto& eos = model.at("eos_token_id");
  size_t ends = 0;
  for (const auto& id : eos.is_array() ? eos : nlohmann::ordered_json::array({eos})) {
    specials.emplace(id.get<int64_t>(),
                     ends == 0 ? "<|end|>" : "<|end" + std::to_string(ends) + "|>");
    ++ends;
  }
  if (model.contains("bos_token_id")) {
    specials.emplace(model.at("bos_token_id").get<int64_t>(), "<|begin|>");
  }
  specials.emplace(model.at("pad_token_id").get<int64_t>(), "<|pad|>");
  return specials;
}

}  // namespace

std::string RandomTokenizer(int64_t vocab, const nlohmann::ordered_json& genai_config) {
  using Json = nlohmann::ordered_json;
  const std::map<int64_t, std::string> specials = Specials(genai_config);
  if (vocab < 256 + static_cast<int64_t>(specials.size())) {
    throw Error("convert", "vocab_size: got {}, want at least {} for random weights", vocab,
                256 + specials.size());
  }
  Json added = Json::array();
  int byte = 0;
  // The vocabulary is formatted as text, because an ordered JSON object searches all its keys, here
  // up to 200,000, for each one that is added.
  std::string entries;
  for (int64_t id = 0; id < vocab; ++id) {
    const auto special = specials.find(id);
    if (special != specials.end()) {
      added.push_back({{"id", id},
                       {"content", special->second},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
    }
    const std::string token = special != specials.end() ? special->second
                              : byte < 256              ? ByteText(byte++)
                                                        : Word(id);
    entries += fmt::format("{}{}:{}", entries.empty() ? "" : ",", Json(token).dump(), id);
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  return fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":{},"normalizer":null,)"
      R"("pre_tokenizer":{},"post_processor":null,"decoder":{},)"
      R"("model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,)"
      R"("end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,)"
      R"("vocab":{{{}}},"merges":[]}}}})",
      added.dump(), byte_level.dump(), byte_level.dump(), entries);
}

std::string RandomTokenizerConfig(const nlohmann::ordered_json& genai_config) {
  const std::map<int64_t, std::string> specials = Specials(genai_config);
  const auto& model = genai_config.at("model");
  nlohmann::ordered_json json = {
      {"eos_token", "<|end|>"},
      {"model_max_length", model.at("context_length")},
      {"pad_token", specials.at(model.at("pad_token_id").get<int64_t>())},
      {"tokenizer_class", "PreTrainedTokenizerFast"}};
  if (model.contains("bos_token_id")) {
    json["bos_token"] = specials.at(model.at("bos_token_id").get<int64_t>());
  }
  return json.dump(2) + "\n";
}

std::string RandomChatTemplate() {
  return "{% for message in messages %}{{ message.role }}: {{ message.content }}\n"
         "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
}

}  // namespace sinter::convert
