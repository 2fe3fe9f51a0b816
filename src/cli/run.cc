// sinter run: one prompt, one answer.

#include <fmt/core.h>

#include <cstdio>

#include "base/error.h"
#include "cli/common.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

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
  const std::string prompt = args.prompt == "-" ? ReadStandardInput() : args.prompt;
  const auto chat_template = args.raw ? std::nullopt : text::ChatTemplate::FromFolder(args.model.model);
  if (!chat_template) return tokenizer.Encode(prompt, /*add_special_tokens=*/true);
  std::vector<text::ChatMessage> messages;
  if (!args.system.empty()) messages.push_back({"system", args.system});
  messages.push_back({"user", prompt});
  return tokenizer.Encode(chat_template->Render(messages), /*add_special_tokens=*/false);
}

void PrintJson(const Loaded& loaded, const generate::Generation& result) {
  const nlohmann::json json = {{"text", result.text},
                               {"tokens", result.tokens},
                               {"finish_reason", generate::FinishReasonName(result.reason)},
                               {"prompt_tokens", result.prompt_tokens},
                               {"load_seconds", loaded.seconds},
                               {"time_to_first_token_seconds", result.prefill_seconds},
                               {"decode_tokens_per_second", result.decode_tokens_per_second()},
                               {"device", loaded.model->device()->adapter().name}};
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Run(const RunArgs& args) {
  const text::Tokenizer tokenizer =
      text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json");
  const std::vector<int32_t> prompt = EncodePrompt(args, tokenizer);
  const Loaded loaded = Load(args.model);
  generate::Generator generator(loaded.session, tokenizer);
  const generate::Generation result =
      generator.Run(prompt, ToOptions(args.generate), [&](std::string_view text) {
        if (!args.model.json) {
          fmt::print("{}", text);
          std::fflush(stdout);
        }
        return !interrupted;
      });
  if (args.model.json) return PrintJson(loaded, result);
  fmt::print("\n");
  std::fflush(stdout);
  if (args.quiet) return;
  fmt::print(stderr, "[{}: loaded in {:.2f} s; {} prompt tokens, first token after {:.3f} s ({:.0f} tokens/s); "
             "{} tokens, {:.1f} tokens/s; {}]\n",
             loaded.model->device()->adapter().name, loaded.seconds, result.prompt_tokens, result.prefill_seconds,
             static_cast<double>(result.prompt_tokens) / result.prefill_seconds, result.tokens.size(),
             result.decode_tokens_per_second(), generate::FinishReasonName(result.reason));
}

}  // namespace

void AddRun(CLI::App& app) {
  auto args = std::make_shared<RunArgs>();
  CLI::App* command = app.add_subcommand("run", "Answer one prompt");
  AddModelArgs(*command, args->model);
  command->add_option("-p,--prompt", args->prompt, "The prompt; '-' reads standard input")->required();
  command->add_option("--system", args->system, "System message");
  command->add_flag("--raw", args->raw, "The prompt as it is, without the chat template");
  command->add_flag("-q,--quiet", args->quiet, "No figures behind the text");
  AddGenerateArgs(*command, args->generate);
  command->callback([args] { Run(*args); });
}

}  // namespace sinter::cli
