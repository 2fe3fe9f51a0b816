// Conversations that the command line gives: --messages, --tools and --template-arg.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "generate/messages.h"
#include "text/chat_template.h"

namespace sinter::cli {

struct MessageArgs {
  std::string messages;  // --messages: a file, '-' for standard input, empty if not given
  std::string tools;     // --tools: as above
  std::vector<std::string> template_args;

  // Returns whether an option is given that only a chat template can use.
  bool any() const { return !messages.empty() || !tools.empty() || !template_args.empty(); }
};
// Adds the three options. `use` ends the help of --messages: what the subcommand does with them.
void AddMessageArgs(CLI::App& command, MessageArgs& args, const std::string& use);

// What a chat template gets.
struct TemplateInput {
  generate::Messages messages;
  // Whether the last message is one that the assistant answers: the user's or a tool's.
  bool waits_for_answer = false;
  text::ChatTemplateOptions options;
};
// Kinds of content that a caller can use.
enum class Content { kText, kAny };
// Reads the files and arguments. Throws Error that names the place in the JSON and the value there,
// as in "FILE: messages[2].role: got 3, want a string". With Content::kText also refuses parts of
// content other than text, because a language model does not see them.
TemplateInput ReadTemplateInput(const MessageArgs& args, Content content);

// Returns messages that were read from elsewhere, an array. Throws Error as above; `place` begins
// it.
generate::Messages CheckedMessages(const nlohmann::ordered_json& messages,
                                   const std::string& place);
// Returns the tools as ChatTemplateOptions::tools_json has them. Throws as above.
std::string CheckedTools(const nlohmann::ordered_json& tools, const std::string& place);

// Returns the folder's chat template. Throws Error if it has none; `hint` ends the message and says
// what else the user may do.
text::ChatTemplate RequireTemplate(const std::string& folder, const std::string& hint);

}  // namespace sinter::cli
