// Renders chat templates: a model folder's Jinja template turns messages into the prompt format
// that the model was trained on.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/file_source.h"

namespace sinter::text {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
};

struct ChatTemplateOptions {
  // Makes the prompt end with the opening of the assistant's answer.
  bool add_generation_prompt = true;
  // JSON array of tool definitions in the form of the OpenAI API; empty for none.
  std::string tools_json;
  // Further variables: the JSON text of each by its name, such as {"enable_thinking", "false"}.
  std::map<std::string, std::string> arguments;
  // Time that strftime_now() in the template formats.
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
};

// Special tokens that a template sees, by the names of tokenizer_config.json: "bos_token",
// "eos_token" and so on.
using SpecialTokens = std::map<std::string, std::string>;

// Parsed chat template. Immutable and cheap to copy; rendering is safe from several threads at
// once.
class ChatTemplate {
 public:
  // Parses a template. Throws Error (area "chat_template") with the line on a syntax error, and if
  // the source exceeds limits that no ordinary template reaches (jinja/template.h).
  static ChatTemplate FromSource(std::string_view source, SpecialTokens tokens = {});

  // Returns the template of a model folder: chat_template.jinja, else tokenizer_config.json's
  // "chat_template" (a string, or a list of named ones, of which `name` is taken, "default" if
  // empty). In both cases the template sees the special tokens of tokenizer_config.json.
  // Returns nullopt if the folder has no template. Throws Error if a file cannot be read or is
  // malformed, or if `name` is not in the list.
  static std::optional<ChatTemplate> FromFolder(const std::filesystem::path& folder,
                                                std::string_view name = {});

  // Does the same with the files that a model's folder would have.
  static std::optional<ChatTemplate> FromFiles(const FileSource& files, std::string_view name = {});

  // Returns the template in `file` with the special tokens of a model folder. Throws Error if a
  // file cannot be read or is malformed.
  static ChatTemplate FromFile(const std::filesystem::path& file,
                               const std::filesystem::path& folder);

  // Returns the prompt. It contains its own special tokens, so encode it with add_special_tokens =
  // false. Throws Error with the line of the template where it raises one (raise_exception), fails,
  // or exceeds its budget (jinja/runtime.h).
  std::string Render(std::span<const ChatMessage> messages,
                     const ChatTemplateOptions& options = {}) const;
  // Renders messages with more fields (tool_calls, name, content in parts), given as a JSON array
  // of objects. Otherwise equal to Render().
  std::string RenderJson(std::string_view messages_json,
                         const ChatTemplateOptions& options = {}) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}

  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace sinter::text
