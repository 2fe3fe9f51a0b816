// The host's side of common/matrix_tile.wgsl: how a workgroup cuts its products.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/caps.h"
#include "kernels/common/matrix_config.h"

namespace sinter::kernels {

// What does not change the result but for the order of sums, and is chosen by measurement.
struct MatrixTile {
  uint32_t m = 64, n = 64;      // of Y, a workgroup's
  uint32_t step = 32;           // of K, between two barriers
  uint32_t rows = 2, cols = 2;  // matrices of sums that a subgroup has: 1, 2 or 4; 1 to 4
  uint32_t split = 1;           // subgroups that share the products of a place, by slices of K
  uint32_t buffers = 2;         // steps in workgroup memory: 1 or 2
  uint32_t parts = 1;           // workgroups that share a tile, by parts of K: 1 or 2
  // Loads of a step begin with the products of the step before, not a step earlier: takes fewer
  // registers, waits longer.
  bool late = false;
};

// `128x64x32.4x2`; with `.k2` behind it for a split in two, `.single` for one buffer, `.p2` for two
// parts, `.late`.
std::string MatrixTileName(const MatrixTile& tile);

// What follows from a tile on an adapter.
struct MatrixTileLayout {
  SubgroupMatrixConfig config;
  uint32_t subgroup_size = 0, threads = 0;
};

// Empty where the adapter cannot run the tile: no matrices, or not of that size; threads or
// workgroup memory past its limits. `turned`: B's rows run along K.
std::optional<MatrixTileLayout> LayOutMatrixTile(const Caps& caps, const MatrixTile& tile,
                                                 bool turned);

// The constants that the shader asks of its prelude.
std::string MatrixTilePrelude(const MatrixTile& tile, const MatrixTileLayout& layout, bool turned);

// What the prelude depends on, for a plan's variant: `matrix.128x64x32.4x2.sg32.16x16x16`.
std::string MatrixTileVariant(const MatrixTile& tile, const MatrixTileLayout& layout);

}  // namespace sinter::kernels
