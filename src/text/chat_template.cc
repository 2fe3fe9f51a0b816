#include "text/chat_template.h"

#include <ctime>
#include <fstream>
#include <minja/minja.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "text/chat_template_guard.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Upper bound on name lookups during one rendering. Ordinary templates look up about ten names per
// message; a million lookups take a second or two.
constexpr int64_t kMaxLookups = 1'000'000;
// Upper bound on the stack that rendering uses, which stops a macro that calls itself. Linux gives
// a thread 8 MiB.
constexpr intptr_t kMaxStackBytes = intptr_t{512} * 1024;
constexpr int64_t kMaxRange = 1 << 20;
constexpr size_t kMaxErrorBytes = 400;

// Outermost scope of the template. Every lookup of a name that is not local ends here, so this is
// where endless loops and endless recursion are detected.
class RootContext : public minja::Context {
 public:
  explicit RootContext(minja::Value&& values) : Context(std::move(values), Context::builtins()) {}

  minja::Value get(const minja::Value& key) override {
    Guard();
    return Context::get(key);
  }
  minja::Value& at(const minja::Value& key) override {
    Guard();
    return Context::at(key);
  }
  bool contains(const minja::Value& key) override {
    Guard();
    return Context::contains(key);
  }
  // Empties the scope. Macros hold the scope that holds them; emptying it frees both.
  void Clear() { values_ = minja::Value::object(); }

 private:
  void Guard() {
    // The stack grows downwards wherever Sinter runs; the absolute value does not rely on it.
    if (std::abs(StackPosition() - start_) > kMaxStackBytes) {
      throw std::runtime_error("the template recurses without end");
    }
    if (++lookups_ > kMaxLookups) throw std::runtime_error("the template does not come to an end");
  }
  // Returns the frame address instead of the address of a local variable, because AddressSanitizer
  // may keep local variables elsewhere.
  static intptr_t StackPosition() { return reinterpret_cast<intptr_t>(__builtin_frame_address(0)); }

  intptr_t start_ = StackPosition();
  int64_t lookups_ = 0;
};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (file) content << file.rdbuf();
  // Opening a folder succeeds, and reading from it looks like reading an empty file.
  if (!file.is_open() || file.bad() || std::filesystem::is_directory(path)) {
    throw Error("chat_template", "{}: cannot be read", path.string());
  }
  return std::move(content).str();
}

OrderedJson ParseJson(std::string_view json, std::string_view what) {
  try {
    return OrderedJson::parse(json);
  } catch (const OrderedJson::exception& error) {
    throw Error("chat_template", "{}: got no valid JSON: {}", what, SanitizeUtf8(error.what()));
  }
}

// Returns a token of tokenizer_config.json, which is given as "<s>", {"content": "<s>"} or null
// (empty).
std::string TokenFromConfig(const OrderedJson& config, const char* key) {
  auto it = config.find(key);
  if (it == config.end() || it->is_null()) return "";
  const OrderedJson& token = it->is_object() && it->contains("content") ? it->at("content") : *it;
  if (!token.is_string()) {
    throw Error("chat_template", "tokenizer_config.json: field \"{}\": got {}, want a string", key,
                token.type_name());
  }
  return token.get<std::string>();
}

// Returns tokenizer_config.json of a model folder; an empty object if there is none.
OrderedJson ReadConfig(const std::filesystem::path& folder) {
  const auto path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return OrderedJson::object();
  OrderedJson config = ParseJson(ReadFile(path), "tokenizer_config.json");
  if (!config.is_object()) {
    throw Error("chat_template", "tokenizer_config.json: got {}, want an object",
                config.type_name());
  }
  return config;
}

SpecialTokens TokensFromConfig(const OrderedJson& config) {
  return {{"bos_token", TokenFromConfig(config, "bos_token")},
          {"eos_token", TokenFromConfig(config, "eos_token")}};
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

minja::Value StrftimeNow(std::chrono::system_clock::time_point now) {
  return minja::Value::callable(
      [now](const std::shared_ptr<minja::Context>&, minja::ArgumentsValue& args) {
        args.expectArgs("strftime_now", {1, 1}, {0, 0});
        const auto format = args.args[0].get<std::string>();
        const std::time_t time = std::chrono::system_clock::to_time_t(now);
        std::tm local = {};
        localtime_r(&time, &local);
        char buffer[256];
        const size_t length = std::strftime(buffer, sizeof(buffer), format.c_str(), &local);
        return minja::Value(std::string(buffer, length));
      });
}

// Returns a `range` with bounded arguments, because minja's own builds its whole list at once.
minja::Value BoundedRange() {
  return minja::Value::callable(
      [builtin = minja::Context::builtins()->get("range")](
          const std::shared_ptr<minja::Context>& context, minja::ArgumentsValue& args) {
        for (const minja::Value& bound : args.args) {
          if (!bound.is_number_integer() || std::abs(bound.get<int64_t>()) > kMaxRange) {
            throw std::runtime_error(fmt::format("range: want integers up to {}", kMaxRange));
          }
        }
        return builtin.call(context, args);
      });
}

// Shortens an error message of minja. minja adds a quotation of the source at every level that an
// error passes; the first one says where the error is.
std::string Shorten(std::string_view message) {
  std::string text = SanitizeUtf8(message.substr(0, kMaxErrorBytes));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

struct ChatTemplate::Parsed {
  std::shared_ptr<minja::TemplateNode> root;
  SpecialTokens tokens;
};

ChatTemplate ChatTemplate::FromSource(std::string_view source, SpecialTokens tokens) {
  auto parsed = std::make_shared<Parsed>();
  parsed->tokens = std::move(tokens);
  const std::string guarded = GuardTemplate(SanitizeUtf8(source));
  try {
    // These are the options with which Hugging Face's apply_chat_template calls Jinja.
    parsed->root = minja::Parser::parse(
        guarded, {.trim_blocks = true, .lstrip_blocks = true, .keep_trailing_newline = false});
  } catch (const std::exception& error) {
    throw Error("chat_template", "template: {}", Shorten(error.what()));
  }
  return ChatTemplate(std::move(parsed));
}

std::optional<ChatTemplate> ChatTemplate::FromFolder(const std::filesystem::path& folder,
                                                     std::string_view name) {
  const OrderedJson config = ReadConfig(folder);
  const auto jinja_path = folder / "chat_template.jinja";
  const std::optional<std::string> source =
      std::filesystem::exists(jinja_path) ? ReadFile(jinja_path) : SourceFromConfig(config, name);
  if (!source) return std::nullopt;
  return FromSource(*source, TokensFromConfig(config));
}

ChatTemplate ChatTemplate::FromFile(const std::filesystem::path& file,
                                    const std::filesystem::path& folder) {
  return FromSource(ReadFile(file), TokensFromConfig(ReadConfig(folder)));
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
  OrderedJson messages = ParseJson(messages_json, "messages");
  if (!messages.is_array()) {
    throw Error("chat_template", "messages: got {}, want an array", messages.type_name());
  }
  OrderedJson values = {{"messages", std::move(messages)},
                        {"add_generation_prompt", options.add_generation_prompt}};
  for (const auto& [name, token] : parsed_->tokens) values[name] = token;
  if (!options.tools_json.empty()) values["tools"] = ParseJson(options.tools_json, "tools");
  for (const auto& [name, json] : options.arguments) {
    values[name] = ParseJson(json, fmt::format("argument \"{}\"", name));
  }
  std::shared_ptr<RootContext> context;
  try {
    context = std::make_shared<RootContext>(minja::Value(values));
    context->set("strftime_now", StrftimeNow(options.now));
    context->set("range", BoundedRange());
    std::string prompt = parsed_->root->render(context);
    context->Clear();
    return prompt;
  } catch (const std::exception& error) {
    if (context) context->Clear();
    throw Error("chat_template", "rendering: {}", Shorten(error.what()));
  }
}

}  // namespace sinter::text
