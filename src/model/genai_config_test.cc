#include "model/genai_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sinter::model {
namespace {

using nlohmann::json;

json Config() {
  return json::parse(R"({
    "model": {
      "type": "qwen3", "context_length": 2048, "vocab_size": 1024, "bos_token_id": 0, "eos_token_id": [2, 5],
      "decoder": {
        "filename": "model.onnx", "head_size": 64, "hidden_size": 256, "num_attention_heads": 4,
        "num_key_value_heads": 2, "num_hidden_layers": 3,
        "session_options": {"provider_options": [
          {"webgpu": {"enableGraphCapture": "1", "multiRotaryCacheConcatOffset": "128"}}]},
        "inputs": {"input_ids": "ids", "past_key_names": "past.%d.k"},
        "outputs": {"logits": "scores"}
      }
    },
    "search": {"do_sample": true, "max_length": 512, "temperature": 0.7, "top_k": 20, "top_p": 0.9,
               "repetition_penalty": 1.1, "num_beams": 1, "min_length": 0}
  })");
}

std::string ErrorOf(const json& config) {
  try {
    ParseGenaiConfig(config.dump(), "genai_config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GenaiConfig, ReadsEveryField) {
  const GenaiConfig config = ParseGenaiConfig(Config().dump(), "genai_config.json");
  EXPECT_EQ(config.type, "qwen3");
  EXPECT_EQ(config.context_length, 2048);
  EXPECT_EQ(config.vocab_size, 1024);
  EXPECT_EQ(config.eos_token_ids, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(config.bos_token_id, 0);
  EXPECT_FALSE(config.pad_token_id);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.input_ids, "ids");
  EXPECT_EQ(config.logits, "scores");
  EXPECT_EQ(config.past_value_names, "past_key_values.%d.value");
  EXPECT_EQ(config.multi_rotary_offset, 128);
  EXPECT_TRUE(config.search.do_sample);
  EXPECT_EQ(config.search.max_length, 512);
  EXPECT_DOUBLE_EQ(config.search.temperature, 0.7);
  EXPECT_EQ(config.search.top_k, 20);
  EXPECT_DOUBLE_EQ(config.search.repetition_penalty, 1.1);
}

TEST(GenaiConfig, FillsDefaultsAndTakesOneEndToken) {
  json config = Config();
  config.erase("search");
  config["model"]["eos_token_id"] = 7;
  config["model"]["bos_token_id"] = -1;
  config["model"]["decoder"].erase("inputs");
  config["model"]["decoder"].erase("session_options");
  const GenaiConfig parsed = ParseGenaiConfig(config.dump(), "genai_config.json");
  EXPECT_EQ(parsed.eos_token_ids, std::vector<int64_t>{7});
  EXPECT_FALSE(parsed.bos_token_id);
  EXPECT_FALSE(parsed.multi_rotary_offset);
  EXPECT_EQ(parsed.input_ids, "input_ids");
  EXPECT_FALSE(parsed.search.do_sample);
  EXPECT_EQ(parsed.search.top_k, 50);
}

TEST(GenaiConfig, ValuesThatTurnSomethingOff) {
  json config = Config();
  config["search"]["top_k"] = -1;
  config["search"]["top_p"] = 0.0;
  config["search"]["temperature"] = 0.0;
  config["model"]["vision"] = nullptr;
  config["model"]["encoder"] = json::object();
  config["model"]["decoder"]["sliding_window"] = {
      {"window_size", 64}, {"slide_inputs", false}, {"slide_key_value_cache", false}};
  const GenaiConfig parsed = ParseGenaiConfig(config.dump(), "genai_config.json");
  EXPECT_EQ(parsed.search.top_k, 0);
  EXPECT_EQ(parsed.search.top_p, 1);
  EXPECT_EQ(parsed.search.temperature, 0);
}

TEST(GenaiConfig, ErrorsNameFileFieldAndWhatWouldBeRight) {
  const auto expect = [](const char* pointer, const json& value, const std::string& message) {
    json config = Config();
    if (value.is_discarded()) {
      const json::json_pointer at(pointer);
      config.at(at.parent_pointer()).erase(at.back());
    } else {
      config[json::json_pointer(pointer)] = value;
    }
    EXPECT_EQ(ErrorOf(config), "[config] genai_config.json: " + message) << pointer;
  };
  const json missing(json::value_t::discarded);
  expect("/model", missing, "model: got nothing, want an object");
  expect("/model", 3, "model: got number, want an object");
  expect("/model/decoder", missing,
         "model.decoder: got nothing, want an object (Sinter runs decoder-only models)");
  expect("/model/context_length", missing, "model.context_length: got nothing, want a number");
  expect("/model/context_length", "2048", "model.context_length: got string, want a whole number");
  expect("/model/vocab_size", 0, "model.vocab_size: got 0, want 1 to 2147483647");
  expect("/model/vocab_size", 1.5, "model.vocab_size: got number, want a whole number");
  expect("/model/eos_token_id", "x",
         "model.eos_token_id: got \"x\", want a token id, or a list of them");
  expect("/model/eos_token_id", json::array({1, -4}),
         "model.eos_token_id: got -4, want a token id, or a list of them");
  expect("/model/bos_token_id", UINT64_MAX,
         "model.bos_token_id: got 18446744073709551615, want -1 to 2147483647");
  expect("/model/eos_token_id", UINT64_MAX,
         "model.eos_token_id: got 18446744073709551615, want a token id, or a list of them");
  expect("/model/eos_token_id", std::string(1'000'000, 'x'),
         "model.eos_token_id: got \"" + std::string(100, 'x') +
             "... (1000000 bytes)\", want a token id, or a list of them");
  expect("/model/decoder/num_attention_heads", 0,
         "model.decoder.num_attention_heads: got 0, want 1 to 65536");
  expect("/model/decoder/num_attention_heads", nullptr,
         "model.decoder.num_attention_heads: got nothing, want a number");
  expect("/model/decoder", 3, "model.decoder: got number, want an object");
  expect("/search", "x", "search: got string, want an object");
  expect("", 7, "got number, want an object");
  expect("/model/decoder/head_size", -64, "model.decoder.head_size: got -64, want 1 to 65536");
  expect("/model/decoder/filename", 4, "model.decoder.filename: got number, want a string");
  for (const char* name : {"", "/etc/passwd", "../model.onnx", "a/../../b", ".."}) {
    expect("/model/decoder/filename", name,
           "model.decoder.filename: got '" + std::string(name) +
               "', want the name of a file in the model's folder");
  }
  expect("/model/decoder/filename", std::string("model.onnx\0x", 12),
         "model.decoder.filename: got 'model.onnx\\x00x', want text without control characters");
  expect("/model/decoder/session_options/provider_options/0/webgpu/multiRotaryCacheConcatOffset",
         "12x",
         "model.decoder.session_options.provider_options.multiRotaryCacheConcatOffset: got 12x, "
         "want a number of rows");
  expect("/search/do_sample", 1, "search.do_sample: got number, want true or false");
  expect("/search/temperature", "hot", "search.temperature: got string, want a number");
  expect("/search/top_p", 1.5, "search.top_p: got 1.5, want 0 to 1");
  expect("/search/num_beams", 4, "search.num_beams: got 4, want 1 to 1");
  expect("/search/min_length", 10, "search.min_length: got 10, want 0 to 0");
  expect("/search/top_k", -2, "search.top_k: got -2, want -1 to 2147483647");
  for (const char* part : {"encoder", "embedding", "vision", "speech"}) {
    expect(("/model/" + std::string(part)).c_str(), {{"filename", "x.onnx"}},
           "model." + std::string(part) +
               ": got one, want none: Sinter runs one decoder-only language model");
  }
  expect("/model/decoder/pipeline", json::array({{{"embedding", {{"filename", "e.onnx"}}}}}),
         "model.decoder.pipeline: got a model in several graphs, want one graph, named by "
         "decoder.filename");
  expect("/model/decoder/sliding_window", {{"window_size", 64}},
         "model.decoder.sliding_window.slide_inputs: got true, want false: such graphs run a fixed "
         "number of tokens at a time");
  expect("/model/decoder/inputs/past_names", "past_%d",
         "model.decoder.inputs.past_names: got a name, want none: past_key_names and "
         "past_value_names alone");
}

TEST(GenaiConfig, RefusesTextThatIsNotJsonAndMissingFiles) {
  const auto error = [](const std::string& text) {
    try {
      text[0] == '/' ? ReadGenaiConfig(text) : ParseGenaiConfig(text, "x");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(error("{"), testing::StartsWith("[config] x: line 1, column 1: got no valid JSON"));
  EXPECT_THAT(error("[]"), testing::HasSubstr("x: got array, want an object"));
  EXPECT_THAT(error(std::string(75'000, '[')), testing::HasSubstr("nested more than 128 deep"));
  EXPECT_THAT(error("/no/such/file"),
              testing::HasSubstr("got no such file, want the genai_config.json"));
  EXPECT_THAT(error("/dev/zero"), testing::HasSubstr("got a special file, want the genai_config"));
}

TEST(GenaiConfig, LayerNames) {
  EXPECT_EQ(LayerName("past_key_values.%d.key", 12), "past_key_values.12.key");
  EXPECT_EQ(LayerName("fixed", 1), "fixed");
}

}  // namespace
}  // namespace sinter::model
