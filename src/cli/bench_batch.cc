#include "cli/bench_batch.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes_text.h"
#include "base/error.h"
#include "cli/bench_output.h"
#include "cli/load.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "generate/batch_benchmark.h"
#include "run/probes.h"

namespace sinter::cli {
namespace {

struct BatchResults {
  double load_seconds = 0;
  double bandwidth = 0;
  engine::EngineOptions engine;
  uint64_t weight_bytes = 0, total_bytes = 0;
  std::string name, driver, backend, type;
  bool f16 = false;
  std::vector<generate::BatchSpeed> speeds;
};

// Returns the rate if a step took no longer than reading its bytes once.
double BoundRate(const generate::BatchSpeed& speed, double bandwidth) {
  return static_cast<double>(speed.sequences) * bandwidth / speed.work.bytes();
}
double RoofShare(const generate::BatchSpeed& speed, double bandwidth) {
  return speed.tokens_per_second.median / BoundRate(speed, bandwidth);
}

void PrintBatches(const BatchBenchArgs& args, const BatchResults& results) {
  std::string text = fmt::format("{} on {} ({}, {})\n", args.model.model, results.name,
                                 results.backend, results.driver);
  text += fmt::format("load        {:.2f} s\n", results.load_seconds);
  text +=
      fmt::format("GPU memory  {}: weights {}, KV cache and workspace {} ({} tokens)\n",
                  BytesText(results.total_bytes), BytesText(results.weight_bytes),
                  BytesText(results.total_bytes - results.weight_bytes), results.engine.kv_tokens);
  text += fmt::format("read        {:.1f} GB/s from this GPU's memory\n", results.bandwidth / 1e9);
  text += fmt::format("\n  {:>9} {:>8} {:>30} {:>28} {:>10} {:>12} {:>8}\n", "sequences", "context",
                      "decode tokens/s", "a step, ms", "reads", "bound tok/s", "of bound");
  for (const generate::BatchSpeed& speed : results.speeds) {
    text += fmt::format(
        "  {:>9} {:>8} {:>30} {:>28} {:>10} {:>12.0f} {:>7.1f}%\n", speed.sequences, speed.context,
        SpreadText(speed.tokens_per_second), SpreadText(speed.seconds_per_step, 1e3),
        BytesText(static_cast<uint64_t>(speed.work.bytes())), BoundRate(speed, results.bandwidth),
        RoofShare(speed, results.bandwidth) * 100);
  }
  text += fmt::format("\n  {:>9} {:>8} {:>30} {:>30} {:>30}\n", "sequences", "context",
                      "time to first token, ms", "between tokens, ms", "CPU us a step");
  for (const generate::BatchSpeed& speed : results.speeds) {
    text += fmt::format("  {:>9} {:>8} {:>30} {:>30} {:>30}\n", speed.sequences, speed.context,
                        SpreadText(speed.first_token_seconds, 1e3),
                        SpreadText(speed.between_tokens_seconds, 1e3),
                        SpreadText(speed.cpu_seconds_per_step, 1e6));
  }
  Out(text);
}

nlohmann::json BatchJson(const BatchBenchArgs& args, const BatchResults& results) {
  nlohmann::json batch = nlohmann::json::array();
  for (const generate::BatchSpeed& speed : results.speeds) {
    batch.push_back({{"sequences", speed.sequences},
                     {"context", speed.context},
                     {"new_tokens", speed.new_tokens},
                     {"tokens_per_second", SpreadJson(speed.tokens_per_second)},
                     {"seconds_per_step", SpreadJson(speed.seconds_per_step)},
                     {"cpu_seconds_per_step", SpreadJson(speed.cpu_seconds_per_step)},
                     {"time_to_first_token_seconds", SpreadJson(speed.first_token_seconds)},
                     {"seconds_between_tokens", SpreadJson(speed.between_tokens_seconds)},
                     {"weight_bytes_per_step", speed.work.weight_bytes},
                     {"kv_bytes_per_step", speed.work.cache_bytes},
                     {"bytes_per_step", speed.work.bytes()},
                     {"bound_tokens_per_second", BoundRate(speed, results.bandwidth)},
                     {"read_bandwidth_share", RoofShare(speed, results.bandwidth)}});
  }
  return {
      {"sinter", SINTER_VERSION},
      {"model", args.model.model},
      {"device",
       {{"name", results.name},
        {"driver", results.driver},
        {"backend", results.backend},
        {"type", results.type},
        {"f16", results.f16}}},
      {"repeats", args.options.repeats},
      {"warm_up", args.options.warm_up},
      {"max_length", results.engine.max_length},
      {"kv_tokens", results.engine.kv_tokens},
      {"deterministic", results.engine.deterministic},
      {"capture", !args.model.no_capture},
      {"load_seconds", results.load_seconds},
      {"memory", {{"total_bytes", results.total_bytes}, {"weights_bytes", results.weight_bytes}}},
      {"read_bandwidth_bytes_per_second", results.bandwidth},
      {"batch", batch}};
}

void WriteBatchCsv(const std::string& file, const BatchResults& results) {
  std::ofstream stream = OpenOutput(file);
  stream << "figure,sequences,context,unit,median,min,max\n";
  const auto line = [&](std::string_view figure, int64_t sequences, int64_t context,
                        std::string_view unit, const generate::Spread& value) {
    stream << fmt::format("{},{},{},{},{:.9g},{:.9g},{:.9g}\n", figure, sequences, context, unit,
                          value.median, value.min, value.max);
  };
  const auto one = [](double value) { return generate::Spread{value, value, value}; };
  line("load", 0, 0, "s", one(results.load_seconds));
  line("memory_total", 0, 0, "B", one(static_cast<double>(results.total_bytes)));
  line("memory_weights", 0, 0, "B", one(static_cast<double>(results.weight_bytes)));
  line("read_bandwidth", 0, 0, "B/s", one(results.bandwidth));
  for (const generate::BatchSpeed& speed : results.speeds) {
    const auto row = [&](std::string_view figure, std::string_view unit,
                         const generate::Spread& value) {
      line(figure, speed.sequences, speed.context, unit, value);
    };
    row("decode", "token/s", speed.tokens_per_second);
    row("step", "s", speed.seconds_per_step);
    row("cpu_per_step", "s", speed.cpu_seconds_per_step);
    row("time_to_first_token", "s", speed.first_token_seconds);
    row("between_tokens", "s", speed.between_tokens_seconds);
    row("bytes_per_step", "B", one(speed.work.bytes()));
    row("bound", "token/s", one(BoundRate(speed, results.bandwidth)));
    row("read_bandwidth_share", "1", one(RoofShare(speed, results.bandwidth)));
  }
  CloseOutput(stream, file);
}

}  // namespace

void BenchBatch(const BatchBenchArgs& args) {
  model::ModelFolder folder = ReadModel(args.model);
  const int64_t most_sequences = std::ranges::max(args.batches);
  const int64_t longest = std::ranges::max(args.contexts);
  const int64_t needed = longest + args.options.new_tokens;
  const int64_t most =
      args.model.max_length ? MaxLength(args.model, folder.config) : folder.config.context_length;
  if (needed > most) {
    throw Error("bench", "length: got {} tokens with {} new ones, want at most {} together",
                longest, args.options.new_tokens, most);
  }
  BatchResults results;
  LoadedEngine loaded = LoadEngine(
      args.model, std::move(folder), Opening(args.model), [&](const engine::Model& model) {
        results.engine =
            generate::BatchBenchmarkEngine(model, most_sequences, longest, args.options);
        if (args.model.max_length) {
          // Sequences of the engine may be longer than those of the benchmark.
          results.engine.max_length = std::max(results.engine.max_length, most);
          results.engine.kv_tokens = std::max(results.engine.kv_tokens, most);
        }
        results.engine.deterministic = args.deterministic;
        return results.engine;
      });
  results.load_seconds = loaded.seconds;
  results.engine = loaded.engine->options();
  if (results.engine.max_batch < most_sequences) {
    throw Error("bench",
                "--batch: got {}, want at most {}: this model on this adapter runs no more",
                most_sequences, results.engine.max_batch);
  }
  engine::Model& model = **loaded.model;
  gpu::Device& device = *model.device();
  std::optional<StatusLine> status;
  status.emplace("measuring");
  results.bandwidth = run::MeasureReadBandwidth(device);
  for (const int64_t context : args.contexts) {
    for (const int64_t sequences : args.batches) {
      status.emplace(fmt::format("measuring {} sequences behind {} tokens", sequences, context));
      results.speeds.push_back(
          generate::MeasureBatch(*loaded.engine, model, sequences, context, args.options));
    }
  }
  status.reset();
  const gpu::AdapterInfo& adapter = device.adapter();
  results.name = adapter.name;
  results.driver = adapter.driver;
  results.backend = adapter.backend;
  results.type = adapter.type;
  results.f16 = adapter.caps.f16;
  results.weight_bytes = model.weights().bytes();
  results.total_bytes = device.allocated_bytes();
  if (!args.csv.empty()) WriteBatchCsv(args.csv, results);
  if (args.model.json) return OutJson(BatchJson(args, results));
  PrintBatches(args, results);
}

}  // namespace sinter::cli
