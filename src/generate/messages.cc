#include "generate/messages.h"

#include <fmt/ranges.h>

#include <map>
#include <optional>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/json.h"
#include "text/utf8.h"

namespace sinter::generate {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Returns the text of parts joined by newlines, or nullopt if the content is no array of parts of
// text.
std::optional<std::string> JoinedText(const OrderedJson& content) {
  if (!content.is_array() || content.empty()) return std::nullopt;
  std::string text;
  for (const OrderedJson& part : content) {
    if (!part.is_object() || !part.contains("type") || part["type"] != "text" ||
        !part.contains("text") || !part["text"].is_string()) {
      return std::nullopt;
    }
    if (!text.empty()) text += '\n';
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

// Returns whether the template writes a part of text as it writes the same text as a string, in a
// short conversation with such a message of this role.
bool ReadsParts(const text::ChatTemplate& chat_template, const std::string& role,
                const text::ChatTemplateOptions& options) {
  const std::string probe = "a short text";
  const auto render = [&](const OrderedJson& content) -> std::optional<std::string> {
    OrderedJson messages = OrderedJson::array({{{"role", role}, {"content", content}}});
    // Many templates want conversations that begin with the user, after a system message.
    const OrderedJson user = {{"role", "user"}, {"content", probe}};
    if (role == "assistant" || role == "tool") messages.insert(messages.begin(), user);
    if (role != "user") messages.push_back(user);
    try {
      return chat_template.RenderJson(messages.dump(), options);
    } catch (const Error&) {
      return std::nullopt;
    }
  };
  const std::optional<std::string> of_string = render(probe);
  const OrderedJson part = {{"type", "text"}, {"text", probe}};
  return of_string && render(OrderedJson::array({part})) == of_string;
}

std::string StringField(const std::string& message, const char* key) {
  const nlohmann::json json = ParseJson(message, "generate", "message");
  const auto field = json.is_object() ? json.find(key) : json.end();
  return field != json.end() && field->is_string() ? field->get<std::string>() : "";
}

}  // namespace

std::string MakeMessage(std::string_view role, std::string_view content) {
  return OrderedJson{{"role", text::SanitizeUtf8(role)}, {"content", text::SanitizeUtf8(content)}}
      .dump();
}

Messages MessagesFromJson(std::string_view json, std::string_view what) {
  const OrderedJson array = ParseOrderedJson(json, "generate", what);
  if (!array.is_array()) {
    throw Error("generate", "{}: got {}, want an array of messages", what, array.type_name());
  }
  Messages messages;
  for (const OrderedJson& message : array) {
    const auto role = message.is_object() ? message.find("role") : message.end();
    if (!message.is_object() || role == message.end() || !role->is_string()) {
      throw Error("generate", "{}[{}]: got {}, want an object with a role that is a string", what,
                  messages.size(), Excerpt(message.dump()));
    }
    messages.push_back(message.dump());
  }
  return messages;
}

std::string RoleOf(const std::string& message) { return StringField(message, "role"); }
std::string ContentOf(const std::string& message) { return StringField(message, "content"); }

Messages WithReadableContent(const text::ChatTemplate& chat_template, Messages messages,
                             const text::ChatTemplateOptions& options) {
  std::map<std::string, bool> reads_parts;  // by role
  for (std::string& text : messages) {
    OrderedJson message = ParseOrderedJson(text, "generate", "message");
    if (!message.is_object() || !message.contains("content")) continue;
    const std::optional<std::string> joined = JoinedText(message["content"]);
    if (!joined) continue;
    const std::string role =
        message.contains("role") && message["role"].is_string() ? message["role"] : "";
    auto known = reads_parts.find(role);
    if (known == reads_parts.end()) {
      known = reads_parts.emplace(role, ReadsParts(chat_template, role, options)).first;
    }
    if (known->second) continue;
    message["content"] = *joined;
    text = message.dump();
  }
  return messages;
}

std::string RenderMessages(const text::ChatTemplate& chat_template, const Messages& messages,
                           const text::ChatTemplateOptions& options) {
  return chat_template.RenderJson(fmt::format("[{}]", fmt::join(messages, ",")), options);
}

std::vector<int32_t> EncodeMessages(const text::Tokenizer& tokenizer,
                                    const text::ChatTemplate& chat_template,
                                    const Messages& messages,
                                    const text::ChatTemplateOptions& options) {
  return tokenizer.Encode(RenderMessages(chat_template, messages, options),
                          /*add_special_tokens=*/false);
}

}  // namespace sinter::generate
