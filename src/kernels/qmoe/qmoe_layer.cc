#include "kernels/qmoe/qmoe_layer.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/error.h"

namespace sinter::kernels::qmoe {
namespace {

constexpr uint32_t kMaxTopK = 256;

}  // namespace

void CheckShape(const QMoEShape& shape) {
  if (shape.bits != 2 && shape.bits != 4 && shape.bits != 8) {
    throw Error("kernels", "bits of QMoE: got {}, want 2, 4 or 8", shape.bits);
  }
  if (shape.block_size != 0 && (!std::has_single_bit(shape.block_size) || shape.block_size < 16)) {
    throw Error("kernels", "block size of QMoE: got {}, want 0 or a power of two from 16 on",
                shape.block_size);
  }
  if (shape.top_k == 0 || shape.top_k > std::min(shape.experts, kMaxTopK)) {
    throw Error("kernels", "experts per token of QMoE: got {} of {}, want 1 to {}", shape.top_k,
                shape.experts, std::min(shape.experts, kMaxTopK));
  }
  SINTER_CHECK(shape.tokens > 0 && shape.hidden > 0 && shape.intermediate > 0);
  SINTER_CHECK(uint64_t{shape.expert_begin} + shape.expert_count <= shape.experts);
}

Layer GateUpLayer(const QMoEShape& shape) {
  return {shape.fc1_rows(), shape.hidden, shape.intermediate, shape.fc1_zero_points,
          shape.fc1_bias};
}

Layer DownLayer(const QMoEShape& shape) {
  return {shape.hidden, shape.intermediate, shape.hidden, shape.fc2_zero_points, shape.fc2_bias};
}

uint32_t ChunkWords(const QMoEShape& shape, const Layer& layer) {
  const uint32_t row_bytes = layer.row_bytes(shape);
  uint32_t words = row_bytes % 16 == 0 ? 4 : row_bytes % 8 == 0 ? 2 : row_bytes % 4 == 0 ? 1 : 0;
  if (shape.block_size != 0) words = std::min(words, shape.block_size * shape.bits / 32);
  return words;
}

std::string_view ActivationName(QMoEActivation activation) {
  switch (activation) {
    case QMoEActivation::kRelu:
      return "relu";
    case QMoEActivation::kGelu:
      return "gelu";
    case QMoEActivation::kSilu:
      return "silu";
    case QMoEActivation::kSwiGlu:
      return "swiglu";
    default:
      return "identity";
  }
}

}  // namespace sinter::kernels::qmoe
