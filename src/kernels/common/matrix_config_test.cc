#include "kernels/common/matrix_config.h"

#include <gtest/gtest.h>

namespace sinter::kernels {
namespace {

Caps MatrixCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.subgroup_matrix = {
      {DType::kF16, DType::kF32, 16, 8, 8},   {DType::kF16, DType::kF32, 16, 16, 16},
      {DType::kF16, DType::kF16, 32, 32, 32}, {DType::kF32, DType::kF32, 32, 32, 32},
      {DType::kF16, DType::kF32, 64, 64, 4},  {DType::kF16, DType::kF32, 16, 8, 16}};
  return caps;
}

TEST(MatrixConfig, IsTheLargestOfHalvesWithSingleSums) {
  EXPECT_EQ(FindMatrixConfig(MatrixCaps())->n, 16u);
}

TEST(MatrixConfig, NeedsHalvesAndSubgroupsOfOneSize) {
  EXPECT_FALSE(FindMatrixConfig({}).has_value());
  Caps caps = MatrixCaps();
  caps.f16 = false;
  EXPECT_FALSE(FindMatrixConfig(caps).has_value());
  caps = MatrixCaps();
  caps.subgroup_min_size = 8;
  EXPECT_FALSE(FindMatrixConfig(caps).has_value());
  caps = MatrixCaps();
  caps.subgroups = false;
  EXPECT_FALSE(FindMatrixConfig(caps).has_value());
}

}  // namespace
}  // namespace sinter::kernels
