#include "kernels/common/matrix_tile.h"

#include <gtest/gtest.h>

namespace sinter::kernels {
namespace {

Caps MatrixCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.subgroup_matrix = {{DType::kF16, DType::kF32, 16, 16, 16}};
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  return caps;
}

TEST(MatrixTile, NamesWhatItDependsOn) {
  EXPECT_EQ(MatrixTileName({128, 64, 32, 4, 2, 1, 2}), "128x64x32.4x2");
  EXPECT_EQ(MatrixTileName({128, 64, 64, 4, 4, 2, 1}), "128x64x64.4x4.k2.single");
  EXPECT_EQ(MatrixTileName({128, 96, 32, 4, 3, 1, 2}), "128x96x32.4x3");
  const MatrixTile tile = {128, 128, 32, 4, 4, 1, 2};
  EXPECT_EQ(MatrixTileVariant(tile, *LayOutMatrixTile(MatrixCaps(), tile, true)),
            "matrix.128x128x32.4x4.sg32.16x16x16");
}

TEST(MatrixTile, KeepsToLimits) {
  const Caps caps = MatrixCaps();
  // 2 x (128 + 128) rows of 5 vec4 are 40 KiB; 4 subgroups.
  const auto fits = LayOutMatrixTile(caps, {128, 128, 32, 4, 4, 1, 2}, true);
  ASSERT_TRUE(fits.has_value());
  EXPECT_EQ(fits->threads, 128u);
  EXPECT_FALSE(LayOutMatrixTile(caps, {128, 128, 64, 4, 4, 1, 2}, true).has_value());
  // 256 subgroups of 32 threads are too many.
  EXPECT_FALSE(LayOutMatrixTile(caps, {256, 256, 16, 1, 1, 1, 1}, true).has_value());
  // The tile is no whole number of matrices.
  EXPECT_FALSE(LayOutMatrixTile(caps, {32, 64, 32, 4, 4, 1, 1}, true).has_value());
  EXPECT_FALSE(LayOutMatrixTile(caps, {64, 64, 32, 2, 2, 4, 1}, true).has_value());
  EXPECT_FALSE(LayOutMatrixTile({}, {}, true).has_value());
}

}  // namespace
}  // namespace sinter::kernels
