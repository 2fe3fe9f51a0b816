#include "cli/messages.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/standard_io.h"
#include "cli/usage.h"

namespace sinter::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Returns a value as the X of "got X": short values themselves, others by their kind.
std::string Got(const OrderedJson& value) {
  if (value.is_array()) return value.empty() ? "an empty array" : "an array";
  if (value.is_object()) return "an object";
  return Excerpt(value.dump());
}

// Checks the JSON of one file. A path in it, such as `messages[2].role`, names the place of an
// error.
class Checker {
 public:
  Checker(std::string file, Content content) : file_(std::move(file)), content_(content) {}

  void Messages(const OrderedJson& messages, const std::string& path) const {
    RequireKind(messages, messages.is_array(), path, "an array of messages");
    for (size_t i = 0; i < messages.size(); ++i) {
      Message(messages[i], fmt::format("{}[{}]", path, i));
    }
  }

  void Tools(const OrderedJson& tools, const std::string& path) const {
    RequireKind(tools, tools.is_array(), path, "an array of tools");
    for (size_t i = 0; i < tools.size(); ++i) {
      RequireKind(tools[i], tools[i].is_object(), fmt::format("{}[{}]", path, i),
                  "an object that describes a tool");
      if (tools[i].contains("role"))
        Fail(fmt::format("{}[{}]", path, i), "a message", "an object that describes a tool");
    }
  }

  [[noreturn]] void Fail(const std::string& path, std::string_view got,
                         std::string_view want) const {
    throw Error("cli", "{}: {}{}got {}, want {}", file_, path, path.empty() ? "" : ": ", got, want);
  }

 private:
  void RequireKind(const OrderedJson& value, bool right, const std::string& path,
                   std::string_view want) const {
    if (!right) Fail(path, Got(value), want);
  }

  // Returns the field. Throws Error if it is missing or no string.
  const OrderedJson& StringField(const OrderedJson& object, const char* key,
                                 const std::string& path) const {
    const std::string at = path + "." + key;
    const auto field = object.find(key);
    if (field == object.end()) Fail(at, "nothing", "a string");
    RequireKind(*field, field->is_string(), at, "a string");
    return *field;
  }

  void Message(const OrderedJson& message, const std::string& path) const {
    RequireKind(message, message.is_object(), path, "an object with role and content");
    const auto& role = StringField(message, "role", path).get_ref<const std::string&>();
    constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                        "tool"};
    // Some templates know further roles, so this is no error.
    if (content_ == Content::kText && std::ranges::find(kRoles, role) == kRoles.end()) {
      Err(fmt::format("sinter: note: {}.role is \"{}\"; most chat templates know only {}\n", path,
                      Excerpt(role), fmt::join(kRoles, ", ")));
    }
    const auto calls = message.find("tool_calls");
    const bool has_calls = calls != message.end() && !calls->is_null();
    if (has_calls) ToolCalls(*calls, path + ".tool_calls");
    const auto content = message.find("content");
    if (content == message.end() || content->is_null()) {
      if (content_ == Content::kText && !has_calls) {
        Fail(path + ".content", content == message.end() ? "nothing" : "null",
             "a string or an array of parts");
      }
      return;
    }
    if (content->is_string()) return;
    RequireKind(*content, content->is_array(), path + ".content", "a string or an array of parts");
    for (size_t i = 0; i < content->size(); ++i) {
      Part((*content)[i], fmt::format("{}.content[{}]", path, i));
    }
  }

  void Part(const OrderedJson& part, const std::string& path) const {
    RequireKind(part, part.is_object(), path, R"(an object such as {"type": "text", "text": ...})");
    const auto& type = StringField(part, "type", path).get_ref<const std::string&>();
    if (type == "text") {
      StringField(part, "text", path);
    } else if (content_ == Content::kText) {
      Fail(path + ".type", Got(part["type"]), "\"text\": a language model reads nothing else");
    }
  }

  void ToolCalls(const OrderedJson& calls, const std::string& path) const {
    RequireKind(calls, calls.is_array(), path, "an array of tool calls");
    for (size_t i = 0; i < calls.size(); ++i) {
      const std::string at = fmt::format("{}[{}]", path, i);
      RequireKind(calls[i], calls[i].is_object(), at, "an object with a function");
      const auto function = calls[i].find("function");
      // Some templates take the name and the arguments without a function around them.
      const OrderedJson& named = function == calls[i].end() ? calls[i] : *function;
      const std::string named_at = function == calls[i].end() ? at : at + ".function";
      RequireKind(named, named.is_object(), named_at, "an object with name and arguments");
      StringField(named, "name", named_at);
    }
  }

  std::string file_;
  Content content_;
};

// Returns the name of a file in an error message.
std::string FileName(const std::string& file) { return file == "-" ? "standard input" : file; }

struct JsonFile {
  std::string text;
  OrderedJson json;
};

JsonFile ReadJson(const std::string& file, std::string_view want) {
  std::string text = file == "-" ? ReadStandardInput() : ReadSmallFile(file, "cli", want);
  OrderedJson json = ParseOrderedJson(text, "cli", FileName(file));
  return {std::move(text), std::move(json)};
}

// Returns the elements of an array, or the names and values of an object by turns, as the text has
// them: numbers such as 100000000000000000000 keep their digits. `text` is the valid JSON of one of
// these.
std::vector<std::string_view> Elements(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<std::string_view> elements;
  size_t depth = 0;
  size_t begin = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
      continue;
    }
    in_string = c == '"';
    if ((c == '[' || c == '{') && depth++ == 0) begin = i + 1;
    const bool closes = c == ']' || c == '}';
    if (depth == 1 && (closes || c == ',' || c == ':')) {
      const std::string_view element = text.substr(begin, i - begin);
      const size_t first = element.find_first_not_of(kSpace);
      if (first != std::string_view::npos) {
        elements.push_back(element.substr(first, element.find_last_not_of(kSpace) + 1 - first));
      }
      begin = i + 1;
    }
    if (closes) --depth;
  }
  return elements;
}

void ReadMessages(const MessageArgs& args, Content content, TemplateInput& input) {
  const JsonFile file = ReadJson(args.messages, "a JSON file of messages");
  const Checker checker(FileName(args.messages), content);
  std::string_view text = file.text;
  OrderedJson messages = file.json;
  if (file.json.is_object()) {
    const std::vector<std::string_view> names_and_values = Elements(file.text);
    size_t i = 0;
    for (const auto& [key, value] : file.json.items()) {
      if (key == "messages") {
        text = names_and_values[i + 1];
      } else if (key != "tools") {
        checker.Fail("", fmt::format("field \"{}\"", Excerpt(key)), "only messages and tools");
      } else if (!value.is_null()) {
        checker.Tools(value, key);
        if (!args.tools.empty()) checker.Fail(key, "tools here and by --tools", "one of them");
        input.options.tools_json = names_and_values[i + 1];
      }
      i += 2;
    }
    if (!file.json.contains("messages")) {
      checker.Fail("messages", "nothing", "an array of messages");
    }
    messages = file.json["messages"];
  } else if (!file.json.is_array()) {
    checker.Fail("", Got(file.json), "an array of messages, or an object with messages and tools");
  }
  checker.Messages(messages, "messages");
  for (const std::string_view message : Elements(text)) input.messages.emplace_back(message);
  if (!messages.empty()) {
    const OrderedJson& role = messages.back()["role"];
    input.waits_for_answer = role == "user" || role == "tool";
  }
}

bool IsIdentifier(std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    if (c != '_' && std::isalpha(c) == 0 && (i == 0 || std::isdigit(c) == 0)) return false;
  }
  return !name.empty();
}

}  // namespace

void AddMessageArgs(CLI::App& command, MessageArgs& args, const std::string& use) {
  const std::string group = "Chat template";
  command
      .add_option("--messages", args.messages,
                  "JSON file of messages (role, content as text or parts, tool_calls), or of an "
                  "object with messages and tools; '-' reads standard input. " +
                      use)
      ->type_name("FILE")
      ->configurable(false)
      ->group(group);
  command
      .add_option("--tools", args.tools,
                  "JSON file: an array of the tools that the model may call; '-' reads standard "
                  "input")
      ->type_name("FILE")
      ->configurable(false)
      ->group(group);
  command
      .add_option("--template-arg", args.template_args,
                  "Variable of the chat template, such as enable_thinking=false (repeatable)")
      ->allow_extra_args(false)
      ->type_name("NAME=JSON")
      ->group(group);
}

TemplateInput ReadTemplateInput(const MessageArgs& args, Content content) {
  TemplateInput input;
  for (const std::string& argument : args.template_args) {
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    if (equals == std::string::npos || !IsIdentifier(name)) {
      throw UsageError("--template-arg: got '{}', want NAME=JSON, such as enable_thinking=false",
                       Excerpt(argument));
    }
    if (name == "messages" || name == "tools") {
      throw UsageError("--template-arg: got '{}', want another name: --{} gives these", name, name);
    }
    if (input.options.arguments.contains(name)) {
      throw UsageError("--template-arg: got {} twice, want it once", Excerpt(name));
    }
    const std::string json = argument.substr(equals + 1);
    try {
      ParseOrderedJson(json, "cli", "");
    } catch (const Error&) {
      throw UsageError("--template-arg {}: got '{}', want JSON, such as false, 3 or '\"text\"'",
                       name, Excerpt(json));
    }
    input.options.arguments.emplace(name, json);
  }
  if (args.messages == "-" && args.tools == "-") {
    throw UsageError("--messages and --tools: got standard input for both, want a file for one");
  }
  if (!args.messages.empty()) ReadMessages(args, content, input);
  if (!args.tools.empty()) {
    const JsonFile tools = ReadJson(args.tools, "a JSON file of tools");
    Checker(FileName(args.tools), content).Tools(tools.json, "");
    input.options.tools_json = fmt::format("[{}]", fmt::join(Elements(tools.text), ","));
  }
  return input;
}

generate::Messages CheckedMessages(const OrderedJson& messages, const std::string& place) {
  Checker(place, Content::kText).Messages(messages, "messages");
  generate::Messages checked;
  for (const OrderedJson& message : messages) checked.push_back(message.dump());
  return checked;
}

std::string CheckedTools(const OrderedJson& tools, const std::string& place) {
  Checker(place, Content::kText).Tools(tools, "tools");
  return tools.dump();
}

text::ChatTemplate RequireTemplate(const std::string& folder, const std::string& hint) {
  std::optional<text::ChatTemplate> chat_template = text::ChatTemplate::FromFolder(folder);
  if (!chat_template) {
    throw Error("cli",
                "'{}': got no chat template (chat_template.jinja, or tokenizer_config.json's "
                "chat_template), want one; {}",
                folder, hint);
  }
  return *std::move(chat_template);
}

}  // namespace sinter::cli
