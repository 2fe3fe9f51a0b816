#include "cli/keys.h"

#include <algorithm>
#include <iterator>

namespace sinter::cli {
namespace {

constexpr char kEscape = '\x1b';
constexpr std::string_view kPasteEnd = "\x1b[201~";
// Longer sequences are no keys.
constexpr size_t kMaxSequenceBytes = 32;

struct Named {
  std::string_view bytes;
  KeyKind kind;
};

// Control characters and DEL.
constexpr Named kControls[] = {
    {"\x01", KeyKind::kHome},          {"\x02", KeyKind::kLeft},
    {"\x03", KeyKind::kInterrupt},     {"\x04", KeyKind::kEndOfInput},
    {"\x05", KeyKind::kEnd},           {"\x06", KeyKind::kRight},
    {"\x07", KeyKind::kCancel},        {"\x08", KeyKind::kBackspace},
    {"\x09", KeyKind::kTab},           {"\x0a", KeyKind::kEnter},
    {"\x0b", KeyKind::kDeleteToEnd},   {"\x0c", KeyKind::kClearScreen},
    {"\x0d", KeyKind::kEnter},         {"\x0e", KeyKind::kHistoryForward},
    {"\x10", KeyKind::kHistoryBack},   {"\x12", KeyKind::kSearch},
    {"\x15", KeyKind::kDeleteToBegin}, {"\x17", KeyKind::kDeleteWordLeft},
    {"\x19", KeyKind::kYank},          {"\x1a", KeyKind::kSuspend},
    {"\x7f", KeyKind::kBackspace},
};

// Sequences after Escape: xterm's in both cursor modes, the Linux console's and rxvt's.
constexpr Named kSequences[] = {
    {"[A", KeyKind::kUp},
    {"[B", KeyKind::kDown},
    {"[C", KeyKind::kRight},
    {"[D", KeyKind::kLeft},
    {"[H", KeyKind::kHome},
    {"[F", KeyKind::kEnd},
    {"OA", KeyKind::kUp},
    {"OB", KeyKind::kDown},
    {"OC", KeyKind::kRight},
    {"OD", KeyKind::kLeft},
    {"OH", KeyKind::kHome},
    {"OF", KeyKind::kEnd},
    {"OM", KeyKind::kEnter},
    {"[1~", KeyKind::kHome},
    {"[7~", KeyKind::kHome},
    {"[4~", KeyKind::kEnd},
    {"[8~", KeyKind::kEnd},
    {"[3~", KeyKind::kDelete},
    {"[5~", KeyKind::kHistoryBack},
    {"[6~", KeyKind::kHistoryForward},
    {"[1;5C", KeyKind::kWordRight},
    {"[1;5D", KeyKind::kWordLeft},
    {"[1;3C", KeyKind::kWordRight},
    {"[1;3D", KeyKind::kWordLeft},
    {"[5C", KeyKind::kWordRight},
    {"[5D", KeyKind::kWordLeft},
    {"Oc", KeyKind::kWordRight},
    {"Od", KeyKind::kWordLeft},
    {"[3;5~", KeyKind::kDeleteWordRight},
    {"[3;3~", KeyKind::kDeleteWordRight},
    {"\r", KeyKind::kNewline},
    {"\n", KeyKind::kNewline},
    {"[13;2u", KeyKind::kNewline},
    {"[13;3u", KeyKind::kNewline},
    {"[13;5u", KeyKind::kNewline},
    {"[27;2;13~", KeyKind::kNewline},
    {"[27;3;13~", KeyKind::kNewline},
    {"[27;5;13~", KeyKind::kNewline},
    {"b", KeyKind::kWordLeft},
    {"f", KeyKind::kWordRight},
    {"d", KeyKind::kDeleteWordRight},
    {"\x7f", KeyKind::kDeleteWordLeft},
    {"\x08", KeyKind::kDeleteWordLeft},
};

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; }

// Returns the length of the sequence that begins after Escape, or 0 if its end has not come.
// ECMA-48: CSI is followed by parameters (0x30 to 0x3f), intermediates (0x20 to 0x2f) and a final
// byte.
size_t SequenceBytes(std::string_view text) {
  if (text.empty()) return 0;
  if (text[0] == 'O') return text.size() < 2 ? 0 : 2;
  if (text[0] != '[') return 1;
  // The Linux console sends F1 as ESC [ [ A.
  if (text.size() > 1 && text[1] == '[') return text.size() < 3 ? 0 : 3;
  for (size_t i = 1; i < text.size(); ++i) {
    // A control character or another Escape is no part of a sequence.
    if (IsControl(text[i]) || i == kMaxSequenceBytes) return i;
    if (text[i] >= 0x40 && text[i] <= 0x7e) return i + 1;
  }
  return 0;
}

// Returns the bytes of the character that begins with `lead`, or 1 if none begins so.
size_t CharacterBytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte >= 0xf0 && byte < 0xf5 ? 4
         : byte >= 0xe0              ? (byte < 0xf0 ? 3 : 1)
         : byte >= 0xc2              ? 2
                                     : 1;
}

// Returns pasted text with LF for CR LF and CR, as terminals send line ends, and valid.
std::string PastedText(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\r') {
      text += bytes[i];
    } else if (i + 1 == bytes.size() || bytes[i + 1] != '\n') {
      text += '\n';
    }
  }
  return text::SanitizeUtf8(text);
}

}  // namespace

void KeyDecoder::Feed(std::string_view bytes) {
  // A terminal that never ends a paste would swallow all keys. Ctrl-C by itself gets out.
  if (pasting_ && bytes == "\x03") input_ += kPasteEnd;
  input_ += bytes;
  flush_ = false;
}

void KeyDecoder::Flush() { flush_ = true; }

std::optional<Key> KeyDecoder::Next() {
  while (!input_.empty()) {
    if (pasting_) return Paste();
    if (input_[0] == kEscape) {
      const size_t bytes = SequenceBytes(std::string_view(input_).substr(1));
      if (bytes == 0 && !flush_) return std::nullopt;
      if (std::optional<Key> key = Escape()) return key;
      continue;
    }
    if (IsControl(input_[0])) {
      const std::string control = input_.substr(0, 1);
      input_.erase(0, 1);
      const auto* named = std::ranges::find(kControls, control, &Named::bytes);
      if (named != std::end(kControls)) return Key{named->kind, ""};
      continue;
    }
    // Takes all text up to the next control character: a pipe or a quick typist sends much at once.
    size_t end = 0;
    while (end < input_.size() && !IsControl(input_[end])) {
      const size_t next = end + CharacterBytes(input_[end]);
      if (next > input_.size() && !flush_) break;
      end = std::min(next, input_.size());
    }
    if (end == 0) return std::nullopt;
    Key key = {KeyKind::kText, text::SanitizeUtf8(input_.substr(0, end))};
    input_.erase(0, end);
    return key;
  }
  return std::nullopt;
}

// Takes the sequence at the front of input_. Returns nullopt if it is no key, or begins a paste.
std::optional<Key> KeyDecoder::Escape() {
  const size_t bytes = SequenceBytes(std::string_view(input_).substr(1));
  // Escape alone, or twice as some terminals send Alt with a cursor key.
  if (bytes == 0 || input_[1] == kEscape) {
    const bool alone = input_.size() == 1;
    input_.erase(0, bytes == 0 ? input_.size() : 1);
    return alone ? std::optional(Key{KeyKind::kCancel, ""}) : std::nullopt;
  }
  const std::string sequence = input_.substr(1, bytes);
  input_.erase(0, 1 + bytes);
  if (sequence == "[200~") {
    pasting_ = true;
    searched_ = 0;
    return std::nullopt;
  }
  const auto* named = std::ranges::find(kSequences, sequence, &Named::bytes);
  if (named == std::end(kSequences)) return std::nullopt;
  return Key{named->kind, ""};
}

std::optional<Key> KeyDecoder::Paste() {
  const size_t end = input_.find(kPasteEnd, searched_);
  if (end == std::string::npos) {
    // The end may be cut.
    searched_ = input_.size() - std::min(input_.size(), kPasteEnd.size() - 1);
    return std::nullopt;
  }
  Key key = {KeyKind::kPaste, PastedText(std::string_view(input_).substr(0, end))};
  input_.erase(0, end + kPasteEnd.size());
  pasting_ = false;
  return key;
}

}  // namespace sinter::cli
