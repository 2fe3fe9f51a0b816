// What /set does to the options for generating.
#pragma once

#include <string>

#include "cli/chat_commands.h"
#include "generate/generator.h"

namespace sinter::cli {

// Returns the options with a setting changed; its default is that of `first`. Throws Error for a
// value out of the setting's range.
generate::GenerateOptions WithSetting(const model::GenaiConfig& config,
                                      generate::GenerateOptions options,
                                      const generate::GenerateOptions& first,
                                      const SettingChange& change);

// Returns the settings as /set takes them, a line for each.
std::string SettingsText(const model::GenaiConfig& config,
                         const generate::GenerateOptions& options);

}  // namespace sinter::cli
