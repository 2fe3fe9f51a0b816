#include "convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>

#include "convert/json.h"
#include "convert/plain_forward_testing.h"
#include "convert/rotary.h"
#include "convert/testing.h"
#include "graph/verify.h"
#include "interpret/interpreter.h"
#include "onnx/reader.h"
#include "passes/fold_attention_mask.h"
#include "passes/fold_last_position.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"

namespace sinter::convert {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

ConvertOptions Options(int bits = 4, DType dtype = DType::kF16) {
  ConvertOptions options;
  options.decoder.format.bits = bits;
  options.decoder.format.block_size = 16;
  options.decoder.dtype = dtype;
  return options;
}

// Returns the logits of `length` fixed tokens run at once. The default length exceeds the sliding
// windows.
std::vector<double> Logits(const graph::Graph& source, std::optional<int64_t> rotary_offset = {},
                           int64_t length = 12) {
  const auto symbolic = source.Clone();
  graph::Verify(*symbolic);
  passes::PassOptions pass_options;
  pass_options.disabled = {"last_row_logits"};
  pass_options.multi_rotary_offset = rotary_offset;
  passes::RunPasses(*symbolic, passes::Stage::kModel, pass_options);
  const auto graph = passes::Specialize(*symbolic, {{"batch_size", 1},
                                                    {"sequence_length", length},
                                                    {"past_sequence_length", 0},
                                                    {"total_sequence_length", length}});
  passes::RunPasses(*graph, passes::Stage::kProgram, pass_options);
  interpret::HostTensors inputs;
  for (const graph::Value* input : graph->inputs()) {
    interpret::HostTensor tensor{input->dtype, input->shape(), {}, {}};
    // The attention mask is all ones. The passes may have replaced it by its sum or by the position
    // of the last row.
    double value = 1;
    if (input->name() == passes::kTotalLength) value = static_cast<double>(length);
    if (input->name() == passes::kLastPosition) value = static_cast<double>(length - 1);
    tensor.values.assign(static_cast<size_t>(graph::NumElements(tensor.shape)), value);
    if (input->name() == "input_ids") {
      for (size_t i = 0; i < tensor.values.size(); ++i) tensor.values[i] = double((i * 37) % 300);
    }
    inputs[input->name()] = std::move(tensor);
  }
  return interpret::Interpret(*graph, inputs).at("logits").values;
}

double Distance(const std::vector<double>& got, const std::vector<double>& want) {
  double squares = 0, norm = 0;
  EXPECT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    squares += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(squares / norm);
}

std::vector<double> Converted(const std::string& name, const TestFolder& folder,
                              const ConvertOptions& options) {
  const fs::path out = folder / "out";
  fs::remove_all(out);
  ConvertCheckpoint(folder.path(), out, options);
  const nlohmann::json genai = ReadJson(out / "genai_config.json");
  const nlohmann::json& webgpu =
      genai["model"]["decoder"]["session_options"]["provider_options"][0]["webgpu"];
  std::optional<int64_t> offset;
  if (webgpu.contains("multiRotaryCacheConcatOffset")) {
    offset = std::stoll(webgpu["multiRotaryCacheConcatOffset"].get<std::string>());
  }
  const std::vector<double> logits =
      Logits(*onnx::ReadModel(out / "model.onnx"), offset, name == "phi3_longrope" ? 20 : 12);
  for (const double logit : logits) EXPECT_TRUE(std::isfinite(logit));
  return logits;
}

class Architectures : public testing::TestWithParam<std::string> {};

// Returns the logits that transformers would compute from the checkpoint for the tokens of
// Logits().
std::vector<double> PlainLogits(const std::string& name, const TestFolder& folder) {
  const CheckpointTensors tensors = ReadCheckpoint(folder.path());
  std::vector<int> tokens(name == "phi3_longrope" ? 20 : 12);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int>((i * 37) % 300);
  std::vector<double> all;
  for (const auto& row : PlainForward(tensors, SmallConfig(name)).Logits(tokens)) {
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

// Returns the median of the tokens' distances. If two experts are nearly tied, a rounded router may
// choose the other one, and that token's logits then differ completely.
double TypicalDistance(const std::vector<double>& got, const std::vector<double>& want) {
  std::vector<double> distances;
  for (size_t row = 0; row < want.size(); row += 320) {
    distances.push_back(Distance({got.begin() + row, got.begin() + row + 320},
                                 {want.begin() + row, want.begin() + row + 320}));
  }
  std::nth_element(distances.begin(), distances.begin() + distances.size() / 2, distances.end());
  return distances[distances.size() / 2];
}

TEST_P(Architectures, KeepTheirLogits) {
  TestFolder folder;
  WriteCheckpoint(GetParam(), folder);
  const bool experts = GetParam().starts_with("qwen3_moe") || GetParam().starts_with("gpt_oss");
  const std::vector<double> want = PlainLogits(GetParam(), folder);
  const auto reference = ReferenceGraph(folder.path(), Options());
  // The tolerance allows for norms and rotary tables rounded to f32.
  EXPECT_LT(Distance(Logits(*reference, {}, GetParam() == "phi3_longrope" ? 20 : 12), want), 1e-6);
  // A step at b bits is 2^-(b-1) of the block's largest magnitude. Rounding errors are uniform,
  // with a deviation of 0.29 steps, and weights have about 0.58 of the largest magnitude. The
  // relative error of one matrix is therefore 0.06 at 4 bits and 0.004 at 8. Each matrix of the two
  // to four layers adds an error of that size.
  const auto expect = [&](const ConvertOptions& options, double tolerance) {
    const std::vector<double> got = Converted(GetParam(), folder, options);
    EXPECT_LT(experts ? TypicalDistance(got, want) : Distance(got, want), tolerance);
  };
  for (const bool zero_points : {false, true}) {
    for (const DType dtype : {DType::kF16, DType::kF32}) {
      ConvertOptions eight = Options(8, dtype), four = Options(4, dtype);
      eight.decoder.format.zero_points = four.decoder.format.zero_points = zero_points;
      expect(eight, experts ? 0.05 : 0.03);
      expect(four, 0.4);
    }
  }
}

TEST_P(Architectures, FormsGiveTheSameLogits) {
  TestFolder folder;
  WriteCheckpoint(GetParam(), folder);
  const std::vector<double> want = Converted(GetParam(), folder, Options());
  ConvertOptions options = Options();
  options.decoder.graph_capture = true;
  EXPECT_LT(Distance(Converted(GetParam(), folder, options), want), 1e-9);
  options = Options();
  options.decoder.separate_qk_norm = true;
  EXPECT_LT(Distance(Converted(GetParam(), folder, options), want), 1e-9);
}

TEST_P(Architectures, RandomWeights) {
  TestFolder folder;
  nlohmann::json config = SmallConfig(GetParam());
  ConvertOptions options = Options();
  options.layers = 1;
  const ConvertReport report = ConvertRandom(config, "config", 1, folder / "out", options);
  EXPECT_EQ(report.layers, 1);
  const auto graph = onnx::ReadModel(folder / "out/model.onnx");
  EXPECT_EQ(graph->FindValue("past_key_values.1.key"), nullptr);
  double squares = 0;
  const std::vector<double> logits = Logits(*graph);
  for (const double logit : logits) squares += logit * logit;
  const double size = std::sqrt(squares / static_cast<double>(logits.size()));
  EXPECT_GT(size, 0.05);
  EXPECT_LT(size, 50);
}

INSTANTIATE_TEST_SUITE_P(All, Architectures, testing::ValuesIn(SmallNames()),
                         [](const auto& info) { return info.param; });

TEST(Convert, ShippedConfigsMakeGraphs) {
  for (const std::string_view name : ShippedConfigNames()) {
    TestFolder folder;
    nlohmann::json config = ParseJson(ShippedConfig(name), std::string(name));
    // The model has one layer of the real width, and a vocabulary small enough to be written fast.
    config["vocab_size"] = 1024;
    config["max_position_embeddings"] = config["model_type"] == "gpt_oss" ? 8192 : 4096;
    for (const char* id : {"bos_token_id", "eos_token_id", "pad_token_id"}) config[id] = 300;
    if (config.contains("num_local_experts")) config["num_local_experts"] = 4;
    ConvertOptions options;
    options.layers = 1;
    ConvertRandom(config, std::string(name), 1, folder / "out", options);
    graph::Verify(*onnx::ReadModel(folder / "out/model.onnx"));
  }
  EXPECT_EQ(ShippedConfigNames().size(), 7u);
  EXPECT_TRUE(ShippedConfig("none").empty());
}

// The expected counts are embedding and head plus, for each of two layers, query, key, value and
// output, and either the MLP or the router and the experts.
TEST(Convert, CountsWeights) {
  TestFolder folder;
  const int64_t common = 2 * 320 * 64 + 2 * 64 * (64 + 32 + 32 + 64);
  folder.Write("config.json", SmallConfig("llama").dump());
  EXPECT_EQ(CountWeights(folder.path(), Options()), common + 2 * 3 * 64 * 96);
  nlohmann::json config = SmallConfig("qwen3_moe");
  folder.Write("config.json", config.dump());
  const int64_t experts = config["num_experts"], inner = config["moe_intermediate_size"];
  EXPECT_EQ(CountWeights(folder.path(), Options()), common + 2 * experts * (64 + 3 * 64 * inner));
}

TEST(Convert, SharesTheTiedEmbedding) {
  TestFolder folder;
  WriteCheckpoint("qwen3", folder);
  ConvertCheckpoint(folder.path(), folder / "out", Options());
  const auto graph = onnx::ReadModel(folder / "out/model.onnx");
  EXPECT_EQ(graph->FindValue("lm_head.MatMul.weight_scales")->uses().size(), 2u);
  EXPECT_EQ(graph->FindValue("model.embed_tokens.weight"), nullptr);
}

TEST(Convert, MixedKeepsTheEndsAtEightBits) {
  TestFolder folder;
  WriteCheckpoint("smollm3", folder);
  ConvertOptions options = Options();
  options.decoder.mixed = true;
  ConvertCheckpoint(folder.path(), folder / "out", options);
  const auto graph = onnx::ReadModel(folder / "out/model.onnx");
  const auto has = [&](const std::string& name) { return graph->FindValue(name) != nullptr; };
  EXPECT_TRUE(has("lm_head.MatMul.weight_Q8"));
  EXPECT_TRUE(has("model.layers.0.mlp.up_proj.MatMul.weight_Q8"));
  EXPECT_TRUE(has("model.layers.1.mlp.up_proj.MatMul.weight_Q4"));
  EXPECT_TRUE(has("model.layers.3.mlp.up_proj.MatMul.weight_Q8"));
}

TEST(Convert, WritesTheOtherFiles) {
  TestFolder folder;
  WriteCheckpoint("llama", folder);
  folder.Write("generation_config.json",
               R"({"do_sample":true,"temperature":0.6,"top_p":0.9,"eos_token_id":[3,4]})");
  folder.Write("tokenizer_config.json", R"({"chat_template":"{{ x }}"})");
  const ConvertReport report = ConvertCheckpoint(folder.path(), folder / "out/", Options());
  EXPECT_EQ(report.architecture, "llama");
  EXPECT_GT(report.bytes, fs::file_size(folder / "out/model.onnx.data"));
  EXPECT_TRUE(fs::exists(folder / "out/tokenizer.json"));
  EXPECT_EQ(fs::file_size(folder / "out/chat_template.jinja"), 7u);
  const nlohmann::json genai = ReadJson(folder / "out/genai_config.json");
  EXPECT_EQ(genai["model"]["eos_token_id"], (std::vector<int>{3, 4}));
  EXPECT_EQ(genai["model"]["pad_token_id"], 3);
  EXPECT_EQ(genai["model"]["bos_token_id"], 257);
  EXPECT_EQ(genai["model"]["type"], "llama");
  EXPECT_EQ(genai["search"]["temperature"], 0.6);
  EXPECT_EQ(genai["search"]["do_sample"], true);
}

// Damage to a checkpoint and the error that it must cause.
struct Fault {
  std::string what, message;
  std::function<void(TestFolder&)> damage;
};

TEST(Convert, RefusesDamagedCheckpoints) {
  const auto config = [](const std::string& name, nlohmann::json value) {
    return [=](TestFolder& folder) {
      nlohmann::json json = SmallConfig("qwen3");
      json[name] = value;
      folder.Write("config.json", json.dump());
    };
  };
  const auto tensors = [](std::function<void(TestTensors&)> change) {
    return [=](TestFolder& folder) {
      TestTensors all = SmallTensors("qwen3");
      change(all);
      folder.Write("model.safetensors", all.File());
    };
  };
  const std::vector<Fault> faults = {
      {"missing", "tensor 'model.layers.1.self_attn.o_proj.weight': got no such tensor",
       tensors([](TestTensors& t) { t.Remove("model.layers.1.self_attn.o_proj.weight"); })},
      {"shape", "tensor 'model.norm.weight': got shape [65], want [64]",
       tensors([](TestTensors& t) { t.Add("model.norm.weight", {65}, 1); })},
      {"type", "tensor 'model.norm.weight': got type U8, want BF16",
       tensors([](TestTensors& t) { t.AddRandomBytes("model.norm.weight", {64}, 0, 1); })},
      {"unknown tensor", "tensor 'model.layers.0.extra.weight': got a tensor that",
       tensors([](TestTensors& t) { t.Add("model.layers.0.extra.weight", {2}, 1); })},
      {"past f16", "tensor 'model.layers.0.mlp.up_proj.weight': got weights too large for f16",
       tensors([](TestTensors& t) {
         t.Add("model.layers.0.mlp.up_proj.weight", {96, 64}, 1e9f);
       })},
      {"truncated", "is the file truncated?",
       [](TestFolder& folder) {
         fs::resize_file(folder / "model.safetensors",
                         fs::file_size(folder / "model.safetensors") / 2);
       }},
      {"no tensors", "got neither model.safetensors",
       [](TestFolder& folder) { fs::remove(folder / "model.safetensors"); }},
      {"no tokenizer", "got no tokenizer.json, want one",
       [](TestFolder& folder) { fs::remove(folder / "tokenizer.json"); }},
      {"no config", "config.json: got no such file",
       [](TestFolder& folder) { fs::remove(folder / "config.json"); }},
      {"list", "config.json: got an array, want an object",
       [](TestFolder& folder) { folder.Write("config.json", "[]"); }},
      {"architecture", "model_type: got 'mamba', want one of gemma3_text, gpt_oss, llama",
       config("model_type", "mamba")},
      {"hidden", "hidden_size: got 0, want 1 to", config("hidden_size", 0)},
      {"hidden past int64", "hidden_size: got 18446744073709551615, want an integer",
       config("hidden_size", UINT64_MAX)},
      {"layers of a window", "max_window_layers: got -1, want 0 to",
       config("max_window_layers", -1)},
      {"epsilon", "rms_norm_eps: got 2, want 0 to 1", config("rms_norm_eps", 2)},
      {"theta", "rope_theta: got 1e+300, want", config("rope_theta", 1e300)},
      {"two values of a key", "config.json: line 1, column 10: got the key \"a\" twice",
       [](TestFolder& folder) { folder.Write("config.json", R"({"a":1,"a":1})"); }},
      {"deep", "nested more than 128 deep",
       [](TestFolder& folder) { folder.Write("config.json", std::string(75'000, '[')); }},
      {"deep generation",
       "generation_config.json: line 1, column 129: got arrays and objects nested",
       [](TestFolder& folder) {
         folder.Write("generation_config.json", std::string(75'000, '['));
       }},
      {"heads", "num_key_value_heads: got 3, want a divisor of 4",
       config("num_key_value_heads", 3)},
      {"head size", "head_dim: got 15, want an even number", config("head_dim", 15)},
      {"activation", R"(hidden_act: got "relu", want "silu")", config("hidden_act", "relu")},
      {"eos", "eos_token_id: got 999, want a token's id below 320", config("eos_token_id", 999)},
      {"no eos", "eos_token_id: got none", config("eos_token_id", nullptr)},
      {"rope", "rope_type: got 'dynamic', want default, linear",
       config("rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}})},
      {"rope factor", "rope_scaling: factor: got -2, want more than 0",
       config("rope_scaling", {{"type", "linear"}, {"factor", -2.0}})},
      {"rope original", "original_max_position_embeddings: got 0, want 1",
       config("rope_scaling", {{"type", "yarn"}, {"original_max_position_embeddings", 0}})},
      {"llama3", "high_freq_factor: got 1, want more than low_freq_factor, 1",
       config("rope_scaling", {{"type", "llama3"},
                               {"factor", 2.0},
                               {"low_freq_factor", 1.0},
                               {"high_freq_factor", 1.0}})},
      {"longrope", "short_factor and long_factor: got 1 numbers, want 8",
       config("rope_scaling",
              {{"type", "longrope"}, {"short_factor", {1.0}}, {"long_factor", {1.0}}})},
      {"longrope original", "original_max_position_embeddings: got 128, want less than the context",
       config("rope_scaling", {{"type", "longrope"},
                               {"short_factor", std::vector<double>(8, 1.0)},
                               {"long_factor", std::vector<double>(8, 1.0)}})},
      {"layer types", R"(layer_types: got "mamba", want full_attention)",
       config("layer_types", {"mamba", "mamba"})},
      {"layer types' number", "layer_types: got 1, want a list of 2",
       config("layer_types", {"full_attention"})},
      {"rotary part", "partial_rotary_factor: got 0, want an even part",
       config("partial_rotary_factor", 0)},
  };
  for (const Fault& fault : faults) {
    TestFolder folder;
    WriteCheckpoint("qwen3", folder);
    fault.damage(folder);
    EXPECT_THAT(ErrorOf([&] { ConvertCheckpoint(folder.path(), folder / "out", Options()); }),
                AllOf(HasSubstr("[convert] "), HasSubstr(fault.message)))
        << fault.what;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      EXPECT_THAT(entry.path().filename().string(), testing::Not(testing::StartsWith("out")))
          << fault.what;
    }
  }
}

TEST(Convert, RefusesFieldsOfOneArchitecture) {
  const auto error = [](const std::string& name, const std::string& field, nlohmann::json value) {
    nlohmann::json config = SmallConfig(name);
    config[field] = value;
    TestFolder folder;
    return ErrorOf([&] { ConvertRandom(config, "c", 1, folder / "out", Options()); });
  };
  EXPECT_THAT(error("gemma3_text", "sliding_window", nullptr),
              HasSubstr("c: sliding_window: got none, want one"));
  EXPECT_THAT(error("gemma3_text", "sliding_window_pattern", 0),
              HasSubstr("c: sliding_window_pattern: got 0"));
  EXPECT_THAT(error("gemma3_text", "query_pre_attn_scalar", 0),
              HasSubstr("c: query_pre_attn_scalar: got 0"));
  EXPECT_THAT(error("smollm3", "no_rope_layers", {1}),
              HasSubstr("c: no_rope_layers: got 1 numbers, want 4"));
  nlohmann::json config = SmallConfig("smollm3");
  config.erase("no_rope_layers");
  config["no_rope_layer_interval"] = 0;
  TestFolder folder;
  EXPECT_THAT(ErrorOf([&] { ConvertRandom(config, "c", 1, folder / "out", Options()); }),
              HasSubstr("c: no_rope_layer_interval: got 0"));
  EXPECT_THAT(error("qwen3", "vocab_size", 100), HasSubstr("got 257, want a token's id below 100"));
  config = SmallConfig("qwen3");
  config["vocab_size"] = 257;
  config["bos_token_id"] = 1;
  EXPECT_THAT(ErrorOf([&] { ConvertRandom(config, "c", 1, folder / "out", Options()); }),
              HasSubstr("vocab_size: got 257, want at least 258 for random weights"));
}

TEST(Convert, RefusesOptions) {
  TestFolder folder;
  WriteCheckpoint("qwen3", folder);
  const auto error = [&](auto change) {
    ConvertOptions options = Options();
    change(options);
    return ErrorOf([&] { ConvertCheckpoint(folder.path(), folder / "out", options); });
  };
  EXPECT_THAT(error([](auto& o) { o.decoder.format.bits = 3; }), HasSubstr("--bits: got 3"));
  EXPECT_THAT(error([](auto& o) { o.decoder.format.block_size = 48; }),
              HasSubstr("--block-size: got 48"));
  EXPECT_THAT(error([](auto& o) { o.decoder.accuracy_level = 5; }),
              HasSubstr("--accuracy-level: got 5"));
  EXPECT_THAT(error([](auto& o) { o.layers = 3; }), HasSubstr("--layers: got 3, want 1 to 2"));
  EXPECT_THAT(ErrorOf([&] { ConvertCheckpoint(folder / "no", folder / "out", Options()); }),
              HasSubstr("got nothing there, want a checkpoint's folder"));
  EXPECT_THAT(ErrorOf([&] { ConvertCheckpoint(folder.path(), folder.path(), Options()); }),
              HasSubstr("got an existing file or folder, want a new name"));
  EXPECT_THAT(ErrorOf([&] { ConvertCheckpoint(folder.path(), "/proc/none/b", Options()); }),
              HasSubstr("cannot create the folder '/proc/none/b'"));
}

// A limit on the size of files simulates a full disk.
TEST(Convert, LeavesNothingOnAFullDisk) {
  TestFolder folder;
  WriteCheckpoint("llama", folder);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t limit : {100, 20000}) {
    const rlimit small = {limit, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const std::string error =
        ErrorOf([&] { ConvertCheckpoint(folder.path(), folder / "out", Options()); });
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_THAT(error, AllOf(HasSubstr("cannot write '"), HasSubstr("File too large"))) << limit;
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 3);
}

TEST(Convert, ProgressMayEndIt) {
  TestFolder folder;
  WriteCheckpoint("llama", folder);
  ConvertOptions options = Options();
  uint64_t last = 0, all = 0;
  options.progress = [&](uint64_t done, uint64_t total) { last = done, all = total; };
  ConvertCheckpoint(folder.path(), folder / "out", options);
  EXPECT_GT(all, 0u);
  EXPECT_EQ(last, all);
  options.progress = [](uint64_t, uint64_t) { throw Error("convert", "stop"); };
  EXPECT_EQ(ErrorOf([&] { ConvertCheckpoint(folder.path(), folder / "again", options); }),
            "[convert] stop");
  EXPECT_FALSE(fs::exists(folder / "again"));
}

TEST(Rotary, Scalings) {
  RopeConfig rope;
  rope.theta = 10000;
  rope.rotary_dim = 4;
  EXPECT_DOUBLE_EQ(AnglesFor(rope, 64, false).frequencies[1], 0.01);
  rope.original_max_positions = 64;
  rope.factor = 8;
  rope.type = RopeConfig::Type::kLlama3;
  // The frequency of wavelength 6.3 < 64 / 4 stays; that of wavelength 628 > 64 / 1 is divided.
  EXPECT_DOUBLE_EQ(AnglesFor(rope, 512, false).frequencies[0], 1);
  EXPECT_DOUBLE_EQ(AnglesFor(rope, 512, false).frequencies[1], 0.01 / 8);
  rope.type = RopeConfig::Type::kYarn;
  rope.rotary_dim = 64;
  const RotaryAngles yarn = AnglesFor(rope, 512, false);
  EXPECT_DOUBLE_EQ(yarn.frequencies[0], 1);
  EXPECT_DOUBLE_EQ(yarn.frequencies[31], std::pow(10000, -62.0 / 64) / 8);
  EXPECT_DOUBLE_EQ(yarn.scale, 0.1 * std::log(8) + 1);
  rope.type = RopeConfig::Type::kLongRope;
  rope.rotary_dim = 4;
  rope.short_factor = {1, 2};
  rope.long_factor = {4, 5};
  EXPECT_DOUBLE_EQ(AnglesFor(rope, 512, true).frequencies[1], 0.01 / 5);
  EXPECT_DOUBLE_EQ(AnglesFor(rope, 512, false).frequencies[1], 0.01 / 2);
  EXPECT_DOUBLE_EQ(AnglesFor(rope, 512, false).scale, std::sqrt(1 + std::log(8) / std::log(64)));
}

}  // namespace
}  // namespace sinter::convert
