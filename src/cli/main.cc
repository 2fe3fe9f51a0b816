// Entry point of the command line: parses the subcommand and its options, and prints errors.

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "base/check.h"
#include "base/error.h"
#include "base/excerpt.h"
#include "cli/common.h"
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

// Escapes control characters. Names in an error's text come from files and must not move the cursor
// or break the line.
std::string Printable(std::string_view text, bool keep_newlines) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7f) || (keep_newlines && c == '\n')) {
      result += c;
    } else {
      result += fmt::format("\\x{:02x}", byte);
    }
  }
  return result;
}

int Fail(std::string_view text, bool keep_newlines = false) {
  if (interrupted) return InterruptedCode();
  // Compilers' messages, which keep their lines, may be long; names in files may be megabytes.
  const std::string message = CutMiddle(text, keep_newlines ? 100'000 : 4000);
  Err("sinter: " + Printable(message, keep_newlines) + "\n");
  return kFailure;
}

// Prints what was wrong with the arguments as one line.
int FailUsage(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  Err(fmt::format("sinter: [usage] {}; see: sinter {}{}--help\n",
                  Printable(UsageText(app, error), false),
                  chosen.empty() ? "" : chosen[0]->get_name(), chosen.empty() ? "" : " "));
  return kUsage;
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
  ReserveStandardFiles();
  CatchSignals();
  try {
    // Without arguments, cargo and gh print their help to standard output and succeed.
    if (argc <= 1) {
      Out(app.help());
      return 0;
    }
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 also throws for --help and --version.
    return error.get_exit_code() == 0 ? app.exit(error) : FailUsage(app, error);
  } catch (const OutputClosed&) {
    return kOutputClosed;
  } catch (const Error& error) {
    return Fail(error.what(), error.multi_line());
  } catch (const BugError& error) {
    return Fail(error.what(), /*keep_newlines=*/true);
  } catch (const std::bad_alloc&) {
    return Fail("[cli] memory: got none, want more than this machine has free");
  } catch (const std::exception& error) {
    return Fail(fmt::format("[cli] {}", error.what()));
  }
  return interrupted ? InterruptedCode() : 0;
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
