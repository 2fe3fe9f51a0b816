// Entry point of the command line: parses the subcommand and its options, and prints errors.

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "cli/common.h"
#include "cli/failure.h"
#include "cli/usage.h"

namespace sinter::cli {
namespace {

constexpr char kFooter[] = R"(Examples:
  sinter run models/demo -p "What is 23 + 45?"
  sinter chat models/demo
  sinter devices

Exit codes: 0 done, 1 an error (one line on standard error says which), 2 wrong usage, 130 Ctrl-C,
143 SIGTERM.
sinter SUBCOMMAND --help says more.)";

// Returns what was wrong with the arguments as one line.
std::string UsageMessage(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  return fmt::format("{}; see: sinter {}{}--help", UsageText(app, error),
                     chosen.empty() ? "" : chosen[0]->get_name(), chosen.empty() ? "" : " ");
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Sinter runs large language models (ONNX Runtime GenAI's model folders) on any GPU, through "
      "WebGPU.",
      "sinter");
  app.set_version_flag("--version", "sinter " SINTER_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.require_subcommand(1);
  app.footer(kFooter);
  AddRun(app);
  AddChat(app);
  AddTokenize(app);
  AddInspect(app);
  AddDevices(app);
  AddVerify(app);
  AddConvert(app);
  AddBench(app);
  AddTune(app);
  AddList(app);
  AddRemove(app);
  ReserveStandardFiles();
  const bool json = AsksForJson(argc, argv);
  SetJsonFailures(json);
  const auto fail = [json](Failure failure) {
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
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 also throws for --help and --version.
    if (error.get_exit_code() == 0) return app.exit(error);
    return fail({"usage", UsageMessage(app, error), kUsage});
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
