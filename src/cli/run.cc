// sinter run: answers one prompt.

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "cli/answers.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/messages.h"
#include "cli/model_args.h"
#include "cli/model_input.h"
#include "cli/run_batch.h"
#include "cli/standard_io.h"
#include "cli/usage.h"
#include "generate/conversation.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

constexpr char kRunFooter[] = R"(Examples:
  sinter run models/demo "Write a short story about Lily and a lost kite."
  sinter run models/demo "Once upon a time" --raw --temperature 0.8 -n 100
  echo "What is 7 + 8?" | sinter run models/demo --json
  sinter run models/demo --messages chat.json --tools tools.json
  sinter run models/demo --batch prompts.jsonl -o answers.jsonl -n 200

A line of prompts.jsonl is {"id": "a", "prompt": "What is 7 + 8?"}, or has "messages" instead, and
may set max_tokens, temperature, top_p, top_k, min_p, seed, stop and others (docs/json.md). Lines of
OpenAI's batch files are read, too.)";

struct RunArgs {
  ModelArgs model;
  GenerateArgs generate;
  MessageArgs messages;
  std::string prompt;
  std::string file;
  std::string system;
  bool raw = false;
  RunBatchArgs batch;  // options of --batch; the other members are set when it runs
};

void AddBatchArgs(CLI::App& command, RunBatchArgs& args) {
  const std::string group = "Many prompts";
  CLI::Option* batch =
      command
          .add_option("--batch", args.file,
                      "Answer the prompts of this file, a JSON object in each line, many at a "
                      "time; write one line of JSON for each as they end. '-' reads standard input")
          ->type_name("FILE")
          ->configurable(false)
          ->group(group);
  command.add_option("-o,--output", args.output, "Write the answers to this new file")
      ->type_name("FILE")
      ->configurable(false)
      ->needs(batch)
      ->group(group);
  command
      .add_flag("--resume", args.resume,
                "Go on with --output: answer the lines whose ids have no answer there")
      ->configurable(false)
      ->needs("--output")
      ->group(group);
  command.add_flag("--in-order", args.in_order, "Write the answers in the order of the lines")
      ->needs(batch)
      ->group(group);
  command
      .add_option("--parallel", args.parallel,
                  "Answer at most this many at a time, as far as --kv-tokens has room for them")
      ->check(WholeNumber(1, engine::kMaxBatch))
      ->needs(batch)
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--kv-tokens", args.kv_tokens,
                  "Room for this many tokens of all prompts and answers together (default: 65536, "
                  "or what fits the GPU's memory)")
      ->check(WholeNumber(1))
      ->needs(batch)
      ->group(group);
  command
      .add_flag("--deterministic", args.deterministic,
                "Compute each answer so that no other can change it; slower")
      ->needs(batch)
      ->group(group);
}

std::string ReadPrompt(const RunArgs& args) {
  if (args.prompt != "-" && args.file.empty()) {
    CheckUtf8(args.prompt, "--prompt");
    return args.prompt;
  }
  std::string prompt =
      args.file.empty() ? ReadStandardInput() : ReadSmallFile(args.file, "cli", "a text file");
  CheckUtf8(prompt, args.file.empty() ? "standard input" : args.file);
  // Shells and editors add the final newline; it is not part of the prompt. On Windows it is CR LF.
  if (prompt.ends_with('\n')) {
    prompt.pop_back();
    if (prompt.ends_with('\r')) prompt.pop_back();
  }
  return prompt;
}

// Returns the tokens of the prompt: the messages, or the text as the user's message, in the chat
// template, or the text as it is.
std::vector<int32_t> EncodePrompt(const RunArgs& args, const text::Tokenizer& tokenizer) {
  if (args.prompt == "-" && args.messages.tools == "-") {
    throw UsageError("--prompt and --tools: got standard input for both, want a file for one");
  }
  TemplateInput input = ReadTemplateInput(args.messages, Content::kText);
  if (!args.messages.messages.empty()) {
    const text::ChatTemplate chat_template =
        RequireTemplate(args.model.model, "without it, --raw -p takes the whole prompt");
    if (input.messages.empty()) {
      throw Error("cli", "--messages: got no messages, want at least one");
    }
    return generate::EncodeMessages(
        tokenizer, chat_template,
        generate::WithReadableContent(chat_template, std::move(input.messages), input.options),
        input.options);
  }
  const std::string prompt = ReadPrompt(args);
  const std::optional<text::ChatTemplate> chat_template =
      args.raw ? std::nullopt : text::ChatTemplate::FromFolder(args.model.model);
  if (!chat_template) {
    if (args.messages.any() || !args.system.empty())
      RequireTemplate(args.model.model, "--system, --tools and --template-arg need it");
    if (!args.raw && !args.model.quiet) {
      Err("sinter: note: the model has no chat template, so it continues the raw prompt (--raw)\n");
    }
    return tokenizer.Encode(prompt, /*add_special_tokens=*/true);
  }
  if (!args.system.empty()) {
    input.messages.push_back(generate::MakeMessage("system", args.system));
  }
  input.messages.push_back(generate::MakeMessage("user", prompt));
  return generate::EncodeMessages(tokenizer, *chat_template, input.messages, input.options);
}

nlohmann::json ToJson(const Loaded& loaded, const generate::Generation& result,
                      std::optional<uint32_t> seed) {
  return {{"text", result.text},
          {"tokens", result.tokens},
          {"finish_reason", generate::FinishReasonName(result.reason)},
          {"prompt_tokens", result.prompt_tokens},
          {"load_seconds", loaded.seconds},
          {"time_to_first_token_seconds", result.prefill_seconds},
          {"decode_tokens_per_second", result.decode_tokens_per_second()},
          {"seed", seed ? nlohmann::json(*seed) : nlohmann::json()},
          {"device", loaded.model->device()->adapter().name}};
}

// Prints the figures, and the seed if it is a random one.
void PrintFigures(const Loaded& loaded, const generate::Generation& result,
                  std::optional<uint32_t> seed) {
  Err(fmt::format("[{}: load {:.2f} s; {}{}]\n", loaded.model->device()->adapter().name,
                  loaded.seconds, FiguresText(FiguresOf(result)),
                  seed ? fmt::format("; seed {}", *seed) : ""));
}

void Run(const RunArgs& args) {
  Opening device(args.model);
  model::ModelFolder folder = ReadModel(args.model);
  const generate::GenerateOptions options = ToOptions(args.generate, folder.config);
  const std::optional<uint32_t> seed = SeedOf(folder.config, options);
  const text::Tokenizer tokenizer =
      text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json");
  const std::vector<int32_t> tokens = EncodePrompt(args, tokenizer);
  // A prompt that is too long is reported before the model is loaded.
  constexpr int64_t kUsualAnswer = 2048;
  const int64_t expected = static_cast<int64_t>(tokens.size()) +
                           (options.max_new_tokens > 0 ? options.max_new_tokens : kUsualAnswer);
  const int64_t max_length = MaxLength(args.model, folder.config, expected);
  if (static_cast<int64_t>(tokens.size()) > max_length) {
    throw Error("cli",
                "prompt: got {} tokens, want at most {} (--max-length; the model's context is {})",
                tokens.size(), max_length, folder.config.context_length);
  }
  Loaded loaded = Load(args.model, std::move(folder), std::move(device), expected);
  WaitingNotice notice(*loaded.model->device(), OnSignal::kExit);
  const auto on_text = [&](std::string_view text) {
    notice.End();
    if (!args.model.json) Out(text);
    return !interrupted;
  };
  const generate::Generation result =
      generate::Generator(loaded.session, tokenizer).Run(tokens, options, on_text);
  notice.End();
  if (args.model.json) {
    OutJson(ToJson(loaded, result, seed));
  } else {
    Out("\n");
    if (!args.model.quiet) PrintFigures(loaded, result, args.generate.seed ? std::nullopt : seed);
  }
  Leave(std::move(loaded));
}

}  // namespace

void AddRun(CLI::App& app) {
  auto args = std::make_shared<RunArgs>();
  CLI::App* command = app.add_subcommand("run", "Answer one prompt");
  command->footer(kRunFooter);
  CLI::Option* prompt =
      command
          ->add_option("-p,--prompt", args->prompt,
                       "The prompt; '-' reads standard input (the default if that is piped)")
          ->type_name("TEXT")
          ->configurable(false);
  CLI::Option* file = command->add_option("-f,--file", args->file, "Read the prompt from this file")
                          ->type_name("FILE")
                          ->configurable(false)
                          ->excludes(prompt);
  CLI::Option* system =
      command->add_option("--system,--system-prompt", args->system, "System message");
  CLI::Option* raw =
      command->add_flag("--raw", args->raw, "Continue the raw prompt, without the chat template");
  command->add_flag("-q,--quiet", args->model.quiet, "Do not print timing");
  AddMessageArgs(*command, args->messages, "Use instead of --prompt");
  CLI::Option* messages = command->get_option("--messages");
  messages->excludes(prompt)->excludes(file)->excludes(system)->excludes(raw);
  raw->excludes(system)
      ->excludes(command->get_option("--tools"))
      ->excludes(command->get_option("--template-arg"));
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  AddGenerateArgs(*command, args->generate);
  AddBatchArgs(*command, args->batch);
  CLI::Option* batch = command->get_option("--batch");
  CLI::Option* argument = command->add_option("PROMPT", args->prompt, "Same as --prompt")
                              ->type_name("TEXT")
                              ->configurable(false)
                              ->excludes(prompt)
                              ->excludes(file)
                              ->excludes(messages);
  for (CLI::Option* other : {prompt, argument, file, messages, command->get_option("--tools"),
                             command->get_option("--chunk"), command->get_option("--explain")})
    batch->excludes(other);
  command->callback([args, prompt, argument, file, messages, batch] {
    if (!batch->empty()) {
      RunBatchArgs run = args->batch;
      run.model = args->model;
      run.generate = args->generate;
      run.messages = args->messages;
      run.system = args->system;
      run.raw = args->raw;
      return RunBatch(run);
    }
    if (prompt->empty() && argument->empty() && file->empty() && messages->empty()) {
      // A prompt alone is taken for the model.
      CheckModelInput(args->model.model);
      if (isatty(STDIN_FILENO) != 0 || !HasStandardInput()) {
        throw UsageError(
            "PROMPT: got none, want one, or --file, --messages, or text on standard input (sinter "
            "chat {} asks for it)",
            args->model.model);
      }
      args->prompt = "-";
    }
    Run(*args);
  });
}

}  // namespace sinter::cli
