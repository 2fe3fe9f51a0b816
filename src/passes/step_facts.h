// What is known about a value of a program beside a run on exact lengths: which part of it is valid
// and whether it is the same there. Internal to src/passes; step_analysis.h describes the relation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace sinter::passes {

// Upper bound on the elements of a value whose numbers are followed; shapes have fewer.
inline constexpr int64_t kMaxNumbers = 64;

// A whole number that depends on a run: constant + tokens * s + past * p, with s >= 1 the number of
// the run's new tokens and p >= 0 the number of tokens before them.
struct Affine {
  int64_t constant = 0, tokens = 0, past = 0;

  Affine() = default;
  Affine(int64_t number) : constant(number) {}  // NOLINT(google-explicit-constructor)
  Affine(int64_t c, int64_t s, int64_t p) : constant(c), tokens(s), past(p) {}
  bool operator==(const Affine&) const = default;

  bool is_constant() const { return tokens == 0 && past == 0; }
  bool is(int64_t number) const { return is_constant() && constant == number; }
  // Return the least and the largest number over all runs, or nullopt if there is none.
  std::optional<int64_t> Least() const;
  std::optional<int64_t> Largest() const;
};

// Each returns nullopt if the result is not such a number for all runs, or overflows.
std::optional<Affine> Sum(const Affine& a, const Affine& b);
std::optional<Affine> Difference(const Affine& a, const Affine& b);
std::optional<Affine> Product(const Affine& a, const Affine& b);
std::optional<Affine> Quotient(const Affine& a, const Affine& b);

// Returns the number at `tokens` and `past`; wraps like the int64 arithmetic of a graph.
int64_t At(const Affine& number, int64_t tokens, int64_t past);

// Returns the number as text for messages: "past + tokens", "3".
std::string Text(const Affine& number);

// Elements base + step * i, with i the index along `axis`. All other axes have one element.
struct Iota {
  size_t axis = 0;
  Affine base;
  int64_t step = 1;
};

// Relation between the elements of a program's value and the reference's, from best to worst.
enum class Content {
  kEqual,   // the same at corresponding places
  kLast,    // the same in the last run of a prompt only, so the cache must not depend on it
  kLength,  // a length of this run, padding included; only attention may read it
  kStale,   // a constant computed from the program's sizes instead of the run's
  kWrong,   // depends on padding, on the capacity, or on where the prompt is cut
};

struct Facts {
  // Size of each axis in the reference. Element i of the program's axis is element i of the
  // reference's; elements from this size on are padding.
  std::vector<Affine> axes;
  Content content = Content::kEqual;
  // Why the content is wrong or that of the last run, or why a stale value cannot be computed by
  // the run: names the node.
  std::string reason;
  // The reference's elements, if they are few whole numbers; row-major. All axes are then constant.
  std::optional<std::vector<Affine>> numbers;
  std::optional<Iota> iota;
  bool is_mask = false;      // 1 at the valid elements, 0 at the padding
  bool is_last_row = false;  // index of the run's last valid row
  // Whether stale content depends on the past or the tokens by themselves, not only on their sum.
  bool uses_parts = false;
  // Value computed by the run that can stand for this stale one.
  graph::Value* twin = nullptr;

  static Facts Wrong(std::string why) {
    Facts facts;
    facts.content = Content::kWrong;
    facts.reason = std::move(why);
    return facts;
  }
};

}  // namespace sinter::passes
