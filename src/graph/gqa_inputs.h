// Input indices of com.microsoft.GroupQueryAttention, in the order of the operator table.
#pragma once

#include <cstddef>

namespace sinter::graph {

enum GqaInput : size_t {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kSeqlensK,
  kTotalSequenceLength,
  kCosCache,
  kSinCache,
  kPositionIds,
  kAttentionBias,
  kHeadSink,
  kKScale,
  kVScale,
  kQNormWeight,
  kKNormWeight,
};

}  // namespace sinter::graph
