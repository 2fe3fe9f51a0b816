#include "engine/logits_fault.h"

#include <algorithm>

namespace sinter::engine {

Error LogitsError(const Model& model, kernels::TokenFault fault, int64_t tokens) {
  const bool half = model.device()->caps().f16 &&
                    std::ranges::any_of(model.graph().values(), [](const graph::Value* value) {
                      return value->dtype == DType::kF16;
                    });
  return {
      "model", "logits after token {} of the sequence: got {}, want finite numbers: {}", tokens,
      fault == kernels::TokenFault::kNotFinite ? "NaN or infinity" : "-infinity for every token",
      half ? "a result in between may be too large for f16: try --f32"
           : "the model's weights or its graph give no numbers in f32 either"};
}

}  // namespace sinter::engine
