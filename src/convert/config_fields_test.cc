// Fields of config.json and generation_config.json that change a model or its answers: each is
// honoured, or refused by name.
#include "convert/config_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "convert/convert.h"
#include "convert/genai_config.h"
#include "convert/json.h"
#include "convert/testing.h"
#include "onnx/reader.h"

namespace sinter::convert {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Makes a model with random weights from a small configuration with some fields replaced.
ConvertReport Build(const std::string& name, const json& fields, const TestFolder& folder) {
  json config = SmallConfig(name);
  for (const auto& [field, value] : fields.items()) config[field] = value;
  return ConvertRandom(config, "c", 1, folder / "out", {});
}

std::string BuildError(const std::string& name, const json& fields) {
  TestFolder folder;
  return ErrorOf([&] { Build(name, fields, folder); });
}

// Returns local_window_size of each layer.
std::vector<int64_t> Windows(const std::string& name, const json& fields) {
  TestFolder folder;
  Build(name, fields, folder);
  std::vector<int64_t> windows;
  const auto graph = onnx::ReadModel(folder / "out/model.onnx");
  for (const auto& node : graph->nodes()) {
    if (node->op() == "GroupQueryAttention") {
      windows.push_back(std::get<int64_t>(node->attributes.at("local_window_size")));
    }
  }
  return windows;
}

HfConfig Parsed(const std::string& name, const json& fields) {
  json config = SmallConfig(name);
  for (const auto& [field, value] : fields.items()) config[field] = value;
  return ParseHfConfig(config, "c");
}

std::string ParseError(const std::string& name, const json& fields) {
  return ErrorOf([&] { Parsed(name, fields); });
}

TEST(ConfigFields, RefusesWhatTheArchitectureIgnores) {
  for (const auto& [name, field, value] : std::vector<std::tuple<std::string, std::string, json>>{
           {"llama", "embedding_multiplier", 12},
           {"llama", "residual_multiplier", 0.22},
           {"llama", "logits_scaling", 8.0},
           {"llama", "logit_scale", 0.0625},
           {"llama", "attention_multiplier", 0.015625},
           {"llama", "final_logit_softcapping", 30.0},
           {"qwen3", "attn_logit_softcapping", 50.0},
           {"gemma3_text", "attn_logit_softcapping", 50.0},
           {"qwen3", "query_pre_attn_scalar", 256},
           {"mistral", "attention_bias", true},
           {"mistral", "mlp_bias", true},
           {"qwen3", "mlp_bias", true},
           {"llama", "clip_qkv", 8.0},
           {"llama", "use_qk_norm", true},
           {"llama", "no_rope_layers", {1, 0}},
           {"llama", "num_local_experts", 8},
           {"llama", "hidden_activation", "gelu"},
           {"qwen2", "use_bidirectional_attention", true},
           {"qwen2", "is_causal", false},
           {"qwen3_moe", "routed_scaling_factor", 2.5},
           {"qwen3_moe", "shared_expert_intermediate_size", 32},
           {"qwen3_moe", "scoring_func", "sigmoid"},
           {"qwen3_moe", "use_sliding_window", true},
           {"gpt_oss", "norm_topk_prob", false},
           {"gpt_oss", "experts_per_token", 3},
           {"phi3", "attention_bias", true},
           {"smollm3", "rope_interleaved", true},
           {"llama", "sliding_window", 16},
           {"llama", "hidden_act", "gelu"}}) {
    EXPECT_THAT(BuildError(name, {{field, value}}),
                AllOf(HasSubstr("[convert] c: " + field + ": got " + JsonExcerpt(value)),
                      HasSubstr(", want ")))
        << name;
  }
}

TEST(ConfigFields, TakesWhatChangesNothing) {
  TestFolder folder;
  const ConvertReport report = Build("llama",
                                     {{"embedding_multiplier", 1.0},
                                      {"logits_scaling", 1},
                                      {"attention_multiplier", 0.25},
                                      {"query_pre_attn_scalar", 16},
                                      {"final_logit_softcapping", nullptr},
                                      {"attn_logit_softcapping", nullptr},
                                      {"use_qk_norm", false},
                                      {"num_experts", 0},
                                      {"is_causal", true},
                                      {"hidden_act", "swish"},
                                      {"sliding_window", 128},
                                      {"pretraining_tp", 2},
                                      {"_name_or_path", "x"},
                                      {"torch_dtype", "float16"},
                                      {"rope_parameters", json::object()}},
                                     folder);
  EXPECT_THAT(report.unknown_fields, IsEmpty());
}

TEST(ConfigFields, ReportsUnknownFields) {
  TestFolder folder;
  EXPECT_THAT(
      Build("qwen3", {{"unheard_of", 3}, {"another", "x"}, {"off", false}}, folder).unknown_fields,
      ElementsAre("another", "unheard_of"));
}

TEST(ConfigFields, RefusesPackedWeights) {
  const auto error = [](const std::string& name, const json& quantization) {
    TestFolder checkpoint;
    WriteCheckpoint(name, checkpoint);
    json config = SmallConfig(name);
    config["quantization_config"] = quantization;
    checkpoint.Write("config.json", config.dump());
    return ErrorOf([&] { ConvertCheckpoint(checkpoint.path(), checkpoint / "out", {}); });
  };
  EXPECT_THAT(error("llama", {{"quant_method", "gptq"}, {"bits", 4}}),
              HasSubstr("config.json: quantization_config: got \"gptq\", want none: weights in"));
  EXPECT_THAT(error("llama", {{"bits", 4}}), HasSubstr("quantization_config: got {\"bits\": 4}"));
  EXPECT_EQ(error("gpt_oss_mxfp4", {{"quant_method", "mxfp4"}}), "no error");
}

TEST(ConfigFields, RefusesAHeadOfItsOwnThatIsTied) {
  TestFolder folder;
  WriteCheckpoint("llama", folder);
  TestTensors tensors = SmallTensors("llama");
  tensors.Linear("lm_head.weight", 320, 64);
  folder.Write("model.safetensors", tensors.File());
  EXPECT_THAT(
      ErrorOf([&] { ConvertCheckpoint(folder.path(), folder / "out", {}); }),
      HasSubstr("tensor 'lm_head.weight': got values that differ from model.embed_tokens.weight"));
  // A copy of the embedding is there in many files.
  tensors.Add("model.embed_tokens.weight", {320, 64}, 0);
  tensors.Add("lm_head.weight", {320, 64}, 0);
  folder.Write("model.safetensors", tensors.File());
  EXPECT_EQ(ErrorOf([&] { ConvertCheckpoint(folder.path(), folder / "out", {}); }), "no error");
}

TEST(ConfigFields, Windows) {
  const json sliding = {"sliding_attention", "full_attention"};
  const json full = {"full_attention", "full_attention"};
  EXPECT_THAT(
      Windows("qwen3",
              {{"use_sliding_window", true}, {"sliding_window", 8}, {"layer_types", sliding}}),
      ElementsAre(8, -1));
  EXPECT_THAT(Windows("qwen3", {{"use_sliding_window", false}, {"sliding_window", 8}}),
              ElementsAre(-1, -1));
  // The first 28 layers have none by default.
  EXPECT_THAT(Windows("qwen3", {{"use_sliding_window", true}, {"sliding_window", 8}}),
              ElementsAre(-1, -1));
  EXPECT_THAT(
      BuildError("qwen3", {{"layer_types", sliding}}),
      HasSubstr("c: layer_types: got sliding_attention without a sliding_window, want both"));
  EXPECT_THAT(BuildError("llama", {{"layer_types", sliding}}), HasSubstr("c: layer_types: got"));
  EXPECT_THAT(BuildError("qwen3_moe", {{"layer_types", sliding}}),
              HasSubstr("c: layer_types: got"));
  EXPECT_THAT(Windows("mistral", {{"sliding_window", nullptr}}), ElementsAre(-1, -1));
  EXPECT_THAT(Windows("phi3", {{"sliding_window", 128}}), ElementsAre(-1, -1));
  EXPECT_THAT(BuildError("mistral", {{"layer_types", full}}),
              HasSubstr("c: sliding_window: got 8, but"));
  EXPECT_THAT(BuildError("phi3", {{"use_sliding_window", false}}),
              HasSubstr("c: sliding_window: got 127, but"));
  EXPECT_THAT(BuildError("gpt_oss", {{"sliding_window", nullptr}}),
              HasSubstr("c: layer_types: got sliding_attention without"));
  // SmolLM3's windows are in the layers without rotary embeddings.
  EXPECT_THAT(Windows("smollm3", {{"use_sliding_window", true}, {"sliding_window", 8}}),
              ElementsAre(-1, -1, -1, 8));
  EXPECT_THAT(ParseError("qwen3", {{"layer_types", {"full_attention"}}}),
              HasSubstr("c: layer_types: got 1, want a list of 2"));
}

TEST(ConfigFields, DefaultsOfTheArchitecture) {
  const auto without = [](const std::string& name, const std::string& field) {
    json config = SmallConfig(name);
    config.erase(field);
    return ParseHfConfig(config, "c");
  };
  EXPECT_EQ(without("mistral", "sliding_window").sliding_window, 4096);
  EXPECT_EQ(without("gpt_oss", "sliding_window").sliding_window, 128);
  EXPECT_EQ(without("phi3", "rms_norm_eps").norm_epsilon, 1e-5);
  EXPECT_EQ(without("llama", "rms_norm_eps").norm_epsilon, 1e-6);
  EXPECT_EQ(without("smollm3", "rope_theta").rope.theta, 2e6);
  EXPECT_EQ(without("gemma3_text", "rope_theta").rope.theta, 1e6);
  EXPECT_EQ(without("qwen3", "head_dim").head_size, 128);
  EXPECT_EQ(without("llama", "head_dim").head_size, 16);
  EXPECT_TRUE(without("smollm3", "tie_word_embeddings").tied_embeddings);
  EXPECT_FALSE(without("llama", "tie_word_embeddings").tied_embeddings);
}

TEST(Rope, BothFieldsHaveToAgree) {
  const json scaled = {{"rope_type", "linear"}, {"factor", 4.0}};
  const json plain = {{"rope_theta", 10000.0}, {"rope_type", "default"}};
  EXPECT_THAT(ParseError("qwen3", {{"rope_parameters", plain}, {"rope_scaling", scaled}}),
              AllOf(HasSubstr("[convert] c: rope_parameters and rope_scaling: got {"),
                    HasSubstr(" and {\"factor\": 4.0"), HasSubstr("want only one")));
  const HfConfig both =
      Parsed("qwen3",
             {{"rope_parameters", {{"rope_theta", 10000}, {"rope_type", "linear"}, {"factor", 4}}},
              {"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}});
  EXPECT_EQ(both.rope.type, RopeConfig::Type::kLinear);
  EXPECT_EQ(both.rope.factor, 4);
  EXPECT_EQ(ParseError("qwen3", {{"rope_parameters", nullptr}, {"rope_scaling", scaled}}),
            "no error");
  EXPECT_THAT(
      ParseError("qwen3", {{"rope_parameters", {{"rope_theta", 5000.0}}}}),
      HasSubstr("c: rope_parameters: rope_theta: got 5000.0, want 10000.0 to match rope_theta"));
  EXPECT_THAT(
      ParseError("phi3_longrope", {{"rope_parameters",
                                    {{"rope_type", "default"}, {"partial_rotary_factor", 0.25}}}}),
      HasSubstr("partial_rotary_factor: got 0.25, want 0.5"));
}

TEST(Rope, EveryFieldIsUsedOrRefused) {
  const auto error = [](const json& rope) { return ParseError("qwen3", {{"rope_scaling", rope}}); };
  EXPECT_THAT(error("linear"), HasSubstr("rope_scaling: got a string, want an object"));
  EXPECT_THAT(error({{"rope_type", "linear"}, {"type", "yarn"}, {"factor", 2.0}}),
              HasSubstr("rope_type and type: got 'linear' and 'yarn', want the same"));
  EXPECT_THAT(error({{"rope_type", "linear"}}), HasSubstr("factor: got none, want a number"));
  EXPECT_THAT(error({{"rope_type", "llama3"}, {"factor", 2.0}}),
              HasSubstr("low_freq_factor: got none"));
  EXPECT_THAT(error({{"rope_type", "default"}, {"factor", 2.0}}),
              HasSubstr("\"factor\": got 2.0, want none: rope_type default has no such parameter"));
  EXPECT_THAT(error({{"rope_type", "linear"}, {"factor", 2.0}, {"beta_fast", 32}}),
              HasSubstr("\"beta_fast\": got 32, want none"));
  EXPECT_THAT(error({{"type", "yarn"}, {"factor", 2.0}, {"llama_4_scaling_beta", 0.1}}),
              HasSubstr("llama_4_scaling_beta"));
  EXPECT_THAT(error({{"type", "default"}, {"mrope_section", {1, 2, 3}}}),
              HasSubstr("mrope_section"));
  for (const char* type : {"dynamic", "mrope", "proportional"}) {
    EXPECT_THAT(error({{"rope_type", type}, {"factor", 2.0}}),
                HasSubstr(fmt::format("rope_type: got '{}', want default", type)));
  }
  EXPECT_THAT(error({{"full_attention", {{"rope_theta", 10000.0}}}}), HasSubstr("full_attention"));
  EXPECT_THAT(ParseError("qwen3", {{"rope_parameters", {{"full_attention", {{"factor", 1}}}}}}),
              HasSubstr("rope_parameters: got some for each type of layer, want a single set"));
  EXPECT_THAT(BuildError("phi3", {{"rope_scaling", {{"type", "yarn"}, {"factor", 2.0}}}}),
              HasSubstr("c: rope_type: got one that phi3 does not have"));
  EXPECT_THAT(ParseError("phi3_longrope", {{"rope_scaling",
                                            {{"type", "longrope"},
                                             {"factor", 2.0},
                                             {"short_factor", std::vector<double>(8, 1.0)},
                                             {"long_factor", std::vector<double>(8, 1.0)}}}}),
              HasSubstr("rope_scaling: factor: got 2, want 8"));
  EXPECT_THAT(BuildError("gemma3_text", {{"partial_rotary_factor", 0.5}}),
              HasSubstr("partial_rotary_factor: got one"));
  EXPECT_THAT(BuildError("gpt_oss", {{"rope_scaling", nullptr}}),
              HasSubstr("rope_scaling: got none, want gpt-oss's"));
}

TEST(Rope, YarnScalesByBothMscales) {
  const auto factor = [](const json& fields) {
    json rope = {{"rope_type", "yarn"}, {"factor", 4.0}};
    rope.update(fields);
    return Parsed("qwen3", {{"rope_scaling", rope}}).rope.attention_factor;
  };
  EXPECT_DOUBLE_EQ(*factor({{"mscale", 0.5}, {"mscale_all_dim", 2.0}}),
                   (0.05 * std::log(4) + 1) / (0.2 * std::log(4) + 1));
  EXPECT_DOUBLE_EQ(*factor({{"mscale", 1.0}, {"mscale_all_dim", 1.0}}), 1);
  EXPECT_DOUBLE_EQ(*factor({{"mscale", 1.0}, {"mscale_all_dim", 1.0}, {"attention_factor", 3}}), 3);
  EXPECT_FALSE(factor({{"mscale", 1.0}}));
}

TEST(Rope, LayersOfGemmaHaveTheirOwn) {
  const json both = {{"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}}},
                     {"sliding_attention", {{"rope_theta", 5000.0}}}};
  json fields = {{"rope_parameters", both}, {"rope_local_base_freq", nullptr}};
  const HfConfig config = Parsed("gemma3_text", fields);
  EXPECT_EQ(config.rope.factor, 8);
  EXPECT_EQ(ReadSlidingRope(config, "rope_local_base_freq", 10000).theta, 5000);
  fields["rope_local_base_freq"] = 10000.0;
  EXPECT_THAT(BuildError("gemma3_text", fields),
              HasSubstr("rope_parameters.sliding_attention: rope_theta: got 5000.0, want 10000.0"));
}

json SearchOf(const json& generation, const json& config_fields = json::object()) {
  const HfConfig config = Parsed("llama", config_fields);
  return GenaiConfig(config, generation, "g", {.type = "llama"});
}

TEST(GenerationConfig, OffValues) {
  json search = SearchOf({{"do_sample", true}, {"top_k", -1}, {"top_p", 1.0}})["search"];
  EXPECT_EQ(search["top_k"], 0);
  EXPECT_EQ(search["do_sample"], true);
  EXPECT_FALSE(search.contains("min_p"));
  search =
      SearchOf({{"do_sample", true}, {"temperature", 0}, {"top_k", 0}, {"min_p", 0.1}})["search"];
  EXPECT_EQ(search["do_sample"], false);
  EXPECT_EQ(search["temperature"], 1);
  EXPECT_EQ(search["top_k"], 0);
  EXPECT_EQ(search["min_p"], 0.1);
  search = SearchOf({{"top_k", nullptr},
                     {"temperature", nullptr},
                     {"num_beams", 1},
                     {"typical_p", 1.0},
                     {"suppress_tokens", nullptr}})["search"];
  EXPECT_EQ(search["top_k"], 50);
}

TEST(GenerationConfig, RefusesByName) {
  for (const auto& [field, value] :
       std::vector<std::pair<std::string, json>>{{"top_k", -2},
                                                 {"top_p", 0.0},
                                                 {"top_p", 1.5},
                                                 {"temperature", -1},
                                                 {"repetition_penalty", 0},
                                                 {"min_p", 2},
                                                 {"num_beams", 4},
                                                 {"no_repeat_ngram_size", 3},
                                                 {"min_new_tokens", 5},
                                                 {"typical_p", 0.9},
                                                 {"guidance_scale", 1.5},
                                                 {"suppress_tokens", {1, 2}},
                                                 {"forced_eos_token_id", 2},
                                                 {"stop_strings", {"x"}}}) {
    json generation;
    generation[field] = value;
    EXPECT_THAT(ErrorOf([&] { SearchOf(generation); }),
                AllOf(HasSubstr("[convert] g: " + field + ": got "), HasSubstr(", want ")))
        << value;
  }
}

TEST(GenerationConfig, NegativeTokensAreNone) {
  json model = SearchOf({{"pad_token_id", -1}, {"bos_token_id", -1}, {"eos_token_id", {4, 5}}},
                        {{"bos_token_id", -1}})["model"];
  EXPECT_EQ(model["pad_token_id"], 4);
  EXPECT_FALSE(model.contains("bos_token_id"));
  // config.json has another.
  EXPECT_EQ(SearchOf({{"eos_token_id", -1}})["model"]["eos_token_id"], 256);
  EXPECT_EQ(SearchOf({{"eos_token_id", json::array()}})["model"]["eos_token_id"], 256);
  EXPECT_THAT(ErrorOf([] {
                SearchOf({{"eos_token_id", {4, -5}}});
              }),
              HasSubstr("g: eos_token_id: got [4, -5], want a token's id below 320"));
  EXPECT_THAT(ErrorOf([] {
                SearchOf({}, {{"eos_token_id", -1}});
              }),
              HasSubstr("c: eos_token_id: got none"));
}

}  // namespace
}  // namespace sinter::convert
