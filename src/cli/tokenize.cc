// sinter tokenize: shows the tokens of a text or of a conversation, and the text of tokens.

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/messages.h"
#include "cli/model_args.h"
#include "cli/model_input.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "cli/usage.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

constexpr char kTokenizeFooter[] =
    R"(Prints the text, then every token's id and how the vocabulary writes it. Needs no GPU, and of the
folder only tokenizer.json, and for --messages the chat template and tokenizer_config.json.

Examples:
  sinter tokenize models/demo "What is 7 + 8?"
  sinter tokenize models/demo --messages chat.json --json
  sinter tokenize models/demo --ids 72,105 --json)";

struct TokenizeArgs {
  std::string folder;
  std::string text;
  MessageArgs messages;
  std::string template_file;
  std::string ids;
  bool no_special = false;
  bool json = false;
};

// Returns the ids of a list such as `1,2,3`, `1 2 3` or `[1, 2, 3]`.
std::vector<int32_t> ParseIds(std::string_view list, int32_t limit) {
  constexpr std::string_view kSeparators = ", \t\r\n";
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<int32_t> ids;
  if (list.starts_with('[') && list.ends_with(']')) list = list.substr(1, list.size() - 2);
  for (size_t begin = list.find_first_not_of(kSeparators); begin < list.size();
       begin = list.find_first_not_of(kSeparators, begin)) {
    const size_t end = std::min(list.find_first_of(kSeparators, begin), list.size());
    const std::string_view word = list.substr(begin, end - begin);
    int32_t id = -1;
    const auto [stop, code] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (code != std::errc() || stop != word.data() + word.size() || id < 0 || id >= limit) {
      throw UsageError("--ids: got '{}', want ids from 0 to {}", Excerpt(word), limit - 1);
    }
    ids.push_back(id);
    begin = end;
  }
  // Nothing stands on one side of a comma.
  const size_t first = list.find_first_not_of(kSpace);
  const size_t last = list.find_last_not_of(kSpace);
  if (first != std::string_view::npos && (list[first] == ',' || list[last] == ','))
    throw UsageError("--ids: got a comma without an id beside it, want ids such as 1,2,3");
  return ids;
}

// Prints the result in place of the status line.
void Print(StatusLine& status, const text::Tokenizer& tokenizer, const std::string& text,
           const std::vector<int32_t>& ids, bool json) {
  if (json) {
    const std::string line =
        fmt::format("{{\"text\": {}, \"ids\": {}}}\n", nlohmann::json(text).dump(), ids);
    status.End();
    return Out(line);
  }
  std::string out = text + "\n\n";
  for (const int32_t id : ids) {
    const std::optional<std::string> token = tokenizer.IdToToken(id);
    out += fmt::format("{:>8}  {}\n", id, token ? nlohmann::json(*token).dump() : "(no token)");
  }
  out += fmt::format("{} token{}\n", ids.size(), ids.size() == 1 ? "" : "s");
  status.End();
  Out(out);
}

void Tokenize(const TokenizeArgs& args, bool has_text, bool has_ids) {
  const bool has_messages = !args.messages.messages.empty();
  if (has_text + has_ids + has_messages != 1) {
    throw UsageError("TEXT, --messages and --ids: got {} of them, want exactly one",
                     has_text + has_ids + has_messages);
  }
  CheckTokenizerInput(args.folder);
  StatusLine status("tokenizing");
  const auto tokenizer =
      text::Tokenizer::FromFile(std::filesystem::path(args.folder) / "tokenizer.json");
  if (has_ids) {
    const std::vector<int32_t> ids =
        ParseIds(args.ids == "-" ? ReadStandardInput() : args.ids, tokenizer.VocabSize());
    return Print(status, tokenizer, tokenizer.Decode(ids, args.no_special), ids, args.json);
  }
  if (has_text) {
    const std::string text = args.text == "-" ? ReadStandardInput() : args.text;
    CheckUtf8(text, args.text == "-" ? "standard input" : "TEXT");
    return Print(status, tokenizer, text, tokenizer.Encode(text, !args.no_special), args.json);
  }
  TemplateInput input = ReadTemplateInput(args.messages, Content::kAny);
  std::optional<text::ChatTemplate> chat_template;
  if (args.template_file.empty()) {
    chat_template = RequireTemplate(args.folder, "--template gives another");
    input.messages =
        generate::WithReadableContent(*chat_template, std::move(input.messages), input.options);
  } else {
    chat_template = text::ChatTemplate::FromFile(args.template_file, args.folder);
  }
  const std::string prompt =
      generate::RenderMessages(*chat_template, input.messages, input.options);
  Print(status, tokenizer, prompt, tokenizer.Encode(prompt, /*add_special_tokens=*/false),
        args.json);
}

}  // namespace

void AddTokenize(CLI::App& app) {
  auto args = std::make_shared<TokenizeArgs>();
  CLI::App* command = app.add_subcommand(
      "tokenize", "Show the tokens of a text or a conversation, or the text of tokens");
  command->footer(kTokenizeFooter);
  TakeModelName(
      *command->add_option("MODEL", args->folder, "Model: a name, or a folder with tokenizer.json")
           ->required());
  CLI::Option* text = command->add_option(
      "TEXT", args->text, "The text; '-' reads standard input, with its last newline");
  text->configurable(false);
  AddMessageArgs(*command, args->messages, "The chat template makes the text of them");
  CLI::Option* messages = command->get_option("--messages");
  command->get_option("--tools")->needs(messages);
  command->get_option("--template-arg")->needs(messages);
  command
      ->add_option("--template", args->template_file,
                   "Chat template instead of the folder's; it gets the messages as they are")
      ->type_name("FILE")
      ->group("Chat template")
      ->configurable(false)
      ->needs(messages);
  CLI::Option* ids =
      command
          ->add_option("--ids", args->ids,
                       "Print the text of these tokens, such as 1,2,3; '-' reads standard input")
          ->type_name("LIST")
          ->configurable(false);
  command->add_flag("--no-special", args->no_special,
                    "Add no special tokens to TEXT; leave them out of the text of --ids");
  command->add_flag("--json", args->json, R"(Print JSON: {"text": ..., "ids": [...]})");
  command->callback([args, text, ids] { Tokenize(*args, text->count() > 0, ids->count() > 0); });
}

}  // namespace sinter::cli
