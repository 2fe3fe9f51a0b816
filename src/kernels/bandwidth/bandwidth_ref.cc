#include "kernels/bandwidth/bandwidth.h"

namespace sinter::kernels {

std::vector<uint32_t> BandwidthReference(std::span<const uint32_t> data, uint32_t threads) {
  std::vector<uint32_t> sums(threads);
  for (size_t i = 0; i < data.size(); ++i) sums[i / 4 % threads] ^= data[i];
  return sums;
}

}  // namespace sinter::kernels
