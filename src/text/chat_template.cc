#include "text/chat_template.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/jinja/json.h"
#include "text/jinja/template.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMaxErrorBytes = 400;

constexpr std::string_view kArea = "chat_template", kWant = "a chat template";

OrderedJson ParseJson(std::string_view json, std::string_view what) {
  return ParseOrderedJson(json, "chat_template", what);
}

// Returns tokenizer_config.json of a model folder; an empty object if there is none.
OrderedJson ReadConfig(const FileSource& files) {
  const std::string name = "tokenizer_config.json";
  if (!files.Has(name)) return OrderedJson::object();
  OrderedJson config = ParseJson(files.ReadSmall(name, kArea, kWant), name);
  if (!config.is_object()) {
    throw Error("chat_template", "tokenizer_config.json: got {}, want an object",
                config.type_name());
  }
  return config;
}

// Returns the special tokens of tokenizer_config.json, given as "<s>" or {"content": "<s>"}. As in
// transformers a token that is null is undefined in the template. Where the file does not name
// bos_token or eos_token, transformers takes the tokenizer class's own; here they are empty.
SpecialTokens TokensFromConfig(const OrderedJson& config) {
  SpecialTokens tokens;
  for (const char* key : {"bos_token", "eos_token"}) {
    if (!config.contains(key)) tokens[key] = "";
  }
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const auto it = config.find(key);
    if (it == config.end() || it->is_null()) continue;
    const OrderedJson& token = it->is_object() && it->contains("content") ? it->at("content") : *it;
    if (!token.is_string()) {
      throw Error("chat_template", "tokenizer_config.json: field \"{}\": got {}, want a string",
                  key, token.type_name());
    }
    tokens[key] = token.get<std::string>();
  }
  return tokens;
}

// Returns the template named `name`, or nullopt if the file has no templates at all.
std::optional<std::string> SourceFromConfig(const OrderedJson& config, std::string_view name) {
  const auto it = config.find("chat_template");
  if (it == config.end() || it->is_null()) return std::nullopt;
  if (it->is_string()) return it->get<std::string>();
  if (!it->is_array()) {
    throw Error("chat_template",
                "tokenizer_config.json: field \"chat_template\": got {}, want a string or a list "
                "of named templates",
                it->type_name());
  }
  const std::string_view wanted = name.empty() ? "default" : name;
  std::string names;
  for (const OrderedJson& entry : *it) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() ||
        !entry.contains("template") || !entry["template"].is_string()) {
      throw Error("chat_template",
                  "tokenizer_config.json: field \"chat_template\": got an entry without the "
                  "strings \"name\" and "
                  "\"template\"");
    }
    const auto& entry_name = entry["name"].get_ref<const std::string&>();
    if (entry_name == wanted) return entry["template"].get<std::string>();
    names += (names.empty() ? "" : ", ") + entry_name;
  }
  throw Error("chat_template", "tokenizer_config.json: got the templates {}, want one named {}",
              names.empty() ? "(none)" : names, wanted);
}

// Returns the error for the user. `what` is what was done: "template" or "rendering".
Error ErrorOf(const jinja::TemplateError& error, std::string_view what) {
  const std::string message =
      SanitizeUtf8(std::string_view(error.what()).substr(0, kMaxErrorBytes));
  if (error.line() == 0) return Error("chat_template", "{}: {}", what, message);
  return Error("chat_template", "{}, line {}: {}", what, error.line(), message);
}

// Sets a variable to a JSON text.
jinja::Value JsonValue(jinja::Rendering& rendering, std::string_view json, std::string_view what) {
  if (json.find('\0') != std::string_view::npos)
    throw Error("chat_template", "{}: got a NUL byte, want JSON", what);
  try {
    return jinja::ParseJson(rendering.runtime(), json);
  } catch (const jinja::TemplateError& error) {
    throw ErrorOf(error, what);
  }
}

}  // namespace

struct ChatTemplate::Parsed {
  jinja::Template source;
  SpecialTokens tokens;
};

ChatTemplate ChatTemplate::FromSource(std::string_view source, SpecialTokens tokens) {
  try {
    return ChatTemplate(
        std::make_shared<const Parsed>(Parsed{jinja::Template::Parse(source), std::move(tokens)}));
  } catch (const jinja::TemplateError& error) {
    throw ErrorOf(error, "template");
  }
}

std::optional<ChatTemplate> ChatTemplate::FromFolder(const std::filesystem::path& folder,
                                                     std::string_view name) {
  return FromFiles(FolderFiles(folder), name);
}

std::optional<ChatTemplate> ChatTemplate::FromFiles(const FileSource& files,
                                                    std::string_view name) {
  const OrderedJson config = ReadConfig(files);
  const std::string jinja = "chat_template.jinja";
  const std::optional<std::string> source =
      files.Has(jinja) ? files.ReadSmall(jinja, kArea, kWant) : SourceFromConfig(config, name);
  if (!source) return std::nullopt;
  return FromSource(*source, TokensFromConfig(config));
}

ChatTemplate ChatTemplate::FromFile(const std::filesystem::path& file,
                                    const std::filesystem::path& folder) {
  return FromSource(ReadSmallFile(file, kArea, kWant),
                    TokensFromConfig(ReadConfig(FolderFiles(folder))));
}

std::string ChatTemplate::Render(std::span<const ChatMessage> messages,
                                 const ChatTemplateOptions& options) const {
  OrderedJson json = OrderedJson::array();
  for (const ChatMessage& message : messages) {
    json.push_back(
        {{"role", SanitizeUtf8(message.role)}, {"content", SanitizeUtf8(message.content)}});
  }
  return RenderJson(json.dump(), options);
}

std::string ChatTemplate::RenderJson(std::string_view messages_json,
                                     const ChatTemplateOptions& options) const {
  jinja::Rendering rendering(parsed_->source, options.now);
  const jinja::Value messages = JsonValue(rendering, messages_json, "messages");
  if (messages.kind() != jinja::Kind::kList) {
    throw Error("chat_template", "messages: got {}, want an array of messages",
                messages.IsDict() ? "object" : "no array");
  }
  for (const auto& [name, token] : parsed_->tokens) {
    rendering.Set(name, jinja::Value::String(SanitizeUtf8(token)));
  }
  rendering.Set("messages", messages);
  rendering.Set("add_generation_prompt", jinja::Value::Bool(options.add_generation_prompt));
  // transformers always passes these two, as None where there are none.
  rendering.Set("documents", jinja::Value::None());
  rendering.Set("tools", options.tools_json.empty()
                             ? jinja::Value::None()
                             : JsonValue(rendering, options.tools_json, "tools"));
  for (const auto& [name, json] : options.arguments) {
    rendering.Set(name, JsonValue(rendering, json, fmt::format("argument \"{}\"", name)));
  }
  try {
    return rendering.Run();
  } catch (const jinja::TemplateError& error) {
    throw ErrorOf(error, "rendering");
  }
}

}  // namespace sinter::text
