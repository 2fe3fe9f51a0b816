#include "kernels/common/matrix_config.h"

namespace sinter::kernels {

std::optional<SubgroupMatrixConfig> FindMatrixConfig(const Caps& caps) {
  std::optional<SubgroupMatrixConfig> best;
  if (!caps.f16 || caps.fixed_subgroup_size() == 0) return best;
  for (const SubgroupMatrixConfig& config : caps.subgroup_matrix) {
    if (config.component != DType::kF16 || config.result != DType::kF32) continue;
    if (config.n % 8 != 0 || config.k % 8 != 0) continue;
    if (!best || config.m * config.n * config.k > best->m * best->n * best->k) best = config;
  }
  return best;
}

}  // namespace sinter::kernels
