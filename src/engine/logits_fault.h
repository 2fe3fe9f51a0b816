// The error for logits from which no token can be chosen.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "engine/model.h"
#include "kernels/sample/token_choice.h"

namespace sinter::engine {

// Returns the error for logits after `tokens` tokens of a sequence. It advises to compute in f32 if
// the model computes in f16 on its device.
Error LogitsError(const Model& model, kernels::TokenFault fault, int64_t tokens);

}  // namespace sinter::engine
