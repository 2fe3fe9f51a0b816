// sinter chat: a conversation on the terminal.

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "base/error.h"
#include "cli/common.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

struct ChatArgs {
  ModelArgs model;
  GenerateArgs generate;
  std::string system;
};

class Chat {
 public:
  explicit Chat(const ChatArgs& args)
      : args_(args),
        tokenizer_(text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json")),
        template_(FindTemplate(args.model.model)),
        loaded_(Load(args.model)),
        generator_(loaded_.session, tokenizer_) {
    Reset();
  }

  void Loop() {
    const bool terminal = isatty(STDIN_FILENO) != 0;
    if (terminal) {
      fmt::print("{} on {}. /reset forgets the conversation, /exit or Ctrl-D ends it.\n",
                 loaded_.model->path().filename().string(), loaded_.model->device()->adapter().name);
    }
    std::string line;
    while (!interrupted) {
      if (terminal) {
        fmt::print("> ");
        std::fflush(stdout);
      }
      if (!std::getline(std::cin, line) || line == "/exit") break;
      if (line.empty()) continue;
      if (line == "/reset") {
        Reset();
        continue;
      }
      Answer(line);
    }
    if (terminal) fmt::print("\n");
  }

 private:
  static text::ChatTemplate FindTemplate(const std::string& folder) {
    std::optional<text::ChatTemplate> found = text::ChatTemplate::FromFolder(folder);
    if (!found) {
      throw Error("cli", "'{}': got no chat template (chat_template.jinja, or tokenizer_config.json's "
                  "chat_template), want one; sinter run takes plain prompts", folder);
    }
    return *found;
  }

  void Reset() {
    messages_.clear();
    if (!args_.system.empty()) messages_.push_back({"system", args_.system});
    loaded_.session->Rewind(0);
    history_.clear();
  }

  void Answer(const std::string& line) {
    messages_.push_back({"user", line});
    const std::vector<int32_t> prompt = tokenizer_.Encode(template_.Render(messages_), /*add_special_tokens=*/false);
    // What the session holds already need not run again; templates may rewrite the past, so only the common part counts.
    const auto [end, at] = std::mismatch(history_.begin(), history_.end(), prompt.begin(), prompt.end());
    auto common = end - history_.begin();
    if (common == static_cast<std::ptrdiff_t>(prompt.size())) --common;
    loaded_.session->Rewind(common);
    const generate::Generation result =
        generator_.Run(std::span(prompt).subspan(static_cast<size_t>(common)), ToOptions(args_.generate),
                       [](std::string_view text) {
                         fmt::print("{}", text);
                         std::fflush(stdout);
                         return !interrupted;
                       });
    fmt::print("\n");
    std::fflush(stdout);
    messages_.push_back({"assistant", result.text});
    history_ = prompt;
    history_.insert(history_.end(), result.tokens.begin(), result.tokens.end());
  }

  const ChatArgs& args_;
  text::Tokenizer tokenizer_;
  text::ChatTemplate template_;
  Loaded loaded_;
  generate::Generator generator_;
  std::vector<text::ChatMessage> messages_;
  std::vector<int32_t> history_;  // tokens of the session's sequence
};

}  // namespace

void AddChat(CLI::App& app) {
  auto args = std::make_shared<ChatArgs>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model; also reads lines from a pipe");
  AddModelArgs(*command, args->model);
  command->add_option("--system", args->system, "System message");
  AddGenerateArgs(*command, args->generate);
  command->callback([args] { Chat(*args).Loop(); });
}

}  // namespace sinter::cli
