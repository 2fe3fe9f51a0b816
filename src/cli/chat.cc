// sinter chat: a conversation on the terminal, or line by line through a pipe.

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "cli/common.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

constexpr char kChatFooter[] =
    R"(One line is one message. /reset forgets the conversation, /exit or Ctrl-D ends it; Ctrl-C stops an
answer on a terminal, and ends the program anywhere else.

Examples:
  sinter chat models/demo
  printf 'What is 7 + 8?\nAnd 62 - 17?\n' | sinter chat models/demo --json)";

struct ChatArgs {
  ModelArgs model;
  GenerateArgs generate;
  std::string system;
};

class Chat {
 public:
  explicit Chat(const ChatArgs& args)
      : args_(args),
        terminal_(isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && !args.model.json) {
    model::ModelFolder folder = model::ModelFolder::Read(args.model.model);
    options_ = ToOptions(args.generate, folder.config);
    tokenizer_.emplace(
        text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json"));
    template_ = text::ChatTemplate::FromFolder(args.model.model);
    if (!template_) {
      throw Error("cli",
                  "'{}': got no chat template (chat_template.jinja, or tokenizer_config.json's "
                  "chat_template), want one; sinter run takes plain prompts",
                  args.model.model);
    }
    loaded_ = Load(args.model, std::move(folder));
    generator_.emplace(loaded_.session, *tokenizer_);
    Reset();
  }

  void Loop() {
    if (terminal_) {
      Out(fmt::format(
          "{} on {}, room for {} tokens\n"
          "/reset forgets the conversation, /exit or Ctrl-D ends it, Ctrl-C stops an "
          "answer\n\n",
          Name(), loaded_.model->device()->adapter().name, loaded_.session->max_length()));
    }
    while (!interrupted) {
      if (terminal_) Out("> ");
      const std::optional<std::string> line = ReadLine();
      if (!line) {
        if (terminal_) Out("\n");
        break;
      }
      if (*line == "/exit") break;
      if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
      if (*line == "/reset") {
        Reset();
        continue;
      }
      Answer(*line);
      if (terminal_ && interrupted) CatchSignals();
    }
  }

 private:
  // The folder's name, also of `models/demo/` and `.`.
  std::string Name() const {
    const std::filesystem::path path = std::filesystem::weakly_canonical(loaded_.model->path());
    return path.filename().empty() ? path.parent_path().filename().string()
                                   : path.filename().string();
  }

  void Reset() {
    messages_.clear();
    if (!args_.system.empty()) messages_.push_back({"system", args_.system});
    loaded_.session->Rewind(0);
    history_.clear();
  }

  void Answer(const std::string& line) {
    messages_.push_back({"user", line});
    const std::vector<int32_t> prompt =
        tokenizer_->Encode(template_->Render(messages_), /*add_special_tokens=*/false);
    if (static_cast<int64_t>(prompt.size()) > loaded_.session->max_length()) {
      const Error error(
          "cli", "conversation: got {} tokens, want at most {} (--max-length); /reset begins anew",
          prompt.size(), loaded_.session->max_length());
      if (!terminal_) throw error;
      Err(fmt::format("sinter: {}\n", error.what()));
      messages_.pop_back();
      return;
    }
    // What the session holds already need not run again; templates may rewrite the past, so only
    // the common part counts.
    const auto [end, at] =
        std::mismatch(history_.begin(), history_.end(), prompt.begin(), prompt.end());
    auto common = end - history_.begin();
    if (common == static_cast<std::ptrdiff_t>(prompt.size())) --common;
    loaded_.session->Rewind(common);
    WaitingNotice notice(*loaded_.model->device());
    const generate::Generation result =
        generator_->Run(std::span(prompt).subspan(static_cast<size_t>(common)), options_,
                        [&](std::string_view text) {
                          notice.End();
                          if (!args_.model.json) Out(text);
                          return !interrupted;
                        });
    notice.End();
    if (args_.model.json) {
      OutJson({{"text", result.text},
               {"tokens", result.tokens},
               {"finish_reason", generate::FinishReasonName(result.reason)},
               {"conversation_tokens", prompt.size()},
               {"prompt_tokens", result.prompt_tokens},
               {"time_to_first_token_seconds", result.prefill_seconds},
               {"decode_tokens_per_second", result.decode_tokens_per_second()}},
              /*indent=*/-1);
    } else {
      Out(terminal_ ? "\n\n" : "\n");
    }
    messages_.push_back({"assistant", result.text});
    history_ = prompt;
    history_.insert(history_.end(), result.tokens.begin(), result.tokens.end());
  }

  const ChatArgs& args_;
  const bool terminal_;
  generate::GenerateOptions options_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<text::ChatTemplate> template_;
  Loaded loaded_;
  std::optional<generate::Generator> generator_;
  std::vector<text::ChatMessage> messages_;
  std::vector<int32_t> history_;  // tokens of the session's sequence
};

}  // namespace

void AddChat(CLI::App& app) {
  auto args = std::make_shared<ChatArgs>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model; also reads lines from a pipe");
  command->footer(kChatFooter);
  command->add_option("--system", args->system, "System message");
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  AddGenerateArgs(*command, args->generate);
  command->callback([args] { Chat(*args).Loop(); });
}

}  // namespace sinter::cli
