#include "passes/step_facts.h"

#include <fmt/format.h>

namespace sinter::passes {
namespace {

// Applies `operation`, one of the overflow-checking builtins, to each part.
template <typename F>
std::optional<Affine> ByPart(const Affine& a, const Affine& b, F operation) {
  Affine out;
  if (operation(a.constant, b.constant, &out.constant) ||
      operation(a.tokens, b.tokens, &out.tokens) || operation(a.past, b.past, &out.past)) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::optional<int64_t> Affine::Least() const {
  if (tokens < 0 || past < 0) return std::nullopt;
  int64_t least = 0;  // at one token and no past
  if (__builtin_add_overflow(constant, tokens, &least)) return std::nullopt;
  return least;
}

std::optional<int64_t> Affine::Largest() const {
  if (tokens > 0 || past > 0) return std::nullopt;
  int64_t largest = 0;
  if (__builtin_add_overflow(constant, tokens, &largest)) return std::nullopt;
  return largest;
}

std::optional<Affine> Sum(const Affine& a, const Affine& b) {
  return ByPart(
      a, b, [](int64_t x, int64_t y, int64_t* out) { return __builtin_add_overflow(x, y, out); });
}

std::optional<Affine> Difference(const Affine& a, const Affine& b) {
  return ByPart(
      a, b, [](int64_t x, int64_t y, int64_t* out) { return __builtin_sub_overflow(x, y, out); });
}

std::optional<Affine> Product(const Affine& a, const Affine& b) {
  if (!a.is_constant() && !b.is_constant()) return std::nullopt;
  const int64_t factor = a.is_constant() ? a.constant : b.constant;
  return ByPart(
      a.is_constant() ? b : a, Affine(factor, factor, factor),
      [](int64_t x, int64_t y, int64_t* out) { return __builtin_mul_overflow(x, y, out); });
}

std::optional<Affine> Quotient(const Affine& a, const Affine& b) {
  if (a == b && a.Least().value_or(0) > 0) return Affine(1);
  if (!b.is_constant() || b.constant == 0 || b.constant == -1) return std::nullopt;
  // Constants divide as ONNX does, towards zero; sums only without a remainder.
  if (a.is_constant()) return Affine(a.constant / b.constant);
  for (const int64_t part : {a.constant, a.tokens, a.past}) {
    if (part % b.constant != 0) return std::nullopt;
  }
  return Affine(a.constant / b.constant, a.tokens / b.constant, a.past / b.constant);
}

int64_t At(const Affine& number, int64_t tokens, int64_t past) {
  return static_cast<int64_t>(static_cast<uint64_t>(number.constant) +
                              static_cast<uint64_t>(number.tokens) * static_cast<uint64_t>(tokens) +
                              static_cast<uint64_t>(number.past) * static_cast<uint64_t>(past));
}

std::string Text(const Affine& number) {
  std::string text;
  const auto add = [&](int64_t factor, const char* name) {
    if (factor == 0) return;
    if (!text.empty()) text += " + ";
    text += factor == 1 ? std::string(name) : fmt::format("{} * {}", factor, name);
  };
  add(number.past, "past");
  add(number.tokens, "tokens");
  if (number.constant != 0 || text.empty())
    text += fmt::format("{}{}", text.empty() ? "" : " + ", number.constant);
  return text;
}

}  // namespace sinter::passes
