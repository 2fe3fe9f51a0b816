// sinter convert: makes a model folder from a Hugging Face checkpoint or from random weights.

#include "convert/convert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "base/bytes_text.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/checks.h"
#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/model_input.h"
#include "cli/model_names.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "cli/status_text.h"
#include "cli/usage.h"
#include "convert/json.h"
#include "interpret/interpreter.h"
#include "model/genai_config.h"
#include "onnx/reader.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

constexpr char kConvertFooter[] =
    R"(CHECKPOINT holds config.json, model.safetensors (or several with an index) and tokenizer.json. The
new folder loads in Sinter and in ONNX Runtime GenAI. It appears when it is complete, or not at all.

Examples:
  sinter convert ~/Qwen3-0.6B && sinter chat qwen3-0.6b
  sinter convert ~/Qwen3-0.6B ./qwen3-0.6b-int8 --bits 8
  sinter convert ~/Llama-3.2-1B-Instruct llama --block-size 64 --mixed
  sinter convert --random 1 --config llama-3.2-1b --layers 4 llama-speed)";

struct ConvertArgs {
  std::vector<std::string> folders;
  convert::ConvertOptions options;
  std::string dtype = "f16";
  std::optional<uint64_t> random;
  std::string config;
  bool verify = false;
  bool json = false;
};

// Largest model that --verify takes: the interpreter holds each weight as a double, and takes about
// a second for 10^8 products.
constexpr int64_t kMaxVerifyWeights = int64_t{1} << 26;
constexpr int64_t kVerifyTokens = 16;

std::vector<double> InterpretLogits(const graph::Graph& source, const model::GenaiConfig& config,
                                    const std::vector<double>& tokens) {
  const auto length = static_cast<int64_t>(tokens.size());
  const std::unique_ptr<graph::Graph> symbolic = source.Clone();
  passes::PassOptions options;
  options.disabled = {"last_row_logits"};
  options.multi_rotary_offset = config.multi_rotary_offset;
  passes::RunPasses(*symbolic, passes::Stage::kModel, options);
  const auto graph = passes::Specialize(*symbolic, {{"batch_size", 1},
                                                    {"sequence_length", length},
                                                    {"past_sequence_length", 0},
                                                    {"total_sequence_length", length}});
  interpret::HostTensors inputs;
  for (const graph::Value* input : graph->inputs()) {
    interpret::HostTensor tensor{input->dtype, input->shape(), {}, {}};
    if (input->name() == "input_ids") {
      tensor.values = tokens;
    } else {
      tensor.values.assign(static_cast<size_t>(graph::NumElements(tensor.shape)), 1);
    }
    inputs[input->name()] = std::move(tensor);
  }
  return interpret::Interpret(*graph, inputs).at("logits").values;
}

struct Verified {
  double max_abs = 0, cosine = 1;
  int64_t tokens_agree = 0, tokens = 0;
};

// Compares the logits of the new folder with those of the checkpoint's unquantized weights.
Verified Verify(const std::filesystem::path& out, const graph::Graph& reference) {
  const model::GenaiConfig config = model::ReadGenaiConfig(out / "genai_config.json");
  const auto converted = onnx::ReadModel(out / "model.onnx");
  std::mt19937 random(1);
  std::vector<double> tokens(static_cast<size_t>(std::min(kVerifyTokens, config.context_length)));
  for (double& token : tokens) token = static_cast<double>(random() % config.vocab_size);
  const std::vector<double> want = InterpretLogits(reference, config, tokens);
  const std::vector<double> got = InterpretLogits(*converted, config, tokens);
  Verified result;
  result.tokens = static_cast<int64_t>(tokens.size());
  const auto vocab = static_cast<size_t>(config.vocab_size);
  for (size_t row = 0; row < tokens.size(); ++row) {
    double dot = 0, got_norm = 0, want_norm = 0;
    const double *a = got.data() + row * vocab, *b = want.data() + row * vocab;
    for (size_t i = 0; i < vocab; ++i) {
      // A NaN must not pass as "no difference".
      if (!std::isfinite(a[i])) throw Error("convert", "--verify: got a logit that is not finite");
      result.max_abs = std::max(result.max_abs, std::abs(a[i] - b[i]));
      dot += a[i] * b[i];
      got_norm += a[i] * a[i];
      want_norm += b[i] * b[i];
    }
    result.cosine =
        std::min(result.cosine, dot / std::sqrt(std::max(got_norm * want_norm, 1e-300)));
    result.tokens_agree += std::max_element(a, a + vocab) - a == std::max_element(b, b + vocab) - b;
  }
  return result;
}

// Returns the configuration that --config names: a shipped one, or else the contents of a file.
nlohmann::json ConfigOf(const std::string& name) {
  if (const std::string_view json = convert::ShippedConfig(name); !json.empty()) {
    return convert::ParseJson(json, name);
  }
  if (!IsPresent(name)) {
    throw Error("convert", "--config: got '{}', want a config.json or one of {}", name,
                fmt::join(convert::ShippedConfigNames(), ", "));
  }
  return convert::ReadJson(name);
}

// Returns a path whose last part names the configuration of --config.
std::filesystem::path ConfigName(const std::filesystem::path& config) {
  if (config.filename() == "config.json") return std::filesystem::absolute(config).parent_path();
  return config.extension() == ".json" ? config.parent_path() / config.stem() : config;
}

// Returns a new folder in the folder of models, named after the checkpoint or the configuration.
std::filesystem::path NewModelFolder(const ConvertArgs& args) {
  const std::filesystem::path own = OwnModelsFolder();
  if (own.empty()) {
    throw Error("convert",
                "folder of models: got neither XDG_DATA_HOME nor HOME, want one of them, or OUT");
  }
  std::string name = NameForCheckpoint(args.random ? ConfigName(args.config)
                                                   : std::filesystem::path(args.folders[0]));
  if (args.random) name += "-random";
  if (args.options.decoder.format.bits != 4)
    name += fmt::format("-int{}", args.options.decoder.format.bits);
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(own / name, error))) {
    throw Error("convert",
                "'{}': got a model of that name already, want OUT, or first: sinter rm {}",
                (own / name).string(), name);
  }
  std::filesystem::create_directories(own, error);
  if (error) {
    throw Error("convert",
                "'{}': got '{}', want a folder of models to write to (XDG_DATA_HOME), or OUT",
                own.string(), error.message());
  }
  return own / name;
}

void CheckVerify(const ConvertArgs& args) {
  if (args.random) throw UsageError("--verify: got --random, want a checkpoint to compare with");
  const int64_t weights = convert::CountWeights(args.folders[0], args.options);
  if (weights > kMaxVerifyWeights) {
    throw Error("convert",
                "--verify: got {} weights, want at most {}: the CPU reference is "
                "slow (--layers cuts a model)",
                weights, kMaxVerifyWeights);
  }
}

void Convert(ConvertArgs& args) {
  convert::ConvertOptions& options = args.options;
  options.decoder.dtype = args.dtype == "f32" ? DType::kF32 : DType::kF16;
  const size_t inputs = args.random ? 0 : 1;
  if (args.folders.size() != inputs && args.folders.size() != inputs + 1) {
    throw UsageError("got {} folders, want {}", args.folders.size(),
                     args.random ? "[OUT] alone with --random" : "CHECKPOINT [OUT]");
  }
  if (args.random.has_value() != !args.config.empty()) {
    throw UsageError("--random and --config must be used together: got one of them, want both");
  }
  if (!args.random) CheckCheckpointInput(args.folders[0]);
  const bool named = args.folders.size() == inputs;
  if (named) args.folders.push_back(NewModelFolder(args).string());
  // A folder that no tokenizer can be read from would not run.
  if (const auto file = std::filesystem::path(args.folders[0]) / "tokenizer.json";
      !args.random && IsPresent(file)) {
    text::Tokenizer::FromFile(file);
  }
  // Reasons against a comparison are reported before the conversion begins.
  std::unique_ptr<graph::Graph> reference;
  if (args.verify) {
    CheckVerify(args);
    reference = convert::ReferenceGraph(args.folders[0], options);
  }
  convert::ConvertReport report;
  {
    std::atomic<uint64_t> written = 0, all = 0;
    // The folder is removed by the one who makes it.
    StatusLine status(
        [&](size_t columns) {
          return all == 0 ? FitColumns("reading the checkpoint", columns)
                          : BytesProgressText("writing", written, all, columns);
        },
        {.on_signal = OnSignal::kGoOn});
    options.progress = [&](uint64_t done, uint64_t total) {
      CheckInterrupted();
      written = done;
      all = total;
    };
    report = args.random ? convert::ConvertRandom(ConfigOf(args.config), args.config, *args.random,
                                                  args.folders.back(), options)
                         : convert::ConvertCheckpoint(args.folders[0], args.folders[1], options);
    options.progress = nullptr;
  }
  if (!report.whole_architecture.empty()) {
    Err(fmt::format("sinter: note: took the language model of {}; it reads no images\n",
                    report.whole_architecture));
  }
  if (!report.unknown_fields.empty()) {
    Err(fmt::format("sinter: note: config.json has fields that convert does not know: {}\n",
                    JsonExcerpt(report.unknown_fields)));
  }
  std::optional<Verified> verified;
  if (reference) verified = Verify(args.folders[1], *reference);
  if (args.json) {
    nlohmann::json json = {
        {"folder", args.folders.back()}, {"architecture", report.architecture},
        {"layers", report.layers},       {"vocabulary", report.vocab},
        {"bytes", report.bytes},         {"unknown_fields", report.unknown_fields}};
    if (verified) {
      json["verify"] = {{"max_abs", verified->max_abs},
                        {"min_cosine", verified->cosine},
                        {"tokens_agree", verified->tokens_agree},
                        {"tokens", verified->tokens}};
    }
    OutJson(json);
    return;
  }
  Out(fmt::format("{}: {}, {} layers, {}\n", args.folders.back(), report.architecture,
                  report.layers, BytesText(report.bytes)));
  if (named) {
    const std::string name = std::filesystem::path(args.folders.back()).filename().string();
    const bool chats =
        IsPresent(std::filesystem::path(args.folders.back()) / "chat_template.jinja");
    Out(chats ? fmt::format("next: sinter chat {}\n", name)
              : fmt::format("next: sinter run {} -p \"Once upon a time\"\n", name));
  }
  if (verified) {
    Out(
        fmt::format("against the unquantized weights: max abs {:.4f}, min cosine {:.5f}, best "
                    "tokens {}/{}\n",
                    verified->max_abs, verified->cosine, verified->tokens_agree, verified->tokens));
  }
}

}  // namespace

void AddConvert(CLI::App& app) {
  auto args = std::make_shared<ConvertArgs>();
  CLI::App* command =
      app.add_subcommand("convert", "Make a model folder from a Hugging Face checkpoint");
  command->footer(kConvertFooter);
  convert::DecoderOptions& decoder = args->options.decoder;
  const auto take = [args](const std::string& folder) { args->folders.push_back(folder); };
  CLI::Option* checkpoint =
      command
          ->add_option_function<std::string>("CHECKPOINT", take,
                                             "Folder of the checkpoint; left out with --random")
          ->required()
          ->type_name("DIR")
          ->configurable(false);
  command
      ->add_option_function<std::string>(
          "OUT", take,
          "The new folder (default: the checkpoint's name in the folder of models; see: sinter "
          "list)")
      ->type_name("DIR")
      ->configurable(false);
  command->add_option("--bits", decoder.format.bits, "Bits per weight: 4 or 8")
      ->check(OneOf({"4", "8"}))
      ->capture_default_str();
  command->add_option("--block-size", decoder.format.block_size, "Weights that share a scale")
      ->check(OneOf({"16", "32", "64", "128", "256"}))
      ->capture_default_str();
  command->add_flag("--asymmetric", decoder.format.zero_points, "Give every block a zero point");
  command->add_flag("--mixed", decoder.mixed,
                    "Keep lm_head and the first and the last layer at 8 bits");
  command->add_flag("--json", args->json, "Print JSON");
  command->add_option("--dtype", args->dtype, "Type of activations, norms and scales: f16 or f32")
      ->check(OneOf({"f16", "f32"}))
      ->type_name("TYPE")
      ->capture_default_str()
      ->group(kAdvanced);
  command
      ->add_option("--accuracy-level", decoder.accuracy_level,
                   "Attribute of MatMulNBits, 0 to 4; 4 lets ONNX Runtime quantize activations to "
                   "int8")
      ->check(WholeNumber(0, 4))
      ->capture_default_str()
      ->group(kAdvanced);
  command
      ->add_flag("--graph-capture", decoder.graph_capture,
                 "Write the graph in a form that ONNX Runtime can capture on a GPU")
      ->group(kAdvanced);
  command
      ->add_flag("--separate-qk-norm", decoder.separate_qk_norm,
                 "Write the norms of query and key as nodes of their own, which ONNX Runtime's CPU "
                 "provider needs")
      ->group(kAdvanced);
  command
      ->add_flag(
          "--verify", args->verify,
          "Compare the logits with those of the unquantized weights, on the CPU (small models "
          "only)")
      ->configurable(false)
      ->group(kAdvanced);
  command->add_option("--layers", args->options.layers, "Convert only the first N layers")
      ->check(WholeNumber(1))
      ->configurable(false)
      ->group(kAdvanced);
  command
      ->add_option("--random", args->random, "Write random weights from this seed; needs --config")
      ->each([checkpoint](const std::string&) { checkpoint->required(false); })
      ->check(WholeNumber(0))
      ->type_name("SEED")
      ->configurable(false)
      ->group(kAdvanced);
  command
      ->add_option("--config", args->config,
                   fmt::format("Shape of the model of --random: a config.json, or one of {}",
                               fmt::join(convert::ShippedConfigNames(), ", ")))
      ->type_name("FILE")
      ->configurable(false)
      ->group(kAdvanced);
  command->callback([args] {
    try {
      Convert(*args);
    } catch (const convert::LayersError& error) {
      throw UsageError("{}", ToFailure(error).message);
    } catch (const Error&) {
      if (!args->random && !args->folders.empty()) CheckDownload(args->folders[0]);
      throw;
    }
  });
}

}  // namespace sinter::cli
