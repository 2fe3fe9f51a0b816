// Compares random graphs on the GPU, the interpreter and ONNX Runtime's CPU provider, for a time or
// a number of seeds. tools/fuzz_graphs starts it.
//
//   fuzz_graphs [--seed N] [--count N] [--seconds N] [--peer COMMAND] [--out FOLDER] [--state FILE]
//
// Prints each failure with the seed, the graph's text and the values, and writes a folder with the
// model and its inputs. Exits with 1 if there was a failure.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "graph/text.h"
#include "graphs/devices.h"
#include "graphs/harness.h"
#include "onnx/writer.h"

namespace {

using namespace sinter;  // NOLINT: a program of one screen

struct Args {
  uint64_t seed = 1, count = 0;
  double seconds = 60;
  int most_failures = 20;
  std::string peer, out = "build/fuzz/graphs", state;
};

// Writes the graph's model and inputs, so that another program can run them.
void WriteFolder(const std::filesystem::path& folder, const graph::Graph& graph,
                 const interpret::HostTensors& inputs, const std::string& report) {
  std::filesystem::create_directories(folder);
  onnx::WriteModel(graph, folder / "model.onnx");
  std::ofstream(folder / "graph.txt") << graph::Print(graph);
  std::ofstream(folder / "report.txt") << report;
  std::ofstream stream(folder / "inputs.txt");
  for (const auto& [name, tensor] : inputs)
    stream << fmt::format("{}: {}\n", name, graphs::ElementsText(tensor));
}

class Fuzzer {
 public:
  explicit Fuzzer(const Args& args)
      : args_(args),
        peer_(args.peer.empty() ? nullptr : std::make_unique<graphs::Peer>(args.peer)),
        harness_(peer_.get()) {}

  int Run() {
    Watch();
    const auto start = std::chrono::steady_clock::now();
    int failures = 0, shown = 1;
    for (uint64_t seed = args_.seed; failures < args_.most_failures; ++seed) {
      const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
      if (args_.count > 0 ? seed >= args_.seed + args_.count : passed.count() > args_.seconds)
        break;
      SetSeed(seed);
      // Shows the totals every ten minutes.
      if (passed.count() > shown * 600.0) {
        PrintTotals(failures);
        ++shown;
      }
      failures += Try(seed) ? 0 : 1;
    }
    SetSeed(0);
    PrintTotals(failures);
    return failures > 0 ? 1 : 0;
  }

 private:
  // Notes the seed in the state file, so that it is known if the process dies of it.
  void SetSeed(uint64_t seed) {
    seed_ = seed;
    if (!args_.state.empty()) std::ofstream(args_.state) << seed << "\n";
  }

  // Ends the process if a graph takes a minute of the processor, or ten minutes of a busy machine.
  void Watch() {
    watch_ = std::jthread([this](const std::stop_token& stop) {
      uint64_t seed = 0;
      std::clock_t used = 0;
      std::chrono::steady_clock::time_point since;
      while (!stop.stop_requested()) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        if (seed_ == 0 || seed_ != seed) {
          seed = seed_;
          used = std::clock();
          since = std::chrono::steady_clock::now();
        } else if ((std::clock() - used) / CLOCKS_PER_SEC > 60 ||
                   std::chrono::steady_clock::now() - since > std::chrono::minutes(10)) {
          fmt::print("seed {}: FAILED: it hangs\n", seed);
          std::fflush(stdout);
          _exit(3);
        }
      }
    });
  }

  bool Try(uint64_t seed) {
    const graphs::RandomGraph random = graphs::MakeRandomGraph(seed);
    const size_t form = graphs::FormIndex(seed);
    // lavapipe keeps mappings for each pipeline, and a process may have some 65,000.
    if (harness_.totals().graphs % kGraphsPerDevice == 0) {
      harness_.set_device(nullptr);
      devices_.Close();
    }
    harness_.set_device(devices_.Get(form));
    const std::optional<graphs::Failure> failure = harness_.Check(random);
    if (!failure) return true;
    std::string report = fmt::format("seed {}: FAILED: {}\nThe device: {}\n", seed, failure->text,
                                     graphs::FormOf(form).name);
    const graph::Graph* graph = random.graph.get();
    const interpret::HostTensors* inputs = &random.inputs;
    if (failure->node) {
      // The node alone is the smallest graph that shows the failure, if it does.
      const std::optional<graphs::Failure> alone = harness_.CheckAlone(*failure->node);
      report += alone ? "The node fails alone:\n" : "The node alone does not fail. Its inputs:\n";
      report += graph::Print(*failure->node->graph);
      for (const auto& [name, tensor] : failure->node->inputs)
        report += fmt::format("  {}: {}\n", name, graphs::ElementsText(tensor));
      if (alone) {
        graph = failure->node->graph.get();
        inputs = &failure->node->inputs;
      }
    }
    report += fmt::format("The graph:\n{}", graph::Print(*random.graph));
    fmt::print("{}", report);
    std::fflush(stdout);
    WriteFolder(std::filesystem::path(args_.out) / fmt::format("{}", seed), *graph, *inputs,
                report);
    return false;
  }

  void PrintTotals(int failures) const {
    const graphs::Totals& totals = harness_.totals();
    fmt::print(
        "{} graphs, {} nodes, {} rewritten graphs, {} compared with ONNX Runtime, {} faults "
        "refused, {} failures\n",
        totals.graphs, totals.nodes, totals.rewritten, totals.compared_with_peer, totals.faults,
        failures);
    for (const auto& [reason, count] : totals.skipped)
      fmt::print("  not compared: {} times: {}\n", count, reason);
    std::fflush(stdout);
  }

  static constexpr int kGraphsPerDevice = 150;

  const Args args_;
  std::unique_ptr<graphs::Peer> peer_;
  graphs::Devices devices_;
  graphs::Harness harness_;
  std::atomic<uint64_t> seed_ = 0;
  std::jthread watch_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Compares random graphs on the GPU, the interpreter and ONNX Runtime");
  Args args;
  app.add_option("--seed", args.seed, "First seed");
  app.add_option("--count", args.count, "Number of seeds; 0: as many as the time allows");
  app.add_option("--seconds", args.seconds, "Time");
  app.add_option("--failures", args.most_failures, "Stop after so many failures");
  app.add_option("--peer", args.peer, "Command that runs ort_graphs");
  app.add_option("--out", args.out, "Folder for failures");
  app.add_option("--state", args.state, "File that holds the seed that runs");
  CLI11_PARSE(app, argc, argv);
  try {
    return Fuzzer(args).Run();
  } catch (const Error& error) {
    fmt::print(stderr, "fuzz_graphs: {}\n", error.what());
    return 2;
  }
}
