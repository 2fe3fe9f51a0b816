// Why a text ended.
#pragma once

#include <string_view>

namespace sinter::generate {

enum class FinishReason { kEndToken, kStopString, kMaxNewTokens, kMaxLength, kCancelled };
std::string_view FinishReasonName(FinishReason reason);

}  // namespace sinter::generate
