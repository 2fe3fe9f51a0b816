#include "generate/context_window.h"

#include <algorithm>
#include <string>
#include <utility>

namespace sinter::generate {
namespace {

// Returns for each message the number of its turn, and for those that always stay SIZE_MAX.
std::vector<size_t> TurnsOf(const Messages& messages) {
  std::vector<size_t> turns;
  size_t next = 0;  // turns begun so far
  for (const std::string& message : messages) {
    if (IsSystemMessage(message)) {
      turns.push_back(SIZE_MAX);
      continue;
    }
    if (next == 0 || RoleOf(message) == "user") ++next;
    turns.push_back(next - 1);
  }
  return turns;
}

// Returns the number of turns that can be left out.
size_t MostLeftOut(const std::vector<size_t>& turns) {
  size_t last = 0;
  for (const size_t turn : turns) {
    if (turn != SIZE_MAX) last = turn;
  }
  return last;
}

Messages Without(const Messages& messages, const std::vector<size_t>& turns, size_t left_out) {
  Messages kept;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (turns[i] >= left_out) kept.push_back(messages[i]);
  }
  return kept;
}

}  // namespace

ConversationTooLongError::ConversationTooLongError(int64_t tokens, int64_t room)
    : Error("generate",
            "message: got {} tokens including the system message, want at most {} (the maximum "
            "length minus 1 for the answer)",
            tokens, room),
      tokens_(tokens),
      room_(room) {}

bool IsSystemMessage(const std::string& message) {
  const std::string role = RoleOf(message);
  return role == "system" || role == "developer";
}

WindowSize WindowSizeFor(int64_t max_length, int64_t max_new_tokens) {
  constexpr int64_t kMostByDefault = 2048;
  const int64_t wanted =
      max_new_tokens > 0 ? max_new_tokens : std::min(max_length / 4, kMostByDefault);
  return {max_length, std::clamp<int64_t>(wanted, 1, std::max<int64_t>(max_length / 2, 1))};
}

Messages WithoutTurns(const Messages& messages, size_t left_out) {
  const std::vector<size_t> turns = TurnsOf(messages);
  return Without(messages, turns, std::min(left_out, MostLeftOut(turns)));
}

Window FitTurns(const Messages& messages, size_t left_out, const WindowSize& size,
                const std::function<std::vector<int32_t>(const Messages&)>& encode) {
  const std::vector<size_t> turns = TurnsOf(messages);
  const size_t most = MostLeftOut(turns);
  const auto window = [&](size_t count) {
    return Window{encode(Without(messages, turns, count)), count};
  };
  const auto fits = [](const Window& window, int64_t tokens) {
    return static_cast<int64_t>(window.prompt.size()) <= tokens;
  };
  Window found = window(std::min(left_out, most));
  if (fits(found, size.max_length - size.answer)) return found;
  const size_t least = found.left_out_turns;
  if (least < most) found = window(most);
  const int64_t room = size.max_length - 1;
  if (!fits(found, room)) {
    throw ConversationTooLongError(static_cast<int64_t>(found.prompt.size()), room);
  }
  // Takes the first of these bounds that the last turn by itself fits, and the fewest turns for it.
  for (const int64_t bound : {size.max_length / 2, size.max_length - size.answer, room}) {
    if (!fits(found, bound)) continue;
    for (size_t low = least; low < found.left_out_turns;) {
      const size_t middle = low + (found.left_out_turns - low) / 2;
      Window tried = window(middle);
      if (fits(tried, bound)) {
        found = std::move(tried);
      } else {
        low = middle + 1;
      }
    }
    break;
  }
  return found;
}

}  // namespace sinter::generate
