// Every variant of chosen kernel cases beside the others, in a minute: what to look at before a
// plan's order of guesses is changed.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gpu/device.h"

namespace sinter::kernels {

// Prints a table of each case whose `kernel/case` the regular expression `cases` finds: its
// variants that `variants` finds, quickest first, with microseconds and TFLOP/s; last the best of
// every case. All are compiled at once, each result is checked, and variants take turns, so that
// the clock's ramp meets all of them. A wrong result is timed too, and said: to take a part out of
// a shader tells what that part costs. With `wgsl_dirs`, folders of changed shaders, each variant
// is there once as built and once with each folder's, `@FOLDER` behind its name. Returns how many
// failed or were wrong, 1 where nothing was found. Throws Error for what is no regular expression.
int PrintVariantsTable(gpu::Device& device, const std::string& cases, const std::string& variants,
                       const std::vector<std::filesystem::path>& wgsl_dirs);

}  // namespace sinter::kernels
