// Finds the fields of config.json that a conversion would ignore.
#pragma once

#include <string>
#include <vector>

#include "convert/hf_config.h"

namespace sinter::convert {

// Throws Error("convert") if config.json says that the checkpoint's weights are packed in a form
// that is not read.
void CheckQuantization(const HfConfig& config);

// Throws Error("convert"), which names the field, if config.json turns on something that changes
// the maths of some model and that nothing has asked `config` for. To be called when the model is
// built.
void CheckIgnoredFields(const HfConfig& config);

// Returns the names of the other fields that nothing has asked for, without those that are known
// not to change the maths.
std::vector<std::string> UnknownFields(const HfConfig& config);

}  // namespace sinter::convert
