// Chooses which of the adapter's subgroup matrix products the kernels use.
#pragma once

#include <optional>

#include "base/caps.h"

namespace sinter::kernels {

// Returns the largest product of f16 matrices with f32 sums that the adapter has, provided that n
// and k are whole vectors of 8 f16 and every subgroup has the same size. Returns nothing if there
// is none.
std::optional<SubgroupMatrixConfig> FindMatrixConfig(const Caps& caps);

}  // namespace sinter::kernels
