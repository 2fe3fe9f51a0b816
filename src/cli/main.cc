// The command line: one subcommand, then its options.

#include <fmt/core.h>

#include <cstdio>

#include "base/error.h"
#include "cli/common.h"

int main(int argc, char** argv) {
  using namespace sinter;  // NOLINT: a main of one screen
  CLI::App app("Runs large language models of ONNX Runtime GenAI's folders on any GPU through WebGPU.", "sinter");
  app.set_version_flag("--version", "sinter " SINTER_VERSION);
  app.require_subcommand(1);
  cli::AddRun(app);
  cli::AddChat(app);
  cli::AddInspect(app);
  cli::AddDevices(app);
  cli::AddVerify(app);
  cli::CatchInterrupts();
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& exit) {
    return exit.get_exit_code();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : cli::kUsage;
  } catch (const std::exception& error) {
    if (cli::interrupted) return cli::kInterrupted;
    fmt::print(stderr, "sinter: {}\n", error.what());
    return cli::kFailure;
  }
  return cli::interrupted ? cli::kInterrupted : 0;
}
