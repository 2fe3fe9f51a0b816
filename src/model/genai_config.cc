#include "model/genai_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/json.h"

namespace sinter::model {
namespace {

using nlohmann::json;

// JSON object with its path in the file, for error messages.
class Section {
 public:
  Section(const json& object, std::string file, std::string path)
      : object_(object), file_(std::move(file)), path_(std::move(path)) {
    if (!object_.is_object()) Fail("", object_.type_name(), "an object");
  }

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  const json& at(const char* key) const { return object_[key]; }

  Section Object(const char* key) const {
    static const json empty = json::object();
    return {has(key) ? object_[key] : empty, file_, path_ + key + "."};
  }
  int64_t Int(const char* key, std::optional<int64_t> fallback, int64_t low, int64_t high) const {
    if (!has(key)) return Missing(key, fallback);
    if (!object_[key].is_number_integer()) Fail(key, object_[key].type_name(), "a whole number");
    const std::optional<int64_t> value = JsonInt(object_[key], low, high);
    if (!value) Fail(key, object_[key].dump(), fmt::format("{} to {}", low, high));
    return *value;
  }
  double Number(const char* key, double fallback, double low, double high) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_number()) Fail(key, object_[key].type_name(), "a number");
    const auto value = object_[key].get<double>();
    if (!(value >= low && value <= high))
      Fail(key, fmt::format("{}", value), fmt::format("{} to {}", low, high));
    return value;
  }
  bool Bool(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_boolean()) Fail(key, object_[key].type_name(), "true or false");
    return object_[key].get<bool>();
  }
  std::string Text(const char* key, const std::string& fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_string()) Fail(key, object_[key].type_name(), "a string");
    const auto& text = object_[key].get_ref<const std::string&>();
    if (std::any_of(text.begin(), text.end(),
                    [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
      Fail(key, fmt::format("'{}'", Excerpt(text)), "text without control characters");
    return text;
  }

  [[noreturn]] void Fail(std::string_view key, std::string_view got, std::string_view want) const {
    std::string_view path = path_;
    if (key.empty() && path.ends_with('.')) path.remove_suffix(1);
    throw Error("config", "{}: {}{}{}got {}, want {}", file_, path, key,
                path.empty() && key.empty() ? "" : ": ", got, want);
  }

 private:
  int64_t Missing(const char* key, std::optional<int64_t> fallback) const {
    if (!fallback) Fail(key, "nothing", "a number");
    return *fallback;
  }

  const json& object_;
  std::string file_, path_;
};

constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();

std::vector<int64_t> TokenIds(const Section& section, const char* key) {
  std::vector<int64_t> ids;
  if (!section.has(key)) return ids;
  const json& value = section.at(key);
  const auto add = [&](const json& id) {
    const std::optional<int64_t> number = JsonInt(id, 0, kMaxId);
    if (!number) section.Fail(key, JsonExcerpt(id), "a token id, or a list of them");
    ids.push_back(*number);
  };
  if (value.is_array()) {
    for (const json& id : value) add(id);
  } else {
    add(value);
  }
  return ids;
}

std::optional<int64_t> OptionalId(const Section& section, const char* key) {
  if (!section.has(key)) return std::nullopt;
  // Some models' configurations use -1 for "none".
  const int64_t id = section.Int(key, {}, -1, kMaxId);
  return id < 0 ? std::nullopt : std::optional(id);
}

// Reads provider_options: [{"webgpu": {"multiRotaryCacheConcatOffset": "4096"}}]
std::optional<int64_t> MultiRotaryOffset(const Section& decoder) {
  const Section session = decoder.Object("session_options");
  if (!session.has("provider_options") || !session.at("provider_options").is_array())
    return std::nullopt;
  for (const json& provider : session.at("provider_options")) {
    if (!provider.is_object()) continue;
    for (const auto& [name, options] : provider.items()) {
      if (!options.is_object()) continue;
      for (const auto& [key, value] : options.items()) {
        if (key != "multiRotaryCacheConcatOffset") continue;
        const std::string text = value.is_string() ? value.get<std::string>() : JsonExcerpt(value);
        int64_t offset = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
        if (error != std::errc() || end != text.data() + text.size() || offset < 0 ||
            offset > kMaxId) {
          decoder.Fail("session_options.provider_options.multiRotaryCacheConcatOffset",
                       Excerpt(text), "a number of rows");
        }
        return offset > 0 ? std::optional(offset) : std::nullopt;
      }
    }
  }
  return std::nullopt;
}

SearchDefaults ReadSearch(const Section& search) {
  SearchDefaults defaults;
  defaults.do_sample = search.Bool("do_sample", defaults.do_sample);
  defaults.max_length = search.Int("max_length", defaults.max_length, 0, kMaxId);
  defaults.temperature = search.Number("temperature", defaults.temperature, 0, 1e6);
  // -1 and 0 both mean no limit in files of other programs, and top_p 0 does in GenAI's.
  defaults.top_k = std::max<int64_t>(search.Int("top_k", defaults.top_k, -1, kMaxId), 0);
  defaults.top_p = search.Number("top_p", defaults.top_p, 0, 1);
  if (defaults.top_p == 0) defaults.top_p = 1;
  defaults.min_p = search.Number("min_p", defaults.min_p, 0, 1);
  defaults.repetition_penalty =
      search.Number("repetition_penalty", defaults.repetition_penalty, 1e-3, 1e3);
  // Rejects options that Sinter does not support, because ignoring them would silently change the
  // text.
  search.Int("num_beams", 1, 1, 1);
  search.Int("num_return_sequences", 1, 1, 1);
  search.Int("no_repeat_ngram_size", 0, 0, 0);
  search.Int("min_length", 0, 0, 0);
  return defaults;
}

// Rejects the parts of models that Sinter does not run: other graphs than one decoder, and caches
// other than one tensor of keys and one of values a layer.
void CheckParts(const Section& model, const Section& decoder) {
  constexpr char kOnly[] = "none: Sinter runs one decoder-only language model";
  for (const char* part : {"encoder", "embedding", "vision", "speech", "joiner"}) {
    if (model.has(part) && !model.at(part).empty()) model.Fail(part, "one", kOnly);
  }
  if (decoder.has("pipeline") && !decoder.at("pipeline").empty()) {
    decoder.Fail("pipeline", "a model in several graphs", "one graph, named by decoder.filename");
  }
  // A window that only says which layers have one is fine: the graph has it, too.
  const Section window = decoder.Object("sliding_window");
  for (const char* slides : {"slide_inputs", "slide_key_value_cache"}) {
    if (decoder.has("sliding_window") && window.Bool(slides, true)) {
      window.Fail(slides, "true", "false: such graphs run a fixed number of tokens at a time");
    }
  }
  const Section inputs = decoder.Object("inputs");
  for (const char* name : {"past_names", "cross_past_key_names", "encoder_hidden_states"}) {
    if (!inputs.Text(name, "").empty()) {
      inputs.Fail(name, "a name", "none: past_key_names and past_value_names alone");
    }
  }
}

}  // namespace

GenaiConfig ParseGenaiConfig(std::string_view text, std::string_view file_name) {
  const std::string file(file_name);
  const json root = ParseJson(text, "config", file);
  const Section top(root, file, "");
  if (!top.has("model")) top.Fail("model", "nothing", "an object");
  const Section model = top.Object("model");
  if (!model.has("decoder"))
    model.Fail("decoder", "nothing", "an object (Sinter runs decoder-only models)");
  const Section decoder = model.Object("decoder");
  CheckParts(model, decoder);
  const Section inputs = decoder.Object("inputs");
  const Section outputs = decoder.Object("outputs");

  GenaiConfig config;
  config.type = model.Text("type", "");
  config.context_length = model.Int("context_length", {}, 1, kMaxId);
  config.vocab_size = model.Int("vocab_size", {}, 1, kMaxId);
  config.bos_token_id = OptionalId(model, "bos_token_id");
  config.pad_token_id = OptionalId(model, "pad_token_id");
  config.eos_token_ids = TokenIds(model, "eos_token_id");
  config.filename = decoder.Text("filename", config.filename);
  if (!StaysInFolder(config.filename)) {
    decoder.Fail("filename", fmt::format("'{}'", Excerpt(config.filename)),
                 "the name of a file in the model's folder");
  }
  config.head_size = decoder.Int("head_size", {}, 1, 65536);
  config.hidden_size = decoder.Int("hidden_size", 0, 0, kMaxId);
  config.num_attention_heads = decoder.Int("num_attention_heads", {}, 1, 65536);
  config.num_hidden_layers = decoder.Int("num_hidden_layers", {}, 0, 65536);
  config.num_key_value_heads = decoder.Int("num_key_value_heads", {}, 1, 65536);
  config.input_ids = inputs.Text("input_ids", config.input_ids);
  config.attention_mask = inputs.Text("attention_mask", config.attention_mask);
  config.position_ids = inputs.Text("position_ids", config.position_ids);
  config.past_key_names = inputs.Text("past_key_names", config.past_key_names);
  config.past_value_names = inputs.Text("past_value_names", config.past_value_names);
  config.logits = outputs.Text("logits", config.logits);
  config.present_key_names = outputs.Text("present_key_names", config.present_key_names);
  config.present_value_names = outputs.Text("present_value_names", config.present_value_names);
  config.multi_rotary_offset = MultiRotaryOffset(decoder);
  config.search = ReadSearch(top.Object("search"));
  return config;
}

GenaiConfig ReadGenaiConfig(const std::filesystem::path& file) {
  return ParseGenaiConfig(ReadSmallFile(file, "config", "the genai_config.json of a model folder"),
                          file.string());
}

GenaiConfig ReadGenaiConfig(const FileSource& files) {
  const std::string name = "genai_config.json";
  return ParseGenaiConfig(
      files.ReadSmall(name, "config", "the genai_config.json of a model folder"),
      files.PathOf(name));
}

std::string LayerName(std::string_view pattern, int64_t layer) {
  std::string name(pattern);
  if (const size_t at = name.find("%d"); at != std::string::npos)
    name.replace(at, 2, std::to_string(layer));
  return name;
}

}  // namespace sinter::model
