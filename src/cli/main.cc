// Entry point of the command line: parses the subcommand and its options, and prints errors.

#include <fmt/ranges.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "base/excerpt.h"
#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/load.h"
#include "cli/settings.h"
#include "cli/standard_io.h"
#include "cli/usage.h"
#include "kernels/unknown_variant.h"

namespace sinter::cli {
namespace {

constexpr char kFooter[] = R"(Examples:
  sinter run models/demo "What is 23 + 45?"
  sinter chat models/demo
  sinter help run

Options have defaults in ~/.config/sinter/config.json, such as {"defaults":
{"device": "nvidia"}, "run": {"temperature": 0.7}}, and in variables such as
SINTER_DEVICE. The command line comes first, then the variables, then the file.

Exit codes: 0 done, 1 an error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM, 129
SIGHUP, 141 the output pipe was closed. Errors are one line on standard error.)";

// Returns the text, which says what is wrong with the arguments, with where to read on.
std::string WithHelp(const CLI::App& app, const std::string& text) {
  const auto chosen = app.get_subcommands();
  return fmt::format("{}; see: sinter {}{}--help", text,
                     chosen.empty() ? "" : chosen[0]->get_name(), chosen.empty() ? "" : " ");
}

// Sets the options that the command line leaves out. The commands that describe the others need no
// valid settings.
void ApplyUserSettings(CLI::App& app) {
  CLI::App* command = app.get_subcommands()[0];
  for (const char* name : {"help", "completion", "man"}) {
    if (command->get_name() == name) return;
  }
  ApplySettings(app, *command, ReadConfigFile());
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  for (const std::string& line : MistypedVariables(app, environment)) {
    Err(fmt::format("sinter: note: {}\n", Excerpt(line, 1000)));
  }
}

int Main(int argc, char** argv) {
  CLI::App app("Run large language models on any GPU, through WebGPU", "sinter");
  app.formatter_fn([](const CLI::App* command, const std::string&, CLI::AppFormatMode) {
    const CLI::App* parent = command->get_parent();
    return HelpText(Describe(*command), parent == nullptr ? "" : parent->get_name());
  });
  app.set_version_flag("-V,--version", "sinter " SINTER_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.require_subcommand(1);
  app.footer(kFooter);
  AddRun(app);
  AddChat(app);
  AddList(app);
  AddRemove(app);
  AddConvert(app);
  AddDevices(app);
  AddInspect(app);
  AddTokenize(app);
  AddTune(app);
  AddBench(app);
  AddVerify(app);
  AddManual(app);
  PrepareCommands(app);
  ReserveStandardFiles();
  bool json = AsksForJson(argc, argv) || SettingAsksForJson(app, {argv + 1, argv + argc});
  app.parse_complete_callback([&app, &json] {
    ApplyUserSettings(app);
    const CLI::Option* flag = app.get_subcommands()[0]->get_option_no_throw("--json");
    json = json || (flag != nullptr && flag->count() > 0);
    SetJsonFailures(json);
  });
  SetJsonFailures(json);
  const auto fail = [&json](Failure failure) {
    if (interrupted) failure = SignalFailure(InterruptedCode());
    Err(FailureText(failure, json));
    return failure.code;
  };
  try {
    CatchSignals();
    // Without arguments, cargo and gh print their help to standard output and succeed.
    if (argc <= 1) {
      Out(app.help());
      return 0;
    }
    std::vector<std::string> args = NormalizedArguments(app, {argv + 1, argv + argc});
    std::ranges::reverse(args);  // as the parser takes them
    try {
      app.parse(std::move(args));
    } catch (const CLI::CallForHelp&) {
      Out(app.help());
    } catch (const CLI::Success& text) {  // --version, and lists such as --variant help
      Out(fmt::format("{}\n", text.what()));
    } catch (const kernels::UnknownVariant& error) {
      if (error.variant() != "help") throw;
      Out(fmt::format("{}\n", fmt::join(error.known(), "\n")));
    }
  } catch (const CLI::ParseError& error) {
    return fail({"usage", WithHelp(app, UsageText(app, error)), kUsage});
  } catch (const UsageError& error) {
    return fail({"usage", WithHelp(app, ToFailure(error).message), kUsage});
  } catch (const OutputClosed&) {
    return kOutputClosed;
  } catch (const ReportedError&) {
    return interrupted ? InterruptedCode() : kFailure;
  } catch (const std::bad_alloc&) {
    return fail({"cli", "memory: got none, want more than this machine has free"});
  } catch (const std::exception& error) {
    return fail(ToFailure(error));
  }
  return interrupted ? fail({}) : 0;
}

}  // namespace
}  // namespace sinter::cli

int main(int argc, char** argv) {
  const int code = sinter::cli::Main(argc, argv);
  if (!sinter::cli::LeavesThreads()) return code;
  // Threads that still compile must not meet objects that the end of main destroys.
  std::fflush(nullptr);
  std::_Exit(code);
}
