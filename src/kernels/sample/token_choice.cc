#include "kernels/sample/token_choice.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {

KernelPlan PlanTokenChoice(const gpu::Caps& caps, const TokenChoiceShape& shape,
                           std::string_view kernel, std::string_view wgsl,
                           std::string_view variant) {
  const std::string_view act = FloatWgslType(caps, kernel, shape.dtype);
  if (shape.vocab == 0 || shape.vocab > kMaxVocab) {
    throw Error("kernels", "vocabulary: got {} tokens, want 1 to {}", shape.vocab, kMaxVocab);
  }
  const uint32_t row_stride = shape.row_stride == 0 ? shape.vocab : shape.row_stride;
  SINTER_CHECK(row_stride >= shape.vocab && shape.rows > 0 && shape.ring_size > 0);
  const bool vec4 = row_stride % 4 == 0;

  KernelPlan plan;
  plan.wgsl = wgsl;
  plan.variant = fmt::format("{}.{}{}.{}", kernel, act, vec4 ? ".vec4" : "", variant);
  if (vec4) plan.defines.push_back("vec4");
  if (act == "f16") plan.defines.push_back("f16");
  if (variant.ends_with(".sg")) plan.defines.push_back("subgroups");
  plan.prelude = fmt::format("alias act_t = {};\n", act);
  plan.SetParams(TokenChoiceParams{.vocab = shape.vocab,
                                   .rows = shape.rows,
                                   .row_stride = row_stride,
                                   .ring_size = shape.ring_size});
  return plan;
}

}  // namespace sinter::kernels
