// sinter help, sinter completion and sinter man: what the program tells of itself.

#include <fmt/core.h>

#include <cstdlib>
#include <ctime>

#include "cli/checks.h"
#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/man_page.h"
#include "cli/standard_io.h"
#include "cli/usage.h"

namespace sinter::cli {
namespace {

constexpr char kCompletionFooter[] = R"(Examples:
  sinter completion bash > ~/.local/share/bash-completion/completions/sinter
  sinter completion zsh > ~/.zfunc/_sinter      with ~/.zfunc in $fpath
  sinter completion fish > ~/.config/fish/completions/sinter.fish
  source <(sinter completion bash)              for this shell only)";

constexpr char kHelpFooter[] = R"(Examples:
  sinter help
  sinter help run)";

constexpr char kManFooter[] = R"(Examples:
  sinter man | man -l -
  sinter man > ~/.local/share/man/man1/sinter.1)";

// Returns today, or the day that SOURCE_DATE_EPOCH names, as builds that must be reproducible do.
std::string Today() {
  std::time_t time = std::time(nullptr);
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"); epoch != nullptr && *epoch != '\0')
    time = static_cast<std::time_t>(std::strtoll(epoch, nullptr, 10));
  std::tm utc = {};
  gmtime_r(&time, &utc);
  return fmt::format("{:04}-{:02}-{:02}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

}  // namespace

void AddManual(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : AllCommands(app)) {
    names.push_back(command->get_name());
  }
  names.insert(names.end(), {"help", "completion", "man"});
  auto topic = std::make_shared<std::string>();
  CLI::App* help = app.add_subcommand("help", "Print the help of a command");
  help->add_option("COMMAND", *topic, "The command (default: all of them, in short)")
      ->check(OneOf(std::move(names)))
      ->configurable(false);
  help->footer(kHelpFooter);
  help->callback([&app, topic] {
    Out(topic->empty() ? HelpText(Describe(app), "") : app.get_subcommand(*topic)->help("sinter"));
  });

  auto shell = std::make_shared<std::string>();
  CLI::App* completion = app.add_subcommand("completion", "Print a shell's completion script");
  completion->footer(kCompletionFooter);
  completion->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(OneOf(Shells()))
      ->configurable(false);
  completion->callback([&app, shell] { Out(CompletionScript(Describe(app), *shell)); });

  CLI::App* man =
      app.add_subcommand("man", "Print the manual page; read it: sinter man | man -l -");
  man->footer(kManFooter);
  man->callback([&app] { Out(ManPage(Describe(app), SINTER_VERSION, Today())); });
}

}  // namespace sinter::cli
