// sinter bench: measures how fast a model runs on this GPU and which kernels take the time.

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <filesystem>

#include "base/bytes_text.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/bench_batch.h"
#include "cli/bench_output.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/model_args.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "generate/benchmark.h"
#include "kernels/shader_source.h"
#include "run/probes.h"
#include "run/trace.h"

namespace sinter::cli {
namespace {

constexpr char kBenchFooter[] =
    R"(Every figure is the median of --repeat runs, with the least and the most. docs/benchmarks.md says
what each of them covers.

--batch measures many sequences side by side instead: each generates -n tokens behind a prompt of
--context tokens (512), while all others do.

Examples:
  sinter bench models/demo --prompt 16,64 -n 32
  sinter bench models/demo --context 128,512 --profile --trace trace.json
  sinter bench models/demo --batch 1,8,64
  sinter bench models/demo --json --csv figures.csv)";

struct BenchArgs {
  ModelArgs model;
  std::vector<int64_t> prompts = {512};
  std::vector<int64_t> contexts;
  int64_t new_tokens = 128;
  int repeats = 5;
  int warm_up = 1;
  bool no_cold_load = false;
  bool profile = false;
  std::vector<int64_t> batches;
  bool deterministic = false;
  std::string csv, trace, prompt_ids, logits;
};

struct Memory {
  uint64_t weights = 0, cache = 0, workspace = 0, total = 0;
};

struct ProfileResult {
  std::string name;
  int runs = 0;
  std::vector<run::KernelTime> kernels;  // mean of a run
  double nanoseconds = 0;                // mean of a run
};

struct Results {
  std::optional<double> cold_seconds;
  double load_seconds = 0;
  bool warm = false;
  Memory memory;
  double bandwidth = 0, matrix_peak = 0;
  size_t dispatches = 0;
  std::vector<generate::PrefillSpeed> prefill;
  std::vector<generate::DecodeSpeed> decode;
  std::vector<ProfileResult> profiles;
  std::vector<int32_t> tokens;  // chosen greedily; only with --logits
};

// Temporary folder for compiled shaders. The destructor removes it.
class TempCache {
 public:
  TempCache() {
    std::string name = (std::filesystem::temp_directory_path() / "sinter-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw Error("bench", "{}: got no temporary folder, want one to keep shaders in", name);
    }
    path_ = name;
  }
  ~TempCache() { Remove(); }
  void Remove() const {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempCache(const TempCache&) = delete;
  TempCache& operator=(const TempCache&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Reads the file of --prompt-ids, a JSON array.
std::vector<int32_t> ReadIds(const std::string& file) {
  const nlohmann::json json = ReadJsonFile(file, "bench", "a JSON array of token ids");
  if (!json.is_array()) {
    throw Error("bench", "{}: got {}, want a JSON array of token ids", file, JsonExcerpt(json));
  }
  std::vector<int32_t> ids;
  for (const nlohmann::json& id : json) {
    const std::optional<int64_t> number = JsonInt(id, 0, INT32_MAX);
    if (!number) throw Error("bench", "{}: got {}, want token ids", file, JsonExcerpt(id));
    ids.push_back(static_cast<int32_t>(*number));
  }
  return ids;
}

// Opens a new device and loads the model on it. Its time is the one that a user waits for.
Loaded LoadAnew(const BenchArgs& args, const gpu::DeviceOptions& device_options,
                int64_t max_length) {
  const auto start = std::chrono::steady_clock::now();
  const auto device = gpu::Device::Open(device_options);
  engine::OpenOptions options;
  options.model.progress = [](uint64_t, uint64_t) { CheckInterrupted(); };
  options.measuring = [](double) { CheckInterrupted(); };
  engine::OpenedModel opened =
      OpenFor(args.model, ReadModel(args.model), device, max_length, std::move(options));
  Loaded loaded;
  loaded.model = std::move(opened.model);
  loaded.session = std::move(opened.sequence);
  loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (args.model.explain) Explain(loaded);
  return loaded;
}

// Loads the model twice: without compiled shaders, then with those that the first load made in
// `cache`. Returns the second load's session. Without a cache, or with --no-cache, loads once.
Loaded LoadColdAndWarm(const BenchArgs& args, int64_t max_length, const TempCache* cache,
                       Results& results) {
  gpu::DeviceOptions options = ToDeviceOptions(args.model);
  if (cache == nullptr) {
    const StatusLine status("loading");
    results.warm = !args.model.no_cache;
    return LoadAnew(args, options, max_length);
  }
  const StatusLine status("loading, without compiled shaders first",
                          {.before_exit = [cache] { cache->Remove(); }});
  options.cache_dir = cache->path();
  results.cold_seconds = LoadAnew(args, options, max_length).seconds;
  results.warm = true;
  CheckInterrupted();
  return LoadAnew(args, options, max_length);
}

// Waits for what is compiled in the background, and lets the session take it: programs for long
// prompts are asked for by the first prompt that they would serve.
void Prime(engine::Sequence& session, std::span<const int32_t> prompt) {
  engine::ProgramSet& programs = session.model()->programs();
  // The first prompt finds the GPU at rest; how long it takes tells little of the chunk.
  constexpr int kRounds = 5;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t chunk = session.chunk();
    programs.Settle();
    CheckInterrupted();
    session.Rewind(0);
    session.Append(prompt);
    session.Wait();
    if (round > 1 && session.chunk() == chunk && !programs.IsPreparing()) break;
  }
  programs.Settle();
  session.Rewind(0);
}

ProfileResult Average(std::string name, const generate::Profile& runs) {
  ProfileResult result{std::move(name), static_cast<int>(runs.size()), {}, 0};
  std::vector<run::DispatchTime> all;
  for (const auto& run : runs) all.insert(all.end(), run.begin(), run.end());
  result.kernels = run::SumByKernel(all);
  const auto count = static_cast<double>(runs.size());
  for (run::KernelTime& kernel : result.kernels) {
    kernel.count /= runs.size();
    kernel.nanoseconds /= count;
    kernel.bytes /= count;
    kernel.flops /= count;
    result.nanoseconds += kernel.nanoseconds;
  }
  return result;
}

void Profile(const BenchArgs& args, engine::Sequence& session, std::span<const int32_t> prompt,
             std::span<const int32_t> context, const generate::BenchmarkOptions& options,
             Results& results) {
  const generate::Profile prefill = generate::ProfilePrefill(session, prompt, options);
  const generate::Profile decode = generate::ProfileDecode(session, context, options);
  results.profiles.push_back(Average(fmt::format("prefill of {} tokens", prompt.size()), prefill));
  results.profiles.push_back(Average(fmt::format("one token behind {}", context.size()), decode));
  if (args.trace.empty()) return;
  std::vector<run::TraceTrack> tracks;
  tracks.push_back({results.profiles[0].name, prefill.back()});
  tracks.push_back({fmt::format("decode behind {} tokens", context.size()), {}});
  for (const auto& token : decode) {
    tracks.back().times.insert(tracks.back().times.end(), token.begin(), token.end());
  }
  std::ofstream stream = OpenOutput(args.trace);
  run::WriteChromeTrace(tracks, stream);
  CloseOutput(stream, args.trace);
}

// Generates greedily and writes the logits of each token: f32, [new tokens, vocabulary]. Returns
// the tokens.
std::vector<int32_t> WriteLogits(const std::string& file, int64_t count, engine::Sequence& session,
                                 std::span<const int32_t> prompt) {
  std::ofstream stream = OpenOutput(file);
  session.Rewind(0);
  session.Append(prompt);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    CheckInterrupted();
    const std::vector<float> logits = session.Logits();
    stream.write(reinterpret_cast<const char*>(logits.data()),
                 static_cast<std::streamsize>(logits.size() * sizeof(float)));
    const auto best = std::max_element(logits.begin(), logits.end());
    tokens.push_back(static_cast<int32_t>(best - logits.begin()));
    if (i + 1 < count) session.Append({&tokens.back(), 1});
  }
  CloseOutput(stream, file);
  return tokens;
}

// --- Output -------------------------------------------------------------------------------------

generate::Spread PerSecond(const generate::Spread& seconds, double count) {
  const auto rate = [count](double value) { return value > 0 ? count / value : 0; };
  return {rate(seconds.median), rate(seconds.max), rate(seconds.min)};
}

generate::Spread PrefillRate(const generate::PrefillSpeed& speed) {
  return PerSecond(speed.seconds, static_cast<double>(speed.tokens));
}
generate::Spread DecodeRate(const generate::DecodeSpeed& speed) {
  return PerSecond(speed.seconds_per_token, 1);
}
double BytesPerToken(const generate::DecodeSpeed& speed) {
  return speed.work.weight_bytes + speed.work.cache_bytes;
}
double BandwidthShare(const generate::DecodeSpeed& speed, double bandwidth) {
  return bandwidth > 0 ? BytesPerToken(speed) / speed.seconds_per_token.median / bandwidth : 0;
}

void PrintProfile(const ProfileResult& profile, double bandwidth, double matrix_peak) {
  std::string text = fmt::format("\n{}: {:.1f} us in kernels (mean of {})\n", profile.name,
                                 profile.nanoseconds / 1e3, profile.runs);
  size_t width = 6;
  for (const run::KernelTime& kernel : profile.kernels) {
    width = std::max(width, kernel.variant.size());
  }
  text += fmt::format("  {:<{}} {:>6} {:>11} {:>7} {:>9} {:>7} {:>9} {:>7}\n", "kernel", width,
                      "count", "total us", "share", "GB/s", "of roof", "TFLOP/s", "of peak");
  for (const run::KernelTime& kernel : profile.kernels) {
    const double rate = kernel.bytes_per_second();
    text += fmt::format(
        "  {:<{}} {:>6} {:>11.1f} {:>6.1f}% {:>9} {:>7} {:>9} {:>7}\n", kernel.variant, width,
        kernel.count, kernel.nanoseconds / 1e3, kernel.share * 100,
        rate > 0 ? fmt::format("{:.1f}", rate / 1e9) : "-",
        rate > 0 && bandwidth > 0 ? fmt::format("{:.1f}%", rate / bandwidth * 100) : "-",
        kernel.flops > 0 ? fmt::format("{:.3f}", kernel.flops_per_second() / 1e12) : "-",
        kernel.flops > 0 && matrix_peak > 0
            ? fmt::format("{:.1f}%", kernel.flops_per_second() / matrix_peak * 100)
            : "-");
  }
  Out(text);
}

void Print(const BenchArgs& args, const Loaded& loaded, const Results& results) {
  const gpu::AdapterInfo& adapter = loaded.model->device()->adapter();
  std::string text = fmt::format("{} on {} ({}, {})\n", args.model.model, adapter.name,
                                 adapter.backend, adapter.driver);
  text += "load        ";
  if (results.cold_seconds) text += fmt::format("{:.2f} s cold, ", *results.cold_seconds);
  text += fmt::format("{:.2f} s {}\n", results.load_seconds,
                      results.warm ? "with compiled shaders" : "without compiled shaders");
  text += fmt::format("GPU memory  {}: weights {}, KV cache {} ({} tokens), workspace {}\n",
                      BytesText(results.memory.total), BytesText(results.memory.weights),
                      BytesText(results.memory.cache), loaded.session->max_length(),
                      BytesText(results.memory.workspace));
  text += fmt::format("read        {:.1f} GB/s from this GPU's memory\n", results.bandwidth / 1e9);
  if (results.matrix_peak > 0) {
    text += fmt::format("multiply    {:.4g} TFLOP/s on matrices of f16 with f32 sums\n",
                        results.matrix_peak / 1e12);
  }
  text += fmt::format("dispatches  {} a token\n", results.dispatches);

  text += fmt::format("\n  {:>8} {:>32} {:>32}\n", "prompt", "prefill tokens/s",
                      "time to first token, ms");
  for (const generate::PrefillSpeed& speed : results.prefill) {
    text += fmt::format("  {:>8} {:>32} {:>32}\n", speed.tokens, SpreadText(PrefillRate(speed)),
                        SpreadText(speed.first_token_seconds, 1e3));
  }
  text += fmt::format("\n  {:>8} {:>32} {:>10} {:>8} {:>30}\n", "context", "decode tokens/s",
                      "a token", "of roof", "CPU us a token");
  for (const generate::DecodeSpeed& speed : results.decode) {
    text += fmt::format("  {:>8} {:>32} {:>10} {:>7.1f}% {:>30}\n", speed.context,
                        SpreadText(DecodeRate(speed)),
                        BytesText(static_cast<uint64_t>(BytesPerToken(speed))),
                        BandwidthShare(speed, results.bandwidth) * 100,
                        SpreadText(speed.cpu_seconds_per_token, 1e6));
  }
  Out(text);
  for (const ProfileResult& profile : results.profiles)
    PrintProfile(profile, results.bandwidth, results.matrix_peak);
}

nlohmann::json Json(const ProfileResult& profile) {
  nlohmann::json kernels = nlohmann::json::array();
  for (const run::KernelTime& kernel : profile.kernels) {
    kernels.push_back({{"variant", kernel.variant},
                       {"count", kernel.count},
                       {"microseconds", kernel.nanoseconds / 1e3},
                       {"share", kernel.share},
                       {"bytes", kernel.bytes},
                       {"flops", kernel.flops},
                       {"gigabytes_per_second", kernel.bytes_per_second() / 1e9},
                       {"teraflops_per_second", kernel.flops_per_second() / 1e12}});
  }
  return {{"name", profile.name},
          {"runs", profile.runs},
          {"microseconds", profile.nanoseconds / 1e3},
          {"kernels", kernels}};
}

nlohmann::json ToJson(const BenchArgs& args, const Loaded& loaded, const Results& results) {
  const gpu::AdapterInfo& adapter = loaded.model->device()->adapter();
  nlohmann::json prefill = nlohmann::json::array(), decode = nlohmann::json::array();
  for (const generate::PrefillSpeed& speed : results.prefill) {
    prefill.push_back({{"tokens", speed.tokens},
                       {"tokens_per_second", SpreadJson(PrefillRate(speed))},
                       {"seconds", SpreadJson(speed.seconds)},
                       {"time_to_first_token_seconds", SpreadJson(speed.first_token_seconds)}});
  }
  for (const generate::DecodeSpeed& speed : results.decode) {
    decode.push_back({{"context", speed.context},
                      {"new_tokens", speed.new_tokens},
                      {"tokens_per_second", SpreadJson(DecodeRate(speed))},
                      {"seconds_per_token", SpreadJson(speed.seconds_per_token)},
                      {"cpu_seconds_per_token", SpreadJson(speed.cpu_seconds_per_token)},
                      {"weight_bytes_per_token", speed.work.weight_bytes},
                      {"kv_bytes_per_token", speed.work.cache_bytes},
                      {"bytes_per_token", BytesPerToken(speed)},
                      {"read_bandwidth_share", BandwidthShare(speed, results.bandwidth)}});
  }
  nlohmann::json load = {
      {results.warm ? "warm_seconds" : "uncached_seconds", results.load_seconds}};
  if (results.cold_seconds) load["cold_seconds"] = *results.cold_seconds;
  nlohmann::json json = {{"sinter", SINTER_VERSION},
                         {"model", args.model.model},
                         {"device",
                          {{"name", adapter.name},
                           {"driver", adapter.driver},
                           {"backend", adapter.backend},
                           {"type", adapter.type},
                           {"f16", adapter.caps.f16}}},
                         {"repeats", args.repeats},
                         {"warm_up", args.warm_up},
                         {"max_length", loaded.session->max_length()},
                         {"chunk", loaded.session->chunk()},
                         {"capture", !args.model.no_capture},
                         {"load", load},
                         {"memory",
                          {{"total_bytes", results.memory.total},
                           {"weights_bytes", results.memory.weights},
                           {"kv_cache_bytes", results.memory.cache},
                           {"workspace_bytes", results.memory.workspace}}},
                         {"read_bandwidth_bytes_per_second", results.bandwidth},
                         {"matrix_peak_flops_per_second", results.matrix_peak},
                         {"dispatches_per_token", results.dispatches},
                         {"prefill", prefill},
                         {"decode", decode}};
  for (const ProfileResult& profile : results.profiles) json["profiles"].push_back(Json(profile));
  if (!args.logits.empty()) {
    json["logits"] = {{"file", args.logits},
                      {"tokens", results.tokens},
                      {"vocab_size", loaded.model->config().vocab_size}};
  }
  return json;
}

void WriteCsv(const std::string& file, const Results& results) {
  std::ofstream stream = OpenOutput(file);
  stream << "figure,tokens,unit,median,min,max\n";
  const auto line = [&](std::string_view figure, int64_t tokens, std::string_view unit,
                        const generate::Spread& value) {
    stream << fmt::format("{},{},{},{:.9g},{:.9g},{:.9g}\n", figure, tokens, unit, value.median,
                          value.min, value.max);
  };
  const auto one = [&](std::string_view figure, std::string_view unit, double value) {
    line(figure, 0, unit, {value, value, value});
  };
  if (results.cold_seconds) one("load_cold", "s", *results.cold_seconds);
  one(results.warm ? "load_warm" : "load_uncached", "s", results.load_seconds);
  one("memory_total", "B", static_cast<double>(results.memory.total));
  one("memory_weights", "B", static_cast<double>(results.memory.weights));
  one("memory_kv_cache", "B", static_cast<double>(results.memory.cache));
  one("memory_workspace", "B", static_cast<double>(results.memory.workspace));
  one("read_bandwidth", "B/s", results.bandwidth);
  if (results.matrix_peak > 0) one("matrix_peak", "FLOP/s", results.matrix_peak);
  one("dispatches_per_token", "1", static_cast<double>(results.dispatches));
  for (const generate::PrefillSpeed& speed : results.prefill) {
    line("prefill", speed.tokens, "token/s", PrefillRate(speed));
    line("time_to_first_token", speed.tokens, "s", speed.first_token_seconds);
  }
  for (const generate::DecodeSpeed& speed : results.decode) {
    line("decode", speed.context, "token/s", DecodeRate(speed));
    line("cpu_per_token", speed.context, "s", speed.cpu_seconds_per_token);
    const double bytes = BytesPerToken(speed);
    line("bytes_per_token", speed.context, "B", {bytes, bytes, bytes});
    const double share = BandwidthShare(speed, results.bandwidth);
    line("read_bandwidth_share", speed.context, "1", {share, share, share});
  }
  CloseOutput(stream, file);
}

void Bench(BenchArgs args) {
  const model::GenaiConfig config = ReadModel(args.model).config;
  std::vector<int32_t> ids;
  if (!args.prompt_ids.empty()) {
    ids = ReadIds(args.prompt_ids);
    if (ids.empty()) throw Error("bench", "{}: got no ids, want one at least", args.prompt_ids);
    args.prompts = {static_cast<int64_t>(ids.size())};
  }
  if (args.contexts.empty()) args.contexts = args.prompts;
  if (!args.trace.empty()) args.profile = true;
  // The cache is just as long as needed, unless --max-length asks for more.
  const int64_t longest = std::max(*std::max_element(args.prompts.begin(), args.prompts.end()),
                                   *std::max_element(args.contexts.begin(), args.contexts.end()));
  // A profile takes one step for each run, after a first step.
  const int64_t profiled = args.profile ? 1 + args.warm_up + args.repeats : 0;
  const int64_t generated = std::max<int64_t>(args.new_tokens, profiled);
  const int64_t needed = longest + generated;
  const int64_t max_length = args.model.max_length ? MaxLength(args.model, config) : needed;
  MaxLength(args.model, config);
  if (needed > std::min(max_length, config.context_length)) {
    throw Error("bench", "length: got {} tokens with {} new ones, want at most {} together",
                longest, generated, std::min(max_length, config.context_length));
  }
  if (!args.model.wgsl_dir.empty()) kernels::SetWgslOverrideDir(args.model.wgsl_dir);
  const auto prompt_of = [&](int64_t length) {
    return ids.empty() || length != static_cast<int64_t>(ids.size())
               ? generate::MadeUpPrompt(length, config.vocab_size)
               : ids;
  };

  Results results;
  // The device keeps shaders there as long as it lives.
  std::optional<TempCache> cache;
  if (!args.no_cold_load && !args.model.no_cache) cache.emplace();
  const Loaded loaded = LoadColdAndWarm(args, max_length, cache ? &*cache : nullptr, results);
  engine::Sequence& session = *loaded.session;
  gpu::Device& device = *loaded.model->device();
  results.load_seconds = loaded.seconds;
  StatusLine status("measuring", {.before_exit = [&cache] {
                      if (cache) cache->Remove();
                    }});
  results.bandwidth = run::MeasureReadBandwidth(device);
  results.matrix_peak = run::MeasureMatrixPeak(device);

  generate::BenchmarkOptions options;
  options.new_tokens = args.new_tokens;
  options.repeats = args.repeats;
  options.warm_up = args.warm_up;
  options.check = CheckInterrupted;
  Prime(session, prompt_of(longest));
  results.dispatches = session.GreedyDispatches();
  for (const int64_t length : args.prompts) {
    results.prefill.push_back(generate::MeasurePrefill(session, prompt_of(length), options));
  }
  for (const int64_t length : args.contexts) {
    results.decode.push_back(generate::MeasureDecode(session, prompt_of(length), options));
  }
  // Memory is read after the prompts have run, because a long one may have made a program.
  results.memory.weights = loaded.model->weights().bytes();
  results.memory.cache = session.cache_bytes();
  results.memory.total = device.allocated_bytes();
  results.memory.workspace =
      results.memory.total -
      std::min(results.memory.total, results.memory.weights + results.memory.cache);
  if (args.profile) {
    Profile(args, session, prompt_of(args.prompts[0]), prompt_of(args.contexts[0]), options,
            results);
  }
  if (!args.logits.empty()) {
    results.tokens = WriteLogits(args.logits, args.new_tokens, session, prompt_of(args.prompts[0]));
  }
  status.End();
  if (!args.csv.empty()) WriteCsv(args.csv, results);
  if (args.model.json) return OutJson(ToJson(args, loaded, results));
  Print(args, loaded, results);
}

}  // namespace

void AddBench(CLI::App& app) {
  auto args = std::make_shared<BenchArgs>();
  CLI::App* command = app.add_subcommand("bench", "Measure a model's speed on this GPU");
  command->footer(kBenchFooter);
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  command->add_option("-p,--prompt", args->prompts, "Prompt lengths, in tokens, such as 16,512")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(WholeNumber(1))
      ->capture_default_str();
  command
      ->add_option(
          "--context", args->contexts,
          "Tokens before the generated ones, where decoding is measured (default: those of "
          "--prompt)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(WholeNumber(1));
  command->add_option("-n,--new-tokens", args->new_tokens, "Tokens to generate in each run")
      ->check(WholeNumber(2))
      ->capture_default_str();
  command->add_option("-r,--repeat", args->repeats, "Runs that count")
      ->check(WholeNumber(1, INT_MAX))
      ->capture_default_str();
  command->add_option("--warm-up", args->warm_up, "Runs before them that do not count")
      ->check(WholeNumber(0, INT_MAX))
      ->capture_default_str();
  command->add_flag("--no-cold-load", args->no_cold_load,
                    "Load once, with the shaders that earlier runs have compiled");
  command->add_flag("--profile", args->profile, "Also measure the time of each kernel");
  command->add_option("--csv", args->csv, "Also write the figures to this file")
      ->type_name("FILE")
      ->configurable(false);
  command
      ->add_option("--trace", args->trace,
                   "Write the profile as a Chrome trace (chrome://tracing, ui.perfetto.dev)")
      ->type_name("FILE")
      ->configurable(false);
  command
      ->add_option("--prompt-ids", args->prompt_ids,
                   "The prompt, as a JSON array of token ids, instead of a made-up one")
      ->type_name("FILE")
      ->configurable(false);
  command
      ->add_option("--logits", args->logits,
                   "Write the logits after the first prompt and of each of -n greedy tokens: "
                   "little-endian f32, [tokens, vocabulary]")
      ->type_name("FILE")
      ->configurable(false);
  CLI::Option* batch =
      command
          ->add_option("--batch", args->batches,
                       "Measure so many sequences side by side, such as 1,8,64, instead of one")
          ->delimiter(',')
          ->allow_extra_args(false)
          ->type_name("N")
          ->check(WholeNumber(1, engine::kMaxBatch));
  command
      ->add_flag("--deterministic", args->deterministic,
                 "With --batch: compute each sequence so that no other can change its tokens")
      ->needs(batch);
  for (const char* name :
       {"--prompt", "--profile", "--trace", "--prompt-ids", "--logits", "--chunk", "--explain"})
    batch->excludes(command->get_option(name));
  command->callback([args] {
    if (args->batches.empty()) return Bench(*args);
    BenchBatch({args->model,
                args->batches,
                args->contexts.empty() ? std::vector<int64_t>{512} : args->contexts,
                {args->new_tokens, args->repeats, args->warm_up, CheckInterrupted},
                args->deterministic,
                args->csv});
  });
}

}  // namespace sinter::cli
