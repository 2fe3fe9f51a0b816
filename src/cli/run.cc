// sinter run: one prompt, one answer.

#include <fmt/core.h>

#include <filesystem>

#include "base/error.h"
#include "cli/common.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

constexpr char kRunFooter[] = R"(Examples:
  sinter run models/demo -p "Write a short story about Lily and a lost kite."
  sinter run models/demo -p "Once upon a time" --raw --temperature 0.8 --seed 7 -n 100
  echo "What is 7 + 8?" | sinter run models/demo -p - --json)";

struct RunArgs {
  ModelArgs model;
  GenerateArgs generate;
  std::string prompt;
  std::string system;
  bool raw = false;
  bool quiet = false;
};

// The prompt as tokens: through the chat template where the folder has one.
std::vector<int32_t> EncodePrompt(const RunArgs& args, const text::Tokenizer& tokenizer) {
  std::string prompt = args.prompt;
  if (prompt == "-") {
    prompt = ReadStandardInput();
    // The line's end is the shell's, not the prompt's.
    if (prompt.ends_with('\n')) prompt.pop_back();
  }
  const auto chat_template =
      args.raw ? std::nullopt : text::ChatTemplate::FromFolder(args.model.model);
  if (!chat_template) return tokenizer.Encode(prompt, /*add_special_tokens=*/true);
  std::vector<text::ChatMessage> messages;
  if (!args.system.empty()) messages.push_back({"system", args.system});
  messages.push_back({"user", prompt});
  return tokenizer.Encode(chat_template->Render(messages), /*add_special_tokens=*/false);
}

nlohmann::json ToJson(const Loaded& loaded, const generate::Generation& result) {
  return {{"text", result.text},
          {"tokens", result.tokens},
          {"finish_reason", generate::FinishReasonName(result.reason)},
          {"prompt_tokens", result.prompt_tokens},
          {"load_seconds", loaded.seconds},
          {"time_to_first_token_seconds", result.prefill_seconds},
          {"decode_tokens_per_second", result.decode_tokens_per_second()},
          {"device", loaded.model->device()->adapter().name}};
}

void PrintFigures(const Loaded& loaded, const generate::Generation& result) {
  Err(fmt::format(
      "[{}: load {:.2f} s; prompt {} tokens in {:.3f} s; answer {} tokens, {:.1f} tokens/s; {}]\n",
      loaded.model->device()->adapter().name, loaded.seconds, result.prompt_tokens,
      result.prefill_seconds, result.tokens.size(), result.decode_tokens_per_second(),
      generate::FinishReasonName(result.reason)));
}

void Run(const RunArgs& args) {
  model::ModelFolder folder = model::ModelFolder::Read(args.model.model);
  const generate::GenerateOptions options = ToOptions(args.generate, folder.config);
  const text::Tokenizer tokenizer =
      text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json");
  const std::vector<int32_t> prompt = EncodePrompt(args, tokenizer);
  const int64_t max_length = MaxLength(args.model, folder.config);
  if (static_cast<int64_t>(prompt.size()) > max_length) {
    throw Error("cli",
                "prompt: got {} tokens, want at most {} (--max-length; the model's context is {})",
                prompt.size(), max_length, folder.config.context_length);
  }
  const Loaded loaded = Load(args.model, std::move(folder));
  generate::Generator generator(loaded.session, tokenizer);
  WaitingNotice notice(*loaded.model->device());
  const generate::Generation result = generator.Run(prompt, options, [&](std::string_view text) {
    notice.End();
    if (!args.model.json) Out(text);
    return !interrupted;
  });
  notice.End();
  if (args.model.json) return OutJson(ToJson(loaded, result));
  Out("\n");
  if (!args.quiet) PrintFigures(loaded, result);
}

}  // namespace

void AddRun(CLI::App& app) {
  auto args = std::make_shared<RunArgs>();
  CLI::App* command = app.add_subcommand("run", "Answer one prompt");
  command->footer(kRunFooter);
  command->add_option("-p,--prompt", args->prompt, "The prompt; '-' reads standard input")
      ->required();
  command->add_option("--system", args->system, "System message");
  command->add_flag("--raw", args->raw,
                    "Go on from the prompt as it is, without the chat template");
  command->add_flag("-q,--quiet", args->quiet, "No figures behind the text");
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  AddGenerateArgs(*command, args->generate);
  command->callback([args] { Run(*args); });
}

}  // namespace sinter::cli
