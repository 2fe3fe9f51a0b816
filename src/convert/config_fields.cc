#include "convert/config_fields.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/error.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

using nlohmann::json;

// Values, as a list in JSON, that turn a feature off or leave a factor at one. Null always does.
constexpr std::string_view kOff = R"([false, 0, "", [], {}])";
constexpr std::string_view kOne = "[1]";

struct MathField {
  std::string_view name;
  std::string_view neutral;
};

// Fields by which some architecture of transformers changes its maths. The configuration classes
// accept each of them for every architecture, and the models that do not know one ignore it.
constexpr MathField kMathFields[] = {
    // Factors.
    {"attention_in_multiplier", kOne},
    {"attention_out_multiplier", kOne},
    {"embedding_multiplier", kOne},
    {"embedding_scale", kOne},
    {"key_multiplier", kOne},
    {"lm_head_multiplier", kOne},
    {"logit_scale", kOne},
    {"logits_scaling", kOne},
    {"mlp_multipliers", "[[1, 1]]"},
    {"mup_width_multiplier", kOne},
    {"residual_multiplier", kOne},
    {"residual_scale", kOne},
    {"rope_ratio", kOne},
    {"rotary_pct", kOne},
    {"routed_scaling_factor", kOne},
    {"scale_emb", kOne},
    {"dim_model_base", kOff},
    {"scale_depth", kOff},
    // Attention.
    {"add_cross_attention", kOff},
    {"alibi", kOff},
    {"attention_bias", kOff},
    {"attention_chunk_size", kOff},
    {"attention_out_bias", kOff},
    {"attention_sink_size", kOff},
    {"attn_logit_softcapping", kOff},
    {"attn_scale", kOff},
    {"attn_temperature_tuning", kOff},
    {"clip_qkv", kOff},
    {"is_causal", "[true]"},
    {"is_encoder_decoder", kOff},
    {"kv_lora_rank", kOff},
    {"no_rope_layer_interval", kOff},
    {"no_rope_layers", kOff},
    {"num_kv_shared_layers", kOff},
    {"position_embedding_type", R"(["rope", "rotary"])"},
    {"q_lora_rank", kOff},
    {"qk_layernorm", kOff},
    {"qk_norm", kOff},
    {"qkv_bias", kOff},
    {"rope_interleave", kOff},
    {"rope_interleaved", kOff},
    {"rope_local_base_freq", kOff},
    {"scale_attn_by_inverse_layer_idx", kOff},
    {"scale_attn_weights", "[true]"},
    {"sliding_window_pattern", kOff},
    {"use_alibi", kOff},
    {"use_bidirectional_attention", kOff},
    {"use_qk_norm", kOff},
    {"use_qkv_bias", kOff},
    {"use_rope", "[true]"},
    // Norms, MLP, head.
    {"activation_function", R"(["silu", "swish"])"},
    {"add_bias_linear", kOff},
    {"bias", kOff},
    {"final_logit_softcapping", kOff},
    {"hidden_activation", R"(["silu", "swish"])"},
    {"hidden_size_per_layer_input", kOff},
    {"lm_head_bias", kOff},
    {"mlp_bias", kOff},
    {"norm_type", R"(["rms_norm", "rmsnorm", "RMSNorm"])"},
    {"normalize_embedding", kOff},
    {"parallel_attn", kOff},
    {"use_bias", kOff},
    {"use_parallel_residual", kOff},
    {"use_rms_norm", "[true]"},
    // Experts.
    {"first_k_dense_replace", kOff},
    {"mlp_only_layers", kOff},
    {"n_routed_experts", kOff},
    {"n_shared_experts", kOff},
    {"num_experts", kOff},
    {"num_local_experts", kOff},
    {"num_shared_experts", kOff},
    {"scoring_func", R"(["softmax"])"},
    {"shared_expert_intermediate_size", kOff},
    {"topk_method", R"(["greedy"])"},
};

// Fields that do not change what a model computes: names, training, the choice of tokens (which
// generation_config.json has), and the type of the weights (which the files have).
constexpr std::string_view kHarmlessFields[] = {"architectures",
                                                "attention_dropout",
                                                "attn_pdrop",
                                                "auto_map",
                                                "bos_token_id",
                                                "cache_implementation",
                                                "chunk_size_feed_forward",
                                                "compression_config",
                                                "decoder_start_token_id",
                                                "diversity_penalty",
                                                "do_sample",
                                                "dtype",
                                                "early_stopping",
                                                "embd_pdrop",
                                                "eos_token_id",
                                                "finetuning_task",
                                                "gradient_checkpointing",
                                                "hidden_dropout",
                                                "id2label",
                                                "initial_context_length",
                                                "initializer_range",
                                                "is_decoder",
                                                "label2id",
                                                "length_penalty",
                                                "max_length",
                                                "max_window_layers",
                                                "min_length",
                                                "model_type",
                                                "num_beam_groups",
                                                "num_beams",
                                                "num_return_sequences",
                                                "original_max_position_embeddings",
                                                "output_attentions",
                                                "output_hidden_states",
                                                "output_router_logits",
                                                "output_scores",
                                                "pad_token_id",
                                                "pretraining_tp",
                                                "quantization_config",
                                                "repetition_penalty",
                                                "resid_pdrop",
                                                "return_dict",
                                                "return_dict_in_generate",
                                                "router_aux_loss_coef",
                                                "router_jitter_noise",
                                                "sep_token_id",
                                                "temperature",
                                                "tokenizer_class",
                                                "top_k",
                                                "top_p",
                                                "torch_dtype",
                                                "torchscript",
                                                "transformers_version",
                                                "typical_p",
                                                "use_bfloat16",
                                                "use_cache",
                                                "use_sliding_window"};

bool IsNeutral(const json& value, std::string_view neutral) {
  const json values = json::parse(neutral);
  return value.is_null() || std::find(values.begin(), values.end(), value) != values.end();
}

// Checks a factor of the attention's scores, of which the usual value is not 1.
void CheckScale(const HfConfig& config, std::string_view name, double usual) {
  if (config.asked.contains(name)) return;
  const double value = config.Double(name, usual);
  if (std::abs(value / usual - 1) > 1e-6) {
    throw Error("convert", "{}: {}: got {}, want {}: {} has no other", config.file, name, value,
                usual, config.model_type);
  }
}

}  // namespace

void CheckQuantization(const HfConfig& config) {
  for (const char* name : {"quantization_config", "compression_config"}) {
    const json* field = config.Find(name);
    if (field == nullptr) continue;
    const json* method = FindField(*field, "quant_method");
    // gpt-oss's experts in MXFP4 are the one packed form that is read.
    if (config.model_type == "gpt_oss" && method != nullptr && *method == "mxfp4") continue;
    throw Error("convert", "{}: {}: got {}, want none: weights in bf16, f16 or f32", config.file,
                name, JsonExcerpt(method != nullptr ? *method : *field));
  }
}

void CheckIgnoredFields(const HfConfig& config) {
  for (const MathField& field : kMathFields) {
    const json* value = FindField(config.json, field.name);
    if (value == nullptr || config.asked.contains(field.name) || IsNeutral(*value, field.neutral)) {
      continue;
    }
    const json neutral = json::parse(field.neutral);
    throw Error("convert", "{}: {}: got {}, want {}: {} is converted without it", config.file,
                field.name, JsonExcerpt(*value), field.neutral == kOff ? "none" : neutral[0].dump(),
                config.model_type);
  }
  const auto head = static_cast<double>(config.head_size);
  CheckScale(config, "attention_multiplier", 1 / std::sqrt(head));
  CheckScale(config, "query_pre_attn_scalar", head);
}

std::vector<std::string> UnknownFields(const HfConfig& config) {
  std::vector<std::string> names;
  for (const auto& item : config.json.items()) {
    const std::string& name = item.key();
    const bool known = name.starts_with('_') || config.asked.contains(name) ||
                       std::find(std::begin(kHarmlessFields), std::end(kHarmlessFields), name) !=
                           std::end(kHarmlessFields) ||
                       std::any_of(std::begin(kMathFields), std::end(kMathFields),
                                   [&](const MathField& field) { return field.name == name; });
    if (!known && !IsNeutral(item.value(), kOff)) names.push_back(name);
  }
  return names;
}

}  // namespace sinter::convert
