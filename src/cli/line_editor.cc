#include "cli/line_editor.h"

#include <fmt/format.h>

#include <algorithm>

namespace sinter::cli {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

bool IsWordByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= 'a' && byte <= 'z');
}

bool IsPlain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

// Returns whether the text ends with a backslash that no other one escapes.
bool EndsWithBackslash(std::string_view text) {
  const size_t last = text.find_last_not_of('\\');
  const size_t count = text.size() - (last == std::string_view::npos ? 0 : last + 1);
  return count % 2 == 1;
}

}  // namespace

void LineEditor::Begin(const std::vector<std::string>& history) {
  text_.clear();
  draft_.clear();
  cursor_ = 0;
  wanted_column_ = -1;
  history_ = &history;
  entry_ = history.size();
  searching_ = false;
  Forget();
}

void LineEditor::Forget() {
  drawn_ = false;
  top_ = screen_row_ = 0;
}

void LineEditor::Resize(int columns, int rows) {
  columns_ = columns > 0 ? columns : 80;
  rows_ = rows > 0 ? rows : 24;
  if (!drawn_) return;
  const Layout layout(drawn_text_, static_cast<int>(drawn_prompt_.size()), columns_);
  const size_t row = layout.At(layout.CellAt(drawn_cursor_)).row;
  screen_row_ = std::min(row - std::min(top_, row), static_cast<size_t>(rows_) - 1);
  drawn_text_.clear();  // no quick way
}

Edit LineEditor::Handle(const Key& key) {
  if (searching_) return HandleSearch(key);
  const bool vertical = key.kind == KeyKind::kUp || key.kind == KeyKind::kDown;
  if (!vertical) wanted_column_ = -1;
  Edit edit = Edit::kGoOn;
  switch (key.kind) {
    case KeyKind::kText:
    case KeyKind::kPaste:
      Insert(key.text);
      break;
    case KeyKind::kEnter:
      Enter(edit);
      break;
    case KeyKind::kNewline:
      Insert("\n");
      break;
    case KeyKind::kTab:
      edit = Complete();
      break;
    case KeyKind::kBackspace:
      Erase(Left(), cursor_);
      break;
    case KeyKind::kDelete:
      Erase(cursor_, Right());
      break;
    case KeyKind::kLeft:
      cursor_ = Left();
      break;
    case KeyKind::kRight:
      cursor_ = Right();
      break;
    case KeyKind::kUp:
    case KeyKind::kDown:
      Move(key.kind == KeyKind::kDown);
      break;
    case KeyKind::kHome:
      cursor_ = LineBegin();
      break;
    case KeyKind::kEnd:
      cursor_ = LineEnd();
      break;
    case KeyKind::kWordLeft:
      cursor_ = WordLeft();
      break;
    case KeyKind::kWordRight:
      cursor_ = WordRight();
      break;
    case KeyKind::kDeleteWordLeft: {
      size_t begin = cursor_;
      while (begin > 0 && IsBlank(text_[begin - 1])) --begin;
      while (begin > 0 && !IsBlank(text_[begin - 1])) --begin;
      Kill(begin, cursor_);
      break;
    }
    case KeyKind::kDeleteWordRight:
      Kill(cursor_, WordRight());
      break;
    // At the edge of a line these two take the line end, so that again and again they take all.
    case KeyKind::kDeleteToBegin:
      Kill(LineBegin() == cursor_ ? Left() : LineBegin(), cursor_);
      break;
    case KeyKind::kDeleteToEnd:
      Kill(cursor_, LineEnd() == cursor_ ? Right() : LineEnd());
      break;
    case KeyKind::kYank:
      Insert(killed_);
      break;
    case KeyKind::kHistoryBack:
    case KeyKind::kHistoryForward:
      Recall(key.kind == KeyKind::kHistoryBack);
      break;
    case KeyKind::kSearch:
      searching_ = true;
      search_ = {"", text_, true};
      break;
    case KeyKind::kCancel:
    case KeyKind::kClearScreen:
      break;
    case KeyKind::kInterrupt:
      edit = Edit::kInterrupted;
      break;
    case KeyKind::kEndOfInput:
      if (text_.empty()) edit = Edit::kEndOfInput;
      Erase(cursor_, Right());
      break;
    case KeyKind::kSuspend:
      edit = Edit::kSuspend;
      break;
  }
  return edit;
}

void LineEditor::Insert(std::string_view text) {
  // string::insert() makes GCC 12 warn of an overlap that cannot be.
  text_ = fmt::format("{}{}{}", std::string_view(text_).substr(0, cursor_), text,
                      std::string_view(text_).substr(cursor_));
  cursor_ += text.size();
}

void LineEditor::Erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

void LineEditor::Kill(size_t begin, size_t end) {
  if (begin < end) killed_ = text_.substr(begin, end - begin);
  Erase(begin, end);
}

void LineEditor::Enter(Edit& edit) {
  if (!EndsWithBackslash(text_)) {
    edit = Edit::kDone;
    return;
  }
  text_.back() = '\n';
  cursor_ = text_.size();
}

Edit LineEditor::Complete() {
  if (!text_.starts_with('/') || cursor_ != text_.size()) {
    Insert("\t");
    return Edit::kGoOn;
  }
  std::string common;
  matches_.clear();
  size_t count = 0;
  for (const std::string& word : words_) {
    if (!word.starts_with(text_)) continue;
    matches_ += count == 0 ? word : " " + word;
    if (count++ == 0) common = word;
    const auto end = std::ranges::mismatch(common, word).in1;
    common.erase(end, common.end());
  }
  if (count == 0) return Edit::kGoOn;
  if (count > 1 && common == text_) return Edit::kList;
  text_ = count == 1 ? common + " " : common;
  cursor_ = text_.size();
  return Edit::kGoOn;
}

void LineEditor::Move(bool down) {
  const Layout layout(text_, static_cast<int>(Prompt().size()), columns_);
  const Place place = layout.At(layout.CellAt(cursor_));
  if (down ? place.row + 1 == layout.rows() : place.row == 0) return Recall(!down);
  if (wanted_column_ < 0) wanted_column_ = place.column;
  const size_t cell = layout.Nearest(down ? place.row + 1 : place.row - 1, wanted_column_);
  cursor_ = cell == layout.cells().size() ? text_.size() : layout.cells()[cell].begin;
}

void LineEditor::Recall(bool back) {
  if (back ? entry_ == 0 : entry_ == history_->size()) return;
  Show(back ? entry_ - 1 : entry_ + 1);
}

void LineEditor::Show(size_t entry) {
  if (entry_ == history_->size()) draft_ = text_;
  entry_ = entry;
  text_ = entry == history_->size() ? draft_ : (*history_)[entry];
  cursor_ = text_.size();
  wanted_column_ = -1;
}

Edit LineEditor::HandleSearch(const Key& key) {
  switch (key.kind) {
    case KeyKind::kText:
    case KeyKind::kPaste:
      search_.query += key.text;
      FindOlder(std::min(entry_ + 1, history_->size()));
      return Edit::kGoOn;
    case KeyKind::kBackspace: {
      const std::vector<Cell> cells = SplitCells(search_.query);
      if (!cells.empty()) search_.query.erase(cells.back().begin);
      FindOlder(history_->size());
      return Edit::kGoOn;
    }
    case KeyKind::kSearch:
      FindOlder(entry_);
      return Edit::kGoOn;
    case KeyKind::kCancel:
    case KeyKind::kInterrupt:
      searching_ = false;
      entry_ = history_->size();
      text_ = search_.before;
      cursor_ = text_.size();
      return Edit::kGoOn;
    default:
      searching_ = false;
      return Handle(key);
  }
}

// Shows the newest entry before `from` that contains the query.
void LineEditor::FindOlder(size_t from) {
  search_.found = search_.query.empty();
  if (search_.found) return;
  for (size_t entry = from; entry-- > 0;) {
    if ((*history_)[entry].find(search_.query) == std::string::npos) continue;
    search_.found = true;
    return Show(entry);
  }
}

size_t LineEditor::Left() const {
  size_t left = 0;
  for (const Cell& cell : SplitCells(std::string_view(text_).substr(0, cursor_))) left = cell.begin;
  return left;
}

size_t LineEditor::Right() const {
  const std::vector<Cell> cells = SplitCells(std::string_view(text_).substr(cursor_));
  return cursor_ + (cells.empty() ? 0 : cells[0].size);
}

size_t LineEditor::LineBegin() const {
  const size_t end = cursor_ == 0 ? std::string::npos : text_.rfind('\n', cursor_ - 1);
  return end == std::string::npos ? 0 : end + 1;
}

size_t LineEditor::LineEnd() const { return std::min(text_.find('\n', cursor_), text_.size()); }

size_t LineEditor::WordLeft() const {
  size_t at = cursor_;
  while (at > 0 && !IsWordByte(text_[at - 1])) --at;
  while (at > 0 && IsWordByte(text_[at - 1])) --at;
  return at;
}

size_t LineEditor::WordRight() const {
  size_t at = cursor_;
  while (at < text_.size() && !IsWordByte(text_[at])) ++at;
  while (at < text_.size() && IsWordByte(text_[at])) ++at;
  return at;
}

std::string LineEditor::Prompt() const {
  if (!searching_) return prompt_;
  // Other characters than ASCII's are searched for, but not shown.
  constexpr size_t kMostShown = 20;
  std::string shown = search_.query.substr(0, kMostShown);
  std::ranges::replace_if(
      shown, [](char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return fmt::format("{}search '{}': ", search_.found ? "" : "failed ", shown);
}

std::string LineEditor::Draw() {
  const std::string prompt = Prompt();
  const Layout layout(text_, static_cast<int>(prompt.size()), columns_);
  const Place place = layout.At(layout.CellAt(cursor_));
  const bool appends = drawn_ && prompt == drawn_prompt_ && cursor_ == text_.size() &&
                       drawn_cursor_ == drawn_text_.size() && !drawn_text_.empty() &&
                       text_.starts_with(drawn_text_) &&
                       IsPlain(std::string_view(text_).substr(drawn_text_.size() - 1)) &&
                       place.row - top_ == screen_row_;
  std::string out;
  if (appends) {
    out = text_.substr(drawn_text_.size());
  } else {
    const auto height = static_cast<size_t>(rows_);
    const size_t rows = layout.rows();
    top_ = std::min(top_, rows - std::min(rows, height));
    if (place.row < top_) top_ = place.row;
    if (place.row >= top_ + height) top_ = place.row - height + 1;
    const size_t end = std::min(rows, top_ + height);
    out = Top() + Rows(layout, top_, end) + "\r";
    if (end - 1 > place.row) out += fmt::format("\x1b[{}A", end - 1 - place.row);
    if (place.column > 0) out += fmt::format("\x1b[{}C", place.column);
    screen_row_ = place.row - top_;
  }
  drawn_ = true;
  drawn_text_ = text_;
  drawn_prompt_ = prompt;
  drawn_cursor_ = cursor_;
  return out;
}

std::string LineEditor::Finish() {
  searching_ = false;
  cursor_ = text_.size();
  const Layout layout(text_, static_cast<int>(prompt_.size()), columns_);
  std::string out = Top() + Rows(layout, 0, layout.rows());
  const Place end = layout.At(layout.cells().size());
  if (end.row == 0 || end.column > 0) out += "\r\n";
  Forget();
  return out;
}

// Returns what moves to the first row on the screen and clears from there on.
std::string LineEditor::Top() const {
  if (!drawn_) return "\r\x1b[J";
  return screen_row_ == 0 ? "\r\x1b[J" : fmt::format("\r\x1b[{}A\x1b[J", screen_row_);
}

// Returns the rows [first, last) of the text. The terminal wraps lines itself, so that it knows
// them as one line when it is resized or copied from.
std::string LineEditor::Rows(const Layout& layout, size_t first, size_t last) const {
  const std::vector<Cell>& cells = layout.cells();
  size_t index = layout.Nearest(first, -1);
  const auto blanks = [&](size_t at) {
    return std::string(static_cast<size_t>(layout.At(at).column), ' ');
  };
  std::string out = first == 0 ? Prompt() : blanks(index);
  for (; index < cells.size() && layout.At(index).row < last; ++index) {
    const Cell& cell = cells[index];
    const std::string_view text = std::string_view(text_).substr(cell.begin, cell.size);
    const Place place = layout.At(index), next = layout.At(index + 1);
    const bool newline = text == "\n";
    if (cell.columns == Cell::kTab) {
      out += std::string(static_cast<size_t>(layout.Columns(index)), ' ');
    } else if (!newline) {
      out += ShownText(text);
    }
    if (next.row == place.row || next.row >= last) continue;
    const bool full = place.column + layout.Columns(index) >= columns_;
    const bool text_follows = index + 1 < cells.size() && text_[cells[index + 1].begin] != '\n';
    if (newline || !full || !text_follows) out += "\r\n" + blanks(index + 1);
  }
  return out;
}

}  // namespace sinter::cli
