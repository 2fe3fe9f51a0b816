// Compares all variants of chosen kernel cases in about a minute. It serves to check a plan's order
// of guesses before changing it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gpu/device.h"

namespace sinter::kernels {

// Prints a table for each case whose `kernel/case` matches the regular expression `cases`: the
// variants that match `variants`, fastest first, with microseconds and TFLOP/s. Last comes the best
// variant of every case. All variants are compiled at once and each result is checked. The variants
// take turns, so that a clock that ramps up affects all of them alike.
//
// A variant with a wrong result is timed too and marked as wrong, because removing a part of a
// shader shows what that part costs. `wgsl_dirs` are folders of changed shaders: each variant is
// timed once as built and once with each folder's shaders, then with `@FOLDER` appended to its
// name.
//
// Returns the number of variants that failed or were wrong, or 1 if nothing matched. Throws Error
// if `cases` or `variants` is not a valid regular expression.
int PrintVariantsTable(gpu::Device& device, const std::string& cases, const std::string& variants,
                       const std::vector<std::filesystem::path>& wgsl_dirs);

}  // namespace sinter::kernels
