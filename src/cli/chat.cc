// sinter chat: holds a conversation on a terminal, or line by line through a pipe.

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "cli/answers.h"
#include "cli/chat_commands.h"
#include "cli/chat_reader.h"
#include "cli/chat_settings.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/conversation_file.h"
#include "cli/failure.h"
#include "cli/load.h"
#include "cli/messages.h"
#include "cli/model_args.h"
#include "cli/standard_io.h"
#include "cli/usage.h"
#include "cli/user_file.h"
#include "generate/conversation.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

constexpr char kChatFooter[] =
    R"(On a terminal, /help lists the commands and keys. Through a pipe, each line is one message or
one of the same commands. Ctrl-C stops an answer on a terminal, and ends the program elsewhere. When
the context is full, the oldest turns are left out. --messages is the beginning of the conversation,
which /reset keeps; if it does not end with an answer of the assistant, that comes first. --session
continues where the last chat with the same file ended.

Examples:
  sinter chat models/demo
  sinter chat models/demo --session sums.json
  printf 'What is 7 + 8?\nAnd 62 - 17?\n' | sinter chat models/demo --json
  sinter chat models/demo --messages chat.json)";

struct ChatArgs {
  ModelArgs model;
  GenerateArgs generate;
  MessageArgs messages;
  std::string system;
  std::string session;
  bool no_history = false;
  bool stats = false;
};

class Chat {
 public:
  explicit Chat(const ChatArgs& args)
      : args_(args),
        terminal_(isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && !args.model.json),
        stats_(args.stats) {
    if (args.messages.messages == "-" || args.messages.tools == "-") {
      throw UsageError("--messages and --tools: got standard input, want files: it has the lines");
    }
    Opening device(args.model);
    model::ModelFolder folder = ReadModel(args.model);
    options_ = ToOptions(args.generate, folder.config);
    first_options_ = options_;
    text::Tokenizer tokenizer =
        text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json");
    text::ChatTemplate chat_template =
        RequireTemplate(args.model.model, "sinter run takes plain prompts");
    TemplateInput input = ReadTemplateInput(args.messages, Content::kText);
    input.messages =
        generate::WithReadableContent(chat_template, std::move(input.messages), input.options);
    if (args.messages.tools.empty()) tools_ = input.options.tools_json;
    first_template_options_ = input.options;
    begins_with_answer_ = input.waits_for_answer;
    std::optional<TemplateInput> session;
    if (!args.session.empty()) {
      session_.emplace(args.session);
      if (HasContents(args.session)) session = ReadConversation(args.session, chat_template);
    }
    loaded_ = Load(args.model, std::move(folder), std::move(device));
    conversation_.emplace(loaded_.session, std::move(tokenizer), std::move(chat_template),
                          std::move(input.messages), std::move(input.options));
    if (session) GoOnFrom(*std::move(session));
    if (!args.system.empty()) conversation_->SetSystem(args.system);
    conversation_->OnLeftOut([this](size_t turns) { TellLeftOut(turns); });
    if (session_) session_->Write(ConversationText(conversation_->messages(), tools_));
    if (PlansFor(args.model, *loaded_.model->device()) == engine::Plans::kKnown)
      tuner_ = std::make_unique<engine::IdleTuner>(loaded_.model, loaded_.session->cache(),
                                                   loaded_.session->chunk());
  }
  ~Chat() { LeaveRunning(std::move(tuner_)); }
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  // Returns whether all went well.
  bool Loop() {
    ChatReader reader(terminal_, !args_.no_history);
    has_editor_ = reader.has_editor();
    if (terminal_) {
      Out(fmt::format(
          "{} on {}, room for {} tokens\n"
          "/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves\n",
          Name(), loaded_.model->device()->adapter().name, loaded_.session->max_length()));
      const size_t messages = conversation_->messages().size();
      if (!args_.session.empty() && messages > 0) {
        Out(fmt::format("{} from {}\n", CountText(static_cast<int64_t>(messages), "message"),
                        args_.session));
      }
    }
    TellSeed();
    if (terminal_) Out("\n");
    if (begins_with_answer_ || answers_first_) Guarded([&] { AnswerLast(); });
    while (!interrupted && !ends_) {
      Guarded([&] {
        const std::optional<std::string> line = reader.Next();
        if (line) {
          Handle(*line);
        } else {
          ends_ = true;
        }
      });
    }
    return !failed_;
  }

 private:
  using OnText = std::function<bool(std::string_view)>;
  using Ask = std::function<generate::Answer(const generate::GenerateOptions&, const OnText&)>;

  // Runs one step of the chat. An error in it is printed, and the chat goes on: always on a
  // terminal, else if the user's line is to blame.
  void Guarded(const std::function<void()>& step) {
    try {
      step();
    } catch (const DeviceLostError&) {
      throw;
    } catch (const generate::ConversationTooLongError& error) {
      Report(Error("chat",
                   "message: got {} tokens including the system message, want at most {} "
                   "(--max-length minus 1 for the answer)",
                   error.tokens(), error.room()));
    } catch (const Error& error) {
      if (!terminal_ && error.area() != "chat") throw;
      Report(error);
    }
    // The chat goes on after a Ctrl-C that stopped an answer.
    if (terminal_ && interrupted && !ends_) CatchSignals();
  }

  void Report(const Error& error) {
    Err(FailureText(ToFailure(error), args_.model.json));
    failed_ = !terminal_;
  }

  void Handle(const std::string& line) {
    const ChatInput input = ParseChatInput(line);
    // The names of files may be any bytes.
    if (input.command == ChatCommand::kMessage || input.command == ChatCommand::kSystem) {
      if (const std::string problem = Utf8Problem(line); !problem.empty())
        throw Error("chat", "message: {}", problem);
    }
    switch (input.command) {
      case ChatCommand::kMessage:
        if (input.text.find_first_not_of(" \t\n") == std::string::npos) return;
        return AskModel(input.text);
      case ChatCommand::kHelp:
        return Say(ChatHelp(has_editor_));
      case ChatCommand::kReset:
        return Reset();
      case ChatCommand::kSystem:
        return System(input.text);
      case ChatCommand::kSave:
        return Save(input.text);
      case ChatCommand::kLoad:
        return LoadFrom(UserPath(input.text));
      case ChatCommand::kRegen:
        if (!conversation_->HasAnswer())
          throw Error("chat", "/regen: there is no answer to regenerate yet");
        // The same seed would give the same answer.
        ++options_.seed;
        return Answer([&](const auto& options, const auto& on_text) {
          return conversation_->AnswerAgain(options, on_text);
        });
      case ChatCommand::kUndo:
        if (!conversation_->Undo()) throw Error("chat", "/undo: there is nothing to undo");
        SaveSession();
        return Say("Removed the last message and its answer.\n");
      case ChatCommand::kSet:
        return input.text.empty() ? Say(Settings()) : Set(ParseSetting(input.text));
      case ChatCommand::kStats:
        return Stats(input.text);
      case ChatCommand::kExit:
        ends_ = true;
        return;
    }
  }

  // Prints what a command tells. Through a pipe it stays apart from the answers.
  void Say(std::string_view text) const {
    if (terminal_) {
      Out(text);
    } else {
      Err(text);
    }
  }

  // Returns the name of the model's folder, also for the paths `models/demo/` and `.`.
  std::string Name() const {
    const std::filesystem::path path = std::filesystem::weakly_canonical(loaded_.model->path());
    return path.filename().empty() ? path.parent_path().filename().string()
                                   : path.filename().string();
  }

  // --- Answers

  void AskModel(const std::string& message) {
    // Saves the message before the answer, which may take long.
    SaveSession(&message);
    try {
      Answer([&](const auto& options, const auto& on_text) {
        return conversation_->Ask(message, options, on_text);
      });
    } catch (...) {
      SaveSession();
      throw;
    }
  }

  void AnswerLast() {
    Answer([&](const auto& options, const auto& on_text) {
      return conversation_->AnswerLast(options, on_text);
    });
  }

  void Answer(const Ask& ask) {
    TellSeed();
    generate::GenerateOptions options = options_;
    options.cancelled = [] { return interrupted.load(); };
    WaitingNotice notice(*loaded_.model->device());
    const generate::Answer answer = ask(options, [&](std::string_view text) {
      notice.End();
      if (!args_.model.json) Out(text);
      return !interrupted;
    });
    notice.End();
    last_ = answer.generation;
    told_turns_ = std::min(told_turns_, answer.left_out_turns);
    SaveSession();
    if (args_.model.json) return PrintJson(answer);
    Out(terminal_ ? "\n\n" : "\n");
    const bool cancelled = last_->reason == generate::FinishReason::kCancelled;
    if (terminal_ && cancelled && last_->text.empty()) {
      Err(fmt::format("(stopped before the answer began{})\n",
                      has_editor_ ? "; press Up to get the message back" : ""));
    }
    // Turns that were left out in the midst of the answer.
    if (answer.left_out_turns > told_turns_) TellLeftOut(answer.left_out_turns);
    if (last_->reason == generate::FinishReason::kMaxLength) {
      Err(fmt::format("sinter: the answer ends here: the context of {} tokens is full\n",
                      loaded_.session->max_length()));
    }
    if (stats_) Err(StatsText());
  }

  void PrintJson(const generate::Answer& answer) const {
    const generate::Generation& generation = answer.generation;
    const std::optional<uint32_t> seed = SeedOf(loaded_.model->config(), options_);
    OutJson({{"text", generation.text},
             {"tokens", generation.tokens},
             {"finish_reason", generate::FinishReasonName(generation.reason)},
             {"conversation_tokens", answer.conversation_tokens},
             {"left_out_turns", answer.left_out_turns},
             {"prompt_tokens", generation.prompt_tokens},
             {"time_to_first_token_seconds", generation.prefill_seconds},
             {"decode_tokens_per_second", generation.decode_tokens_per_second()},
             {"seed", seed ? nlohmann::json(*seed) : nlohmann::json()}},
            /*indent=*/-1);
  }

  void TellLeftOut(size_t turns) {
    told_turns_ = turns;
    if (args_.model.json) return;
    Err(
        fmt::format("sinter: the context of {} tokens is full: the model no longer sees the oldest "
                    "{}\n",
                    loaded_.session->max_length(),
                    turns == 1 ? "turn" : CountText(static_cast<int64_t>(turns), "turn")));
  }

  // Prints a random seed, once, as soon as tokens are drawn by it.
  void TellSeed() {
    if (args_.model.json || args_.generate.seed || seed_told_) return;
    const std::optional<uint32_t> seed = SeedOf(loaded_.model->config(), options_);
    if (!seed) return;
    Err(fmt::format("sinter: seed {} (--seed {} repeats the answers)\n", *seed, *seed));
    seed_told_ = true;
  }

  // --- Settings and figures

  void Set(const SettingChange& change) {
    options_ = WithSetting(loaded_.model->config(), options_, first_options_, change);
    seed_told_ = seed_told_ || (change.setting == Setting::kSeed && change.value);
    Say(Settings());
  }

  std::string Settings() const { return SettingsText(loaded_.model->config(), options_); }

  void Stats(const std::string& argument) {
    if (argument == "on" || argument == "off") {
      stats_ = argument == "on";
      return Say(stats_ ? "Figures will follow each answer.\n"
                        : "Figures will not follow the answers.\n");
    }
    if (!argument.empty())
      throw Error("chat", "/stats: got '{}', want on, off or nothing", Excerpt(argument));
    Say(StatsText());
  }

  std::string StatsText() const {
    const std::string context = fmt::format("context {} of {} tokens", loaded_.session->length(),
                                            loaded_.session->max_length());
    if (!last_) return fmt::format("[no answer yet; {}]\n", context);
    return fmt::format("[{}; {}]\n", FiguresText(FiguresOf(*last_)), context);
  }

  // --- Conversations

  void System(const std::string& text) {
    if (text.empty()) {
      const std::string system = conversation_->System();
      return Say(system.empty() ? "There is no system message.\n" : system + "\n");
    }
    conversation_->SetSystem(text == "\"\"" ? "" : text);
    SaveSession();
    Say(text == "\"\"" ? "Removed the system message.\n" : "Changed the system message.\n");
  }

  void Save(const std::string& name) {
    const std::filesystem::path path = UserPath(name);
    if (HasContents(path)) {
      try {
        ReadTemplateInput({.messages = path}, Content::kAny);
      } catch (const Error&) {
        throw Error("chat",
                    "/save: got '{}', which holds something other than a conversation, want "
                    "another name",
                    Excerpt(name));
      }
    }
    try {
      ReplaceUserFile(path, ConversationText(conversation_->messages(), tools_));
    } catch (const Error& error) {
      throw Error("chat", "/save {}", ToFailure(error).message);
    }
    if (session_ && session_->Is(path)) session_->Adopt();
    Say(fmt::format("{} saved.\n",
                    CountText(static_cast<int64_t>(conversation_->messages().size()), "message")));
  }

  // Reads a file of --messages' form. Throws Error, of the area `chat`.
  TemplateInput ReadConversation(const std::filesystem::path& path,
                                 const text::ChatTemplate& chat_template) const {
    TemplateInput input;
    try {
      input = ReadTemplateInput({.messages = path, .template_args = args_.messages.template_args},
                                Content::kText);
    } catch (const Error& error) {
      throw Error("chat", "{}", ToFailure(error).message);
    }
    input.messages =
        generate::WithReadableContent(chat_template, std::move(input.messages), input.options);
    return input;
  }

  void Reset() {
    const bool forgets = conversation_->HasTurns();
    const std::string kept = forgets ? KeepSession("/reset") : "";
    conversation_->Reset();
    SaveSession();
    Say(fmt::format("Forgot the conversation{}.\n", kept));
    if (begins_with_answer_) AnswerLast();
  }

  void LoadFrom(const std::filesystem::path& path) {
    std::optional<SessionFile> own;
    if (session_ && session_->Is(path)) own.emplace(session_->path());
    TemplateInput input = ReadConversation(path, conversation_->chat_template());
    const bool replaces =
        !conversation_->messages().empty() && conversation_->messages() != input.messages;
    const std::string kept = replaces ? KeepSession("/load") : "";
    // The session's own file was just read, so nobody else's change can get lost.
    if (own) session_ = std::move(own);
    GoOnFrom(std::move(input));
    begins_with_answer_ = false;
    SaveSession();
    Say(fmt::format("Loaded {}{}.\n",
                    CountText(static_cast<int64_t>(conversation_->messages().size()), "message"),
                    kept));
    if (std::exchange(answers_first_, false)) AnswerLast();
  }

  // Keeps a copy of the conversation that `command` is about to drop from the session's file.
  // Returns words that tell where it is; "" without a session.
  std::string KeepSession(std::string_view command) const {
    if (!session_) return "";
    try {
      const std::filesystem::path copy =
          KeepCopy(session_->path(), ConversationText(conversation_->messages(), tools_));
      return fmt::format("; the one before is kept in {}", copy.string());
    } catch (const Error& error) {
      throw Error("chat", "{} {}", command, ToFailure(error).message);
    }
  }

  // Takes the messages and tools of a file; its tools replace those of --tools.
  void GoOnFrom(TemplateInput input) {
    tools_ = input.options.tools_json;
    if (tools_.empty()) input.options.tools_json = first_template_options_.tools_json;
    answers_first_ = input.waits_for_answer;
    conversation_->Replace(std::move(input.messages), std::move(input.options));
    last_.reset();
  }

  // Brings the session's file up to date, with `asked` as a further message of the user. The chat
  // goes on without a file that cannot be written; that is told once.
  void SaveSession(const std::string* asked = nullptr) {
    if (!session_) return;
    generate::Messages messages = conversation_->messages();
    if (asked != nullptr) messages.push_back(generate::MakeMessage("user", *asked));
    try {
      session_->Write(ConversationText(messages, tools_));
      session_failed_ = false;
    } catch (const Error& error) {
      if (!session_failed_) Report(error);
      session_failed_ = true;
    }
  }

  const ChatArgs& args_;
  const bool terminal_;
  bool has_editor_ = false;
  bool stats_;
  bool ends_ = false;
  bool failed_ = false;  // an error was printed, not on a terminal
  bool seed_told_ = false;
  size_t told_turns_ = 0;  // turns left out, as last told
  // Set if the beginning of the conversation, or a conversation from a file, ends with a message
  // that waits for an answer.
  bool begins_with_answer_ = false, answers_first_ = false;
  generate::GenerateOptions options_, first_options_;
  text::ChatTemplateOptions first_template_options_;
  std::optional<SessionFile> session_;
  bool session_failed_ = false;
  std::string tools_;  // the tools that a file of messages gave, as JSON
  Loaded loaded_;
  std::optional<generate::Conversation> conversation_;
  std::optional<generate::Generation> last_;
  // Finds better plans while the user reads and types.
  std::unique_ptr<engine::IdleTuner> tuner_;
};

}  // namespace

void AddChat(CLI::App& app) {
  auto args = std::make_shared<ChatArgs>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model; also reads lines from a pipe");
  command->footer(kChatFooter);
  CLI::Option* system =
      command->add_option("--system,--system-prompt", args->system, "System message");
  CLI::Option* session =
      command
          ->add_option(
              "--session", args->session,
              "JSON file to resume the conversation from and to save it in after each turn")
          ->type_name("FILE");
  command->add_flag("--stats", args->stats,
                    "Print tokens per second and context use after each answer");
  command->add_flag("--no-history", args->no_history,
                    "Do not save typed messages in the history file");
  AddMessageArgs(*command, args->messages, "The beginning of the conversation");
  command->get_option("--messages")->excludes(system)->excludes(session);
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  AddGenerateArgs(*command, args->generate);
  command->callback([args] {
    if (!Chat(*args).Loop()) throw ReportedError();
  });
}

}  // namespace sinter::cli
