#include "convert/text_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "convert/convert.h"
#include "convert/json.h"
#include "convert/testing.h"

namespace sinter::convert {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string FileBytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Returns config.json of a multimodal checkpoint around a text-only one.
nlohmann::json Around(nlohmann::json text, const std::string& model_type) {
  nlohmann::json config = {{"model_type", model_type}, {"vision_config", {{"hidden_size", 9}}}};
  // Real ones have the special tokens outside.
  for (const char* name : {"bos_token_id", "eos_token_id"}) {
    config[name] = text[name];
    text.erase(name);
  }
  config["text_config"] = std::move(text);
  return config;
}

ConvertReport Convert(const TestFolder& folder, const nlohmann::json& config,
                      const TestTensors& tensors, const std::string& out) {
  folder.Write("config.json", config.dump());
  folder.Write("tokenizer.json", "{}");
  folder.Write("model.safetensors", tensors.File());
  ConvertOptions options;
  options.decoder.format.block_size = 16;
  return ConvertCheckpoint(folder.path(), folder / out, options);
}

TEST(TextPart, IsConvertedAsTheTextOnlyCheckpoint) {
  TestFolder folder;
  for (const auto& [whole, name] :
       {std::pair("gemma3", "gemma3_text"), std::pair("mistral3", "mistral"),
        std::pair("llava", "llama")}) {
    SCOPED_TRACE(whole);
    const std::string plain_out = std::string(whole) + "-plain";
    const ConvertReport plain = Convert(folder, SmallConfig(name), SmallTensors(name), plain_out);
    EXPECT_EQ(plain.whole_architecture, "");
    for (const bool old_names : {true, false}) {
      TestTensors tensors = SmallTensors(name);
      tensors.Rename([&](const std::string& tensor) {
        if (old_names) return "language_model." + tensor;
        return tensor.starts_with("model.") ? "model.language_model." + tensor.substr(6) : tensor;
      });
      const std::string before = old_names ? "" : "model.";
      tensors.Add(before + "vision_tower.encoder.layers.0.weight", {3, 4}, 1);
      tensors.Add(before + "multi_modal_projector.weight", {3, 4}, 1);
      const std::string out = whole + std::string(old_names ? "-old" : "-new");
      const ConvertReport report = Convert(folder, Around(SmallConfig(name), whole), tensors, out);
      EXPECT_EQ(report.whole_architecture, whole);
      EXPECT_EQ(report.architecture, name);
      for (const char* file : {"model.onnx", "model.onnx.data", "genai_config.json"}) {
        EXPECT_EQ(FileBytes(folder / out / file), FileBytes(folder / plain_out / file)) << file;
      }
    }
  }
}

// google/gemma-3-4b-it names only what differs from the defaults.
TEST(TextPart, Gemma3HasTheDefaultsOfItsClass) {
  const TextPart part =
      TakeTextPart({{"model_type", "gemma3"},
                    {"eos_token_id", {1, 106}},
                    {"text_config",
                     {{"hidden_size", 2560}, {"num_hidden_layers", 34}, {"sliding_window", 1024}}}},
                   "config.json");
  EXPECT_EQ(part.whole_type, "gemma3");
  for (const auto& [name, value] :
       {std::pair("hidden_size", 2560), std::pair("num_hidden_layers", 34),
        std::pair("num_attention_heads", 8), std::pair("head_dim", 256),
        std::pair("num_key_value_heads", 4), std::pair("vocab_size", 262208),
        std::pair("max_position_embeddings", 131072)}) {
    EXPECT_EQ(part.config[name], value) << name;
  }
  EXPECT_EQ(part.config["model_type"], "gemma3_text");
  EXPECT_EQ(part.config["eos_token_id"], (std::vector<int>{1, 106}));
}

TEST(TextPart, OtherCheckpointsAreRefusedOrLeftAlone) {
  const nlohmann::json plain = {{"model_type", "llama"}, {"text_config", nullptr}};
  EXPECT_EQ(TakeTextPart(plain, "c").config, plain);
  EXPECT_EQ(TakeTextPart("text", "c").config, "text");
  EXPECT_THAT(
      ErrorOf([] {
        TakeTextPart({{"model_type", "mllama"}, {"text_config", {{"model_type", "x"}}}}, "c");
      }),
      AllOf(HasSubstr("c: model_type: got 'mllama', a multimodal model"), HasSubstr("gemma3")));
  // A tensor of neither part stays, so that convert refuses it by name.
  CheckpointTensors tensors;
  tensors["audio_tower.weight"];
  tensors["model.vision_tower.weight"];
  tensors["language_model.model.norm.weight"];
  const CheckpointTensors text = TextTensors(tensors);
  ASSERT_EQ(text.size(), 2);
  EXPECT_TRUE(text.contains("audio_tower.weight") && text.contains("model.norm.weight"));
  tensors["model.norm.weight"];
  EXPECT_THAT(ErrorOf([&] { TextTensors(tensors); }),
              HasSubstr("'model.norm.weight': got it under two"));
}

TEST(TextPart, AProcessorsChatTemplateIsTaken) {
  TestFolder folder;
  WriteCheckpoint("llama", folder);
  folder.Write("tokenizer_config.json", "{}");
  folder.Write("chat_template.json", R"({"chat_template": "{{ messages }}"})");
  ConvertOptions options;
  options.decoder.format.block_size = 16;
  ConvertCheckpoint(folder.path(), folder / "out", options);
  EXPECT_EQ(FileBytes(folder / "out/chat_template.jinja"), "{{ messages }}");
}

}  // namespace
}  // namespace sinter::convert
