// sinter chat: holds a conversation on a terminal, or line by line through a pipe.

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "cli/common.h"
#include "cli/messages.h"
#include "generate/conversation.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

constexpr char kChatFooter[] =
    R"(One line is one message. /reset forgets the conversation, /exit or Ctrl-D ends it; Ctrl-C stops an
answer on a terminal, and ends the program anywhere else. --messages is the beginning of the conversation,
which /reset keeps; where it does not end with an answer of the assistant, that comes first.

Examples:
  sinter chat models/demo
  printf 'What is 7 + 8?\nAnd 62 - 17?\n' | sinter chat models/demo --json
  sinter chat models/demo --messages chat.json --template-arg enable_thinking=false)";

constexpr char kCommands[] =
    "/reset forgets the conversation, /exit or Ctrl-D ends it, Ctrl-C stops an answer\n";

struct ChatArgs {
  ModelArgs model;
  GenerateArgs generate;
  MessageArgs messages;
  std::string system;
};

class Chat {
 public:
  explicit Chat(const ChatArgs& args)
      : args_(args),
        terminal_(isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && !args.model.json) {
    if (args.messages.messages == "-" || args.messages.tools == "-") {
      throw Error("cli",
                  "--messages and --tools: got standard input, want files: it has the lines");
    }
    auto device = OpenAhead(args.model);
    model::ModelFolder folder = model::ModelFolder::Read(args.model.model);
    options_ = ToOptions(args.generate, folder.config);
    text::Tokenizer tokenizer =
        text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json");
    text::ChatTemplate chat_template =
        RequireTemplate(args.model.model, "sinter run takes plain prompts");
    TemplateInput input = ReadTemplateInput(args.messages, Content::kText);
    input.messages =
        generate::WithReadableContent(chat_template, std::move(input.messages), input.options);
    if (!args.system.empty()) {
      input.messages.push_back(generate::MakeMessage("system", args.system));
    }
    begins_with_answer_ = input.waits_for_answer;
    loaded_ = Load(args.model, std::move(folder), std::move(device));
    conversation_.emplace(loaded_.session, std::move(tokenizer), std::move(chat_template),
                          std::move(input.messages), std::move(input.options));
    if (PlansFor(args.model, *loaded_.model->device()) == engine::Plans::kKnown)
      tuner_ = std::make_unique<engine::IdleTuner>(loaded_.model, loaded_.session->cache(),
                                                   loaded_.session->chunk());
  }
  ~Chat() { LeaveRunning(std::move(tuner_)); }
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  void Loop() {
    if (terminal_) {
      Out(fmt::format("{} on {}, room for {} tokens\n{}\n", Name(),
                      loaded_.model->device()->adapter().name, loaded_.session->max_length(),
                      kCommands));
    }
    if (begins_with_answer_) AnswerOrHint({});
    while (!interrupted) {
      if (terminal_) Out("> ");
      const std::optional<std::string> line = ReadLine();
      if (!line) {
        if (terminal_) Out("\n");
        break;
      }
      if (*line == "/exit") break;
      if (line->find_first_not_of(" \t") == std::string::npos) continue;
      if (terminal_ && *line == "/help") {
        Out(kCommands);
        continue;
      }
      if (*line == "/reset") {
        conversation_->Reset();
        if (begins_with_answer_) AnswerOrHint({});
        continue;
      }
      AnswerOrHint(line);
    }
  }

 private:
  // Returns the name of the model's folder, also for the paths `models/demo/` and `.`.
  std::string Name() const {
    const std::filesystem::path path = std::filesystem::weakly_canonical(loaded_.model->path());
    return path.filename().empty() ? path.parent_path().filename().string()
                                   : path.filename().string();
  }

  // Answers a line, or the messages of the beginning if there is none.
  void AnswerOrHint(const std::optional<std::string>& line) {
    try {
      Answer(line);
    } catch (const generate::ConversationTooLongError& error) {
      const Error hint(
          "cli", "conversation: got {} tokens, want at most {} (--max-length); /reset begins anew",
          error.tokens(), error.max_length());
      if (!terminal_) throw hint;
      Err(fmt::format("sinter: {}\n", hint.what()));
    }
    if (terminal_ && interrupted) CatchSignals();
  }

  void Answer(const std::optional<std::string>& line) {
    WaitingNotice notice(*loaded_.model->device());
    const auto on_text = [&](std::string_view text) {
      notice.End();
      if (!args_.model.json) Out(text);
      return !interrupted;
    };
    const generate::Answer answer = line ? conversation_->Ask(*line, options_, on_text)
                                         : conversation_->AnswerLast(options_, on_text);
    notice.End();
    if (!args_.model.json) return Out(terminal_ ? "\n\n" : "\n");
    const generate::Generation& generation = answer.generation;
    OutJson({{"text", generation.text},
             {"tokens", generation.tokens},
             {"finish_reason", generate::FinishReasonName(generation.reason)},
             {"conversation_tokens", answer.conversation_tokens},
             {"prompt_tokens", generation.prompt_tokens},
             {"time_to_first_token_seconds", generation.prefill_seconds},
             {"decode_tokens_per_second", generation.decode_tokens_per_second()}},
            /*indent=*/-1);
  }

  const ChatArgs& args_;
  const bool terminal_;
  // Set if the given beginning of the conversation ends with a message that waits for an answer.
  bool begins_with_answer_ = false;
  generate::GenerateOptions options_;
  Loaded loaded_;
  std::optional<generate::Conversation> conversation_;
  // Finds better plans while the user reads and types.
  std::unique_ptr<engine::IdleTuner> tuner_;
};

}  // namespace

void AddChat(CLI::App& app) {
  auto args = std::make_shared<ChatArgs>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model; also reads lines from a pipe");
  command->footer(kChatFooter);
  CLI::Option* system = command->add_option("--system", args->system, "System message");
  AddMessageArgs(*command, args->messages, "The beginning of the conversation");
  command->get_option("--messages")->excludes(system);
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  AddGenerateArgs(*command, args->generate);
  command->callback([args] { Chat(*args).Loop(); });
}

}  // namespace sinter::cli
