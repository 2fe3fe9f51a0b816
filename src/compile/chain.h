// Fusion level `chain`: the products and the attention of a layer as one dispatch, and layers that
// are alike as one with it (kernels/layer_chain/layer_chain.h).
#pragma once

#include "base/caps.h"
#include "compile/dispatch.h"
#include "compile/tuning.h"

namespace sinter::compile {

// Replaces runs of dispatches of which each takes what the one before gives, as far as the kernel
// takes them. Several layers become one where their constants can lie one behind the other, and
// where `places` (of Lower) has their caches so. Forced `variants` of `layer_chain` and the
// `choices` hold for all of them.
void ChainProducts(Lowered& lowered, const Caps& caps, const ForcedVariants& variants,
                   const Choices& choices);

}  // namespace sinter::compile
