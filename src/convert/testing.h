// For tests: small checkpoints with random weights.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "convert/quantize.h"

namespace sinter::convert {

// A new temporary folder, which the destructor removes with all its contents.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sinter_convert_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path path_;
};

// Returns the bytes of a safetensors file with this header and data.
inline std::string SafetensorsBytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

// A set of tensors to be written as safetensors files.
class TestTensors {
 public:
  using Shape = std::vector<int64_t>;

  // Adds a BF16 tensor of uniform values in [mean - spread, mean + spread).
  void Add(const std::string& name, const Shape& shape, float spread, float mean = 0) {
    std::string bytes;
    for (int64_t i = 0; i < Count(shape); ++i) {
      const uint16_t value = FloatToBFloat16(mean + spread * random_.Uniform());
      bytes.append(reinterpret_cast<const char*>(&value), 2);
    }
    AddBytes(name, "BF16", shape, bytes);
  }
  // Adds a weight of [rows, columns] and variance 1 / columns, so that its product has about the
  // magnitude of its input.
  void Linear(const std::string& name, int64_t rows, int64_t columns) {
    Add(name, {rows, columns}, std::sqrt(3.0f / static_cast<float>(columns)));
  }
  void AddBytes(const std::string& name, const std::string& dtype, const Shape& shape,
                const std::string& bytes) {
    tensors_[name] = {dtype, shape, bytes};
  }
  void AddRandomBytes(const std::string& name, const Shape& shape, int low, int high) {
    std::string bytes;
    for (int64_t i = 0; i < Count(shape); ++i) {
      bytes += static_cast<char>(low + static_cast<int>(random_.Next() % (high - low + 1)));
    }
    AddBytes(name, "U8", shape, bytes);
  }
  void Remove(const std::string& name) { tensors_.erase(name); }
  // Gives every tensor the name that `rename` returns for its own.
  void Rename(const std::function<std::string(const std::string&)>& rename) {
    std::map<std::string, Tensor> renamed;
    for (auto& [name, tensor] : tensors_) renamed[rename(name)] = std::move(tensor);
    tensors_ = std::move(renamed);
  }

  // Returns a file of all tensors, or one shard: every `parts`-th tensor, beginning with `part`.
  std::string File(size_t part = 0, size_t parts = 1) const {
    nlohmann::json header;
    header["__metadata__"]["format"] = "pt";
    std::string data;
    size_t index = 0;
    for (const auto& [name, tensor] : tensors_) {
      if (index++ % parts != part) continue;
      header[name] = {{"dtype", tensor.dtype},
                      {"shape", tensor.shape},
                      {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
      data += tensor.bytes;
    }
    return SafetensorsBytes(header.dump(), data);
  }
  // Writes the tensors as several files with an index.
  void WriteShards(const TestFolder& folder, size_t parts) const {
    nlohmann::json index;
    size_t at = 0;
    for (const auto& [name, tensor] : tensors_) {
      index["weight_map"][name] = ShardName(at++ % parts);
    }
    folder.Write("model.safetensors.index.json", index.dump());
    for (size_t part = 0; part < parts; ++part) folder.Write(ShardName(part), File(part, parts));
  }

 private:
  struct Tensor {
    std::string dtype;
    Shape shape;
    std::string bytes;
  };
  static int64_t Count(const Shape& shape) {
    int64_t count = 1;
    for (const int64_t dim : shape) count *= dim;
    return count;
  }
  static std::string ShardName(size_t part) {
    return "model-" + std::to_string(part) + ".safetensors";
  }

  std::map<std::string, Tensor> tensors_;
  Random random_{7};
};

// Returns config.json of a small model; SmallNames() lists the names.
inline nlohmann::json SmallConfig(const std::string& name) {
  const std::string file = name == "gpt_oss_mxfp4" ? "gpt_oss" : name;
  std::ifstream stream(SINTER_SMALL_CONFIGS "/" + file + ".json");
  return nlohmann::json::parse(stream);
}

// Returns every tensor that a checkpoint of SmallConfig(name) has.
inline TestTensors SmallTensors(const std::string& name) {
  const nlohmann::json config = SmallConfig(name);
  const std::string type = config["model_type"];
  const int64_t hidden = config["hidden_size"], width = config["intermediate_size"],
                vocab = config["vocab_size"], head = config["head_dim"];
  const int64_t q = config["num_attention_heads"].get<int64_t>() * head,
                kv = config["num_key_value_heads"].get<int64_t>() * head;
  const bool gemma = type == "gemma3_text", bias = config.value("attention_bias", false);
  TestTensors t;
  const auto norm = [&](const std::string& tensor, int64_t size) {
    t.Add(tensor, {size}, 0.3f, gemma ? 0.0f : 1.0f);
  };
  t.Add("model.embed_tokens.weight", {vocab, hidden}, 0.3f);
  if (!config["tie_word_embeddings"]) t.Linear("lm_head.weight", vocab, hidden);
  norm("model.norm.weight", hidden);
  for (int64_t layer = 0; layer < config["num_hidden_layers"]; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    norm(at + "input_layernorm.weight", hidden);
    norm(at + "post_attention_layernorm.weight", hidden);
    if (gemma) {
      norm(at + "pre_feedforward_layernorm.weight", hidden);
      norm(at + "post_feedforward_layernorm.weight", hidden);
    }
    if (type == "phi3") {
      t.Linear(at + "self_attn.qkv_proj.weight", q + 2 * kv, hidden);
      t.Linear(at + "mlp.gate_up_proj.weight", 2 * width, hidden);
    } else {
      const bool qkv_bias = bias || type == "qwen2" || type == "gpt_oss";
      for (const auto& [part, rows] : {std::pair("q", q), std::pair("k", kv), std::pair("v", kv)}) {
        t.Linear(at + "self_attn." + part + "_proj.weight", rows, hidden);
        if (qkv_bias) t.Add(at + "self_attn." + part + "_proj.bias", {rows}, 0.2f);
      }
    }
    t.Linear(at + "self_attn.o_proj.weight", hidden, q);
    if (bias || type == "gpt_oss") t.Add(at + "self_attn.o_proj.bias", {hidden}, 0.2f);
    if (gemma || type.starts_with("qwen3")) {
      norm(at + "self_attn.q_norm.weight", head);
      norm(at + "self_attn.k_norm.weight", head);
    }
    const std::string mlp = at + "mlp.";
    const std::vector<int64_t> dense = config.value("mlp_only_layers", std::vector<int64_t>());
    if (type == "qwen3_moe" && std::find(dense.begin(), dense.end(), layer) == dense.end()) {
      const int64_t experts = config["num_experts"], inner = config["moe_intermediate_size"];
      t.Linear(mlp + "gate.weight", experts, hidden);
      for (int64_t expert = 0; expert < experts; ++expert) {
        const std::string from = mlp + "experts." + std::to_string(expert) + ".";
        t.Linear(from + "gate_proj.weight", inner, hidden);
        t.Linear(from + "up_proj.weight", inner, hidden);
        t.Linear(from + "down_proj.weight", hidden, inner);
      }
    } else if (type == "gpt_oss") {
      const int64_t experts = config["num_local_experts"];
      t.Linear(mlp + "router.weight", experts, hidden);
      t.Add(mlp + "router.bias", {experts}, 0.2f);
      t.Add(at + "self_attn.sinks", {config["num_attention_heads"]}, 1.0f);
      t.Add(mlp + "experts.gate_up_proj_bias", {experts, 2 * width}, 0.2f);
      t.Add(mlp + "experts.down_proj_bias", {experts, hidden}, 0.2f);
      if (name == "gpt_oss_mxfp4") {
        for (const auto& [part, rows, columns] :
             {std::tuple("gate_up", 2 * width, hidden), std::tuple("down", hidden, width)}) {
          const std::string from = mlp + "experts." + part + "_proj";
          t.AddRandomBytes(from + "_blocks", {experts, rows, columns / 32, 16}, 0, 255);
          t.AddRandomBytes(from + "_scales", {experts, rows, columns / 32}, 122, 124);
        }
      } else {
        t.Add(mlp + "experts.gate_up_proj", {experts, hidden, 2 * width}, 0.2f);
        t.Add(mlp + "experts.down_proj", {experts, width, hidden}, 0.2f);
      }
    } else {
      const bool mlp_bias = config.value("mlp_bias", false);
      for (const auto& [part, rows, columns] :
           {std::tuple("gate", width, hidden), std::tuple("up", width, hidden),
            std::tuple("down", hidden, width)}) {
        if (type == "phi3" && std::string(part) != "down") continue;
        t.Linear(mlp + part + "_proj.weight", rows, columns);
        if (mlp_bias) t.Add(mlp + part + "_proj.bias", {rows}, 0.2f);
      }
    }
  }
  return t;
}

// Writes a whole checkpoint with its tensors in one file.
inline void WriteCheckpoint(const std::string& name, const TestFolder& folder) {
  folder.Write("config.json", SmallConfig(name).dump());
  folder.Write("tokenizer.json", "{}");
  folder.Write("model.safetensors", SmallTensors(name).File());
}

inline const std::vector<std::string>& SmallNames() {
  static const std::vector<std::string> names = {
      "qwen2",       "qwen3",   "qwen3_moe",    "qwen3_moe_mixed", "llama",
      "llama_plain", "mistral", "phi3",         "phi3_longrope",   "gemma3_text",
      "smollm3",     "gpt_oss", "gpt_oss_mxfp4"};
  return names;
}

// Returns the text of the Error that `body` throws, or "no error", which fails the callers' checks.
template <typename Body>
std::string ErrorOf(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace sinter::convert
