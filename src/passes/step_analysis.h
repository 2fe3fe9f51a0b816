// Proves, while a graph is specialized to a program, that neither the padding of its runs nor the
// capacity of its KV cache shows in its results.
//
// A program has a fixed number of rows and a cache of fixed capacity. The model says what a run on
// exact lengths computes: all tokens of a prompt in one run, shapes that hold the number of tokens.
// For each value the analysis follows which part of the program's value stands for the model's and
// whether it is the same there (step_facts.h): through row-by-row operators, attention, and the
// arithmetic on shapes, whose numbers it knows as functions of the run's lengths. Where a node
// reads such a number as data (positions from the past's length, say), the folded constant is
// replaced by nodes that compute it from kPastLength in each run.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "graph/graph.h"
#include "passes/step_facts.h"

namespace sinter::passes {

// Name of the graph input, i64 [1], that holds the number of tokens before the run.
inline constexpr char kPastLength[] = "sinter.past_length";

// Meaning of a decoder's inputs and outputs, by name, and how its programs run.
struct StepRoles {
  std::string input_ids, attention_mask, position_ids;
  std::set<std::string, std::less<>> caches;   // past keys and values
  std::set<std::string, std::less<>> results;  // outputs that must be right: logits, cache
  std::string logits;
  // Whether each run has exactly the rows of the program, and a prompt is one run. Otherwise the
  // last run of a prompt has padding, and the prompt may be cut into runs.
  bool exact = false;
};

// Error of a graph of which a program would compute something else than the model says.
class StepError : public Error {
 public:
  explicit StepError(const std::string& reason) : Error(Raw{}, "model", reason), reason_(reason) {}
  // Returns the message without its area.
  const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

// Follows one graph while Specialize() folds and infers its nodes in order.
class StepAnalysis {
 public:
  // The inputs of `graph` have static shapes. `roles` must outlive the analysis.
  StepAnalysis(graph::Graph& graph, const StepRoles& roles);

  // Prepares a node that the run computes, before its outputs' types are inferred: replaces inputs
  // that are stale by values that the run computes.
  void Bind(graph::Node* node);
  // Notes what is known about the outputs of a node that the run computes.
  void Derive(const graph::Node& node);
  // Notes what is known about the outputs of a node that is about to be replaced by these
  // constants. The shape of a value gets the sizes that a run has which fills the cache, so that
  // arithmetic on the lengths (past + tokens = total) holds among constants, too.
  void Fold(graph::Node* node, std::vector<graph::Tensor>& outputs);
  // Returns whether the node reads elements that are stale, so that it may not fit them.
  bool ReadsStale(const graph::Node& node);
  // Returns the decision of an If whose condition is the same in all runs of the program, or
  // nothing if it follows from the sequence's total length. Throws StepError if it depends on more.
  std::optional<bool> Decision(const graph::Node& node);
  // Throws StepError naming the node that is the reason if a result is not proved.
  void CheckResults();
  // Returns whether the logits are one row, not one for each token. Call after CheckResults().
  bool has_one_row() const { return has_one_row_; }

 private:
  Facts& FactsOf(const graph::Value* value);
  bool IsKnown(const graph::Value* value) const { return facts_.contains(value); }
  void Note(const graph::Value* value, Facts facts);
  std::vector<Facts> FactsOfOutputs(const graph::Node& node,
                                    const std::vector<graph::Shape>& shapes);
  // Makes a node that takes the last row of the sequence by its index take the last valid one.
  void BindLastRow(graph::Node* node);
  // Returns a value that the run computes in place of the stale `value`, made of nodes before
  // `before`. Returns null, with a reason in the facts, if there is none.
  graph::Value* TwinOf(graph::Value* value, graph::Node* before);
  graph::Value* MakeTwin(graph::Value* value, Facts& facts, graph::Node* before);
  // Computes the outputs of a folded node again from the twins of its stale inputs.
  void Repeat(graph::Node* node, std::vector<Facts>& outputs);

  graph::Value* PastLength();
  // Returns the index of the last valid row, i64 [1], for `node`.
  graph::Value* LastRow(const graph::Node& node);
  graph::Value* Emit(const char* op, std::vector<graph::Value*> inputs, graph::Node* before,
                     int64_t to = 0);
  graph::Value* Compute(const Affine& number, graph::Node* before);

  graph::Graph& graph_;
  const StepRoles& roles_;
  Affine rows_;        // of the run
  int64_t batch_ = 1;  // sequences of the program
  // Rows of the program, and the tokens before them in a run that fills the cache.
  int64_t program_rows_ = 1, program_past_ = 0;
  bool cut_ = false;
  bool has_one_row_ = false;
  std::unordered_map<const graph::Value*, Facts> facts_;
};

}  // namespace sinter::passes
