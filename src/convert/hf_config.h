// Reads config.json of a Hugging Face checkpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "convert/rope_config.h"

namespace sinter::convert {

// Error("convert") for a number of layers that the checkpoint does not have. Only its config.json
// tells how many there are.
class LayersError : public Error {
 public:
  using Error::Error;
};

// Upper bound on a model's context.
inline constexpr int64_t kMaxContext = int64_t{1} << 24;
// Upper bound on the experts of a layer.
inline constexpr int64_t kMaxExperts = 4096;

// The fields that several architectures share. An architecture's own file reads from `json` the
// fields that it alone has.
struct HfConfig {
  nlohmann::json json;
  std::string file;  // for errors

  std::string model_type;  // "qwen3"
  // The model_type of the multimodal model of which this is the language model; empty for others.
  std::string whole_type;
  std::string architecture;  // "Qwen3ForCausalLM"
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t intermediate = 0, vocab = 0, context = 0;
  double norm_epsilon = 1e-6;
  bool tied_embeddings = false;
  RopeConfig rope;
  std::optional<int64_t> sliding_window;
  // layer_types: true for each layer that attends to its sliding window only. Empty without it.
  std::vector<bool> sliding_layers;
  // Names of the fields that Find() and the functions below it were asked for.
  mutable std::set<std::string, std::less<>> asked;

  // Returns the field of `json`, or a null pointer if it is absent or null.
  const nlohmann::json* Find(std::string_view name) const;
  // Return one field of `json`, or `fallback` if it is absent. Throw Error("convert") if the field
  // has another type or is out of range (integers are sizes, from 0 to `most`), or is absent and
  // there is no fallback.
  bool Flag(std::string_view name, bool fallback) const;
  int64_t Int(std::string_view name, std::optional<int64_t> fallback = {},
              int64_t most = kMaxContext) const;
  double Double(std::string_view name, double fallback) const;
  // Throws Error("convert") if the field is present with any value but `only`.
  void Want(std::string_view name, const nlohmann::json& only) const;
  // Throws Error("convert") if hidden_act is present and not SiLU under one of its names.
  void WantSilu() const;

  // Returns for each layer whether it attends to its sliding window only: as layer_types says, or
  // else as `by_default` does. Throws Error("convert") if there is such a layer but no window,
  // which `windows` tells.
  std::vector<bool> SlidingLayers(bool windows,
                                  const std::function<bool(int64_t layer)>& by_default) const;
  // Returns the window that every layer has, or none if it is as large as the context and hides
  // nothing. Throws Error("convert") if layer_types or use_sliding_window says otherwise.
  std::optional<int64_t> UniformWindow() const;
  // Throws Error("convert") if config.json asks for a window, which the architecture does not have.
  void WantNoWindow() const;
};

// Parses config.json, keeping only the first `layers` layers if given. `file` is named in errors.
// Throws Error("convert"), which names the file and the field, for missing or invalid fields.
HfConfig ParseHfConfig(nlohmann::json json, const std::string& file,
                       std::optional<int64_t> layers = {});

}  // namespace sinter::convert
