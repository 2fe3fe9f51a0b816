// Chat templates: a model folder's Jinja template, which turns messages into the prompt that the
// model was trained on.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sinter::text {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
};

struct ChatTemplateOptions {
  // Whether the prompt ends with the opening of the assistant's answer.
  bool add_generation_prompt = true;
  // A JSON array of tool definitions as the OpenAI API has them; empty for none.
  std::string tools_json;
  // A JSON object of further variables, such as {"enable_thinking": false}; empty for none.
  std::string extra_context_json;
  // What strftime_now() in the template tells.
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
};

// Immutable; cheap to copy; rendering is safe from several threads at once.
class ChatTemplate {
 public:
  // Throws Error (area "chat_template") on a syntax error, and where the source is larger or nested
  // deeper than any honest template (1 MiB in all; 4 KiB of code and 64 brackets in one tag; 64
  // blocks).
  static ChatTemplate FromSource(std::string_view source, std::string bos_token,
                                 std::string eos_token);

  // The template of a model folder: chat_template.jinja, else tokenizer_config.json's
  // "chat_template" (a string, or a list of named ones, of which `name` is taken, "default" if
  // empty). The file's bos_token and eos_token are known to the template either way. nullopt if the
  // folder has no template. Throws Error if a file cannot be read or is malformed, or `name` is not
  // in the list.
  static std::optional<ChatTemplate> FromFolder(const std::filesystem::path& folder,
                                                std::string_view name = {});

  // The prompt. It carries its own special tokens, so encode it with add_special_tokens = false.
  // Throws Error where the template raises one (raise_exception), does what minja does not know, or
  // does not come to an end.
  std::string Render(std::span<const ChatMessage> messages,
                     const ChatTemplateOptions& options = {}) const;
  // The same for messages with more fields (tool_calls, name, content in parts): a JSON array of
  // objects.
  std::string RenderJson(std::string_view messages_json,
                         const ChatTemplateOptions& options = {}) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}

  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace sinter::text
