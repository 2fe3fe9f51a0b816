// Helpers that the plans of QMoE's kernels share. Internal to this folder.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/qmoe/qmoe.h"

namespace sinter::kernels::qmoe {

// One of the two layers. Its weight is [E, rows, k], and it writes `outputs` features per slot.
struct Layer {
  uint32_t rows, k, outputs;
  bool zero_points, bias;

  uint32_t blocks(const QMoEShape& shape) const {
    return shape.block_size == 0 ? 1 : (k + shape.block_size - 1) / shape.block_size;
  }
  uint32_t row_bytes(const QMoEShape& shape) const { return (k * shape.bits + 7) / 8; }
  // Returns the bits of packed zero points from one row to the next. Without blocks the rows of an
  // expert are packed together.
  uint32_t zero_points_row_bits(const QMoEShape& shape) const {
    return shape.block_size == 0 ? shape.bits : (blocks(shape) * shape.bits + 7) / 8 * 8;
  }
  uint32_t zero_points_expert_bytes(const QMoEShape& shape) const {
    return (rows * zero_points_row_bits(shape) + 7) / 8;
  }
};

Layer GateUpLayer(const QMoEShape& shape);
Layer DownLayer(const QMoEShape& shape);

// Throws Error for what no kernel supports: bits, block size, experts per token.
void CheckShape(const QMoEShape& shape);

// Returns the 32-bit words of the widest load that all rows are aligned to and that stays inside a
// block; 0 if rows are not even aligned to words.
uint32_t ChunkWords(const QMoEShape& shape, const Layer& layer);

std::string_view ActivationName(QMoEActivation activation);

}  // namespace sinter::kernels::qmoe
