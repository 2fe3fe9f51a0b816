// A graph that holds Sinter's own operators next to the compositions that they stand for. Tests of
// the interpreter and of programs compare the two.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sinter::support {

struct FusedGraph {
  // Text of the graph without its operator sets, which are ai.onnx 23, com.microsoft 1, sinter 1.
  std::string body;
  // Pairs of outputs that must be equal: the fused node's and the composition's.
  std::vector<std::pair<std::string, std::string>> outputs;
};

// Makes the graph for operators of type `type` (f32 or f16), with rows of 32 columns and weights in
// blocks of 16. `in_type` is the residual's type, which may be f32 where `type` is f16.
inline FusedGraph MakeFusedGraph(const std::string& type, const std::string& in_type) {
  FusedGraph graph;
  std::mt19937 random(11);
  const auto constant = [&](const std::string& name, const std::string& of, size_t count,
                            auto&& value) {
    std::vector<double> values(count);
    for (double& x : values) x = value();
    graph.body += fmt::format("const %{}: {} = [{}]\n", name, of, fmt::join(values, ", "));
  };
  const auto codes = [&] { return static_cast<double>(random() % 256); };
  // Multiples of 1/64 and of 1/8, which f16 represents exactly. They are small, so that activations
  // do not saturate.
  const auto scale = [&] { return (1 + static_cast<double>(random() % 4)) / 64; };
  const auto eighth = [&] { return static_cast<double>(random() % 16) / 8 - 1; };
  graph.body += fmt::format(
      "input %x: {0}[1, 3, 32] input %r: {0}[1, 3, 32] input %p: {1}[1, 3, 32]\n", in_type, type);
  for (const char* name : {"norm", "post"}) {
    constant(name, in_type + "[32]", 32, eighth);
  }
  for (const auto& [name, n] : {std::pair("q", 4), {"k", 2}, {"v", 3}, {"g", 6}, {"u", 6}}) {
    constant(fmt::format("{}.b", name), fmt::format("u8[{}, 2, 8]", n), n * 16, codes);
    constant(fmt::format("{}.s", name), fmt::format("{}[{}, 2]", type, n), n * 2, scale);
    constant(fmt::format("{}.z", name), fmt::format("u8[{}, 1]", n), n, codes);
    constant(fmt::format("{}.f", name), fmt::format("{}[{}, 2]", type, n), n * 2,
             [&] { return 8 + eighth(); });
    constant(fmt::format("{}.c", name), fmt::format("{}[{}]", type, n), n, eighth);
  }

  int count = 0;
  const auto add = [&](const std::string& name, const std::string& out, const std::string& node) {
    graph.body += fmt::format("%{}: {} = {}\n", name, out, node);
    return name;
  };
  const auto rows = [](const std::string& of, int n) { return fmt::format("{}[1, 3, {}]", of, n); };
  // Writes the inputs of a part's weight in the order of com.microsoft's operator: codes, scales,
  // zero points, group index (not with `fused`), bias.
  const auto weight = [](const char* part, const std::string& zeros, bool bias, bool fused) {
    return fmt::format("%{0}.b, %{0}.s, {1}{2}, {3}", part,
                       zeros.empty() ? "_" : fmt::format("%{}.{}", part, zeros), fused ? "" : ", _",
                       bias ? fmt::format("%{}.c", part) : "_");
  };
  const auto product = [&](const std::string& a, const char* part, int n, const std::string& zeros,
                           bool bias) {
    return add(fmt::format("w{}.{}", count, part), rows(type, n),
               fmt::format("com.microsoft::MatMulNBits (%{}, {}) {{K = 32, N = {}, bits = 4, "
                           "block_size = 16}}",
                           a, weight(part, zeros, bias, false), n));
  };
  struct Prologue {
    bool skip, skip_norm, norm;
  };
  // Adds the sum and its norm h, which has the product's type; returns both.
  const auto prologue = [&](const Prologue& form) {
    std::string skip = "r";
    if (form.skip_norm) {
      skip = add(fmt::format("w{}.cast", count), rows(in_type, 32),
                 fmt::format("ai.onnx::Cast (%p) {{to = {}}}", in_type == "f32" ? 1 : 10));
      skip =
          add(fmt::format("w{}.skip", count), rows(in_type, 32),
              fmt::format("ai.onnx::SimplifiedLayerNormalization (%{}, %post) {{epsilon = 0.25f}}",
                          skip));
    }
    const std::string sum =
        add(fmt::format("w{}.sum", count), rows(in_type, 32),
            form.skip ? fmt::format("ai.onnx::Add (%x, %{})", skip) : "ai.onnx::Identity (%x)");
    std::string h = sum;
    if (form.norm) {
      h = add(
          fmt::format("w{}.norm", count), rows(in_type, 32),
          fmt::format("ai.onnx::SimplifiedLayerNormalization (%{}, %norm) {{epsilon = 0.5f}}", h));
    }
    h = add(fmt::format("w{}.h", count), rows(type, 32),
            fmt::format("ai.onnx::Cast (%{}) {{to = {}}}", h, type == "f32" ? 1 : 10));
    return std::pair(sum, h);
  };
  const auto fused = [&](const std::string& op, const Prologue& form, int n,
                         const std::string& weights, const std::string& ns,
                         const std::string& more) {
    graph.body += fmt::format(
        "%f{0}: {1}, %f{0}.sum: {2} = sinter::{3} (%x, {4}, {5}, {6}, {7}) {{K = 32, N = "
        "ints[{8}], "
        "bits = 4, block_size = 16, epsilon = 0.5f, skip_epsilon = 0.25f{9}}}\n",
        count, rows(type, n), rows(in_type, 32), op,
        !form.skip       ? "_"
        : form.skip_norm ? "%p"
                         : "%r",
        form.skip_norm ? "%post" : "_", form.norm ? "%norm" : "_", weights, ns, more);
  };
  const auto pair = [&](const std::string& y, const std::string& sum) {
    graph.outputs.emplace_back(fmt::format("f{}", count), y);
    graph.outputs.emplace_back(fmt::format("f{}.sum", count), sum);
    ++count;
  };

  const Prologue forms[] = {{false, false, true},
                            {true, false, true},
                            {true, true, true},
                            {true, false, false},
                            {false, false, false}};
  for (const Prologue& form : forms) {
    const auto [sum, h] = prologue(form);
    std::string parts;
    for (const auto& [part, n] : {std::pair("q", 4), {"k", 2}, {"v", 3}})
      parts += (parts.empty() ? "%" : ", %") + product(h, part, n, "z", true);
    const std::string y = add(fmt::format("w{}", count), rows(type, 9),
                              fmt::format("ai.onnx::Concat ({}) {{axis = -1}}", parts));
    fused("MatMulNBitsQkv", form, 9,
          weight("q", "z", true, true) + ", " + weight("k", "z", true, true) + ", " +
              weight("v", "z", true, true),
          "4, 2, 3", "");
    pair(y, sum);
  }
  const std::pair<const char*, const char*> activations[] = {
      {"silu", "com.microsoft::QuickGelu (%{}) {{alpha = 1f}}"},
      {"gelu", "ai.onnx::Gelu (%{})"},
      {"gelu_tanh", "ai.onnx::Gelu (%{}) {{approximate = \"tanh\"}}"}};
  for (const auto& [name, node] : activations) {
    const Prologue& form = forms[count % 3];
    const auto [sum, h] = prologue(form);
    const std::string gate = product(h, "g", 6, "f", false), up = product(h, "u", 6, "f", false);
    const std::string active =
        add(fmt::format("w{}.a", count), rows(type, 6), fmt::format(fmt::runtime(node), gate));
    const std::string y = add(fmt::format("w{}", count), rows(type, 6),
                              fmt::format("ai.onnx::Mul (%{}, %{})", active, up));
    fused("MatMulNBitsMlp", form, 6,
          weight("g", "f", false, true) + ", " + weight("u", "f", false, true), "6, 6",
          fmt::format(", activation = \"{}\"", name));
    pair(y, sum);
  }
  {
    const auto [sum, h] = prologue(forms[1]);
    const std::string y = product(h, "q", 4, "", true);
    fused("NormMatMulNBits", forms[1], 4, weight("q", "", true, true), "4", "");
    pair(y, sum);
  }
  const std::string residual = product("p", "q", 4, "", false);
  ++count;
  const std::string sum =
      add(fmt::format("w{}", count), rows(type, 4),
          fmt::format("ai.onnx::Add (%{}, %{})", product("p", "q", 4, "z", true), residual));
  add(fmt::format("f{}", count), rows(type, 4),
      fmt::format(
          "sinter::MatMulNBitsAdd (%p, {}, %{}) {{K = 32, N = 4, bits = 4, block_size = 16}}",
          weight("q", "z", true, true), residual));
  graph.outputs.emplace_back(fmt::format("f{}", count), sum);
  std::string all;
  for (const auto& [fused_output, want] : graph.outputs)
    all += fmt::format("{}%{}, %{}", all.empty() ? "" : ", ", fused_output, want);
  graph.body += "return " + all;
  return graph;
}

}  // namespace sinter::support
