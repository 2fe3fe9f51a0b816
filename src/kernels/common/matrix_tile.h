// Host side of common/matrix_tile.wgsl: how a workgroup divides its products.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/caps.h"
#include "kernels/common/matrix_config.h"

namespace sinter::kernels {

// Parameters that are chosen by measurement. They change the result only by the order of sums.
struct MatrixTile {
  uint32_t m = 64, n = 64;      // a workgroup's tile of Y
  uint32_t step = 32;           // length of K between two barriers
  uint32_t rows = 2, cols = 2;  // matrices of sums of a subgroup: 1, 2 or 4; 1 to 4
  uint32_t split = 1;           // subgroups that share the products of a place, by slices of K
  uint32_t buffers = 2;         // steps in workgroup memory: 1 or 2
  uint32_t parts = 1;           // workgroups that share a tile, by parts of K: 1 or 2
  // If set, the loads of a step begin together with the products of the previous step, instead of
  // one step earlier. This takes fewer registers and waits longer.
  bool late = false;
};

// Returns a name such as `128x64x32.4x2`, followed by `.k2` for a split in two, `.single` for one
// buffer, `.p2` for two parts, and `.late`.
std::string MatrixTileName(const MatrixTile& tile);

// Properties of a tile on an adapter.
struct MatrixTileLayout {
  SubgroupMatrixConfig config;
  uint32_t subgroup_size = 0, threads = 0;
};

// Returns the layout, or nothing if the adapter cannot run the tile: it has no matrices of that
// size, or threads or workgroup memory exceed its limits. `turned` means that B's rows run along K.
std::optional<MatrixTileLayout> LayOutMatrixTile(const Caps& caps, const MatrixTile& tile,
                                                 bool turned);

// Returns the constants that the shader requires in its prelude.
std::string MatrixTilePrelude(const MatrixTile& tile, const MatrixTileLayout& layout, bool turned);

// Returns the part of a plan's variant that names everything the prelude depends on:
// `matrix.128x64x32.4x2.sg32.16x16x16`.
std::string MatrixTileVariant(const MatrixTile& tile, const MatrixTileLayout& layout);

}  // namespace sinter::kernels
