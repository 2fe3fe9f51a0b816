// Provides graphs of transformer layers, as text, that can become chains (compile/chain.h).
// Included by *_test.cc only.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

namespace sinter::support {

inline constexpr std::string_view kAttributes = "bits = 4, block_size = 32";

inline std::string Weight(const std::string& name, int n, int k, int seed = 0) {
  std::string text = fmt::format("const %{0}.b: u8[{1}, {2}, 16] = [", name, n, k / 32);
  for (int i = 0; i < n * k / 2; ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", (i + seed) * 37 % 256);
  text += fmt::format("] const %{}.s: f16[{}, {}] = [", name, n, k / 32);
  for (int i = 0; i < n * k / 32; ++i) text += fmt::format("{}0.0{}", i > 0 ? ", " : "", 1 + i % 3);
  return text + "] ";
}

// Returns a graph with the output projection, gate and up, down, and the next layer's QKV, with a
// hidden size of 64. `returned` lists its outputs.
inline std::string Layer(std::string_view returned) {
  std::string body =
      "graph g { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1 "
      "input %a: f16[1, 1, 32] input %x: f16[1, 1, 64] const %n: f16[64] = [";
  for (int i = 0; i < 64; ++i)
    body += fmt::format("{}{}", i > 0 ? ", " : "", i % 2 == 0 ? "1" : "0.5");
  body += "] " + Weight("o", 64, 32) + Weight("g", 96, 64) + Weight("u", 96, 64) +
          Weight("d", 64, 96) + Weight("q", 32, 64);
  body += fmt::format(
      "%x1: f16[1, 1, 64] = sinter::MatMulNBitsAdd @out (%a, %o.b, %o.s, _, _, %x) {{K = 32, N = "
      "64, {0}}} "
      "%h: f16[1, 1, 96] = sinter::MatMulNBitsMlp @mlp (%x1, _, _, %n, %g.b, %g.s, _, _, %u.b, "
      "%u.s) "
      "{{K = 64, N = ints[96, 96], epsilon = 0.00001f, activation = \"silu\", {0}}} "
      "%x2: f16[1, 1, 64] = sinter::MatMulNBitsAdd @down (%h, %d.b, %d.s, _, _, %x1) {{K = 96, N = "
      "64, {0}}} "
      "%y: f16[1, 1, 32] = sinter::NormMatMulNBits @qkv (%x2, _, _, %n, %q.b, %q.s) "
      "{{K = 64, N = ints[32], epsilon = 0.00001f, {0}}} ",
      kAttributes);
  return body + fmt::format("return {} }}", returned);
}

// Returns Layer() preceded by an attention of two heads that share a key, with a cache of 8 rows.
inline std::string AttentionLayer(std::string_view returned) {
  std::string text = Layer(returned);
  const std::string_view input = "input %a: f16[1, 1, 32] ";
  text.replace(text.find(input), input.size(),
               "input %qkv: f16[1, 1, 64] input %pk: f16[1, 1, 8, 16] input %pv: f16[1, 1, 8, 16] "
               "input %seqlens: i32[1] input %total: i32[1] ");
  text.insert(text.find("%x1:"),
              "%a: f16[1, 1, 32], %key: f16[1, 1, 8, 16], %value: f16[1, 1, 8, 16] = "
              "com.microsoft::GroupQueryAttention @attend (%qkv, _, _, %pk, %pv, %seqlens, %total) "
              "{num_heads = 2, kv_num_heads = 1} ");
  return text;
}

// Returns a graph of consecutive whole layers with a hidden size of 64, four query heads of 16, two
// key heads, and caches of 8 rows. Layer i reads x<i> and writes x<i + 1>.
inline std::string Layers(int count, const std::string& returned = "") {
  std::string text =
      "graph g { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1 "
      "input %x0: f16[1, 1, 64] input %seqlens: i32[1] input %total: i32[1] const %n: f16[64] = [";
  for (int i = 0; i < 64; ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", i % 2 == 0 ? "1" : "0.5");
  text += "] ";
  std::string body, outputs = fmt::format("%x{}", count);
  for (int i = 0; i < count; ++i) {
    text += fmt::format("input %pk{0}: f16[1, 2, 8, 16] input %pv{0}: f16[1, 2, 8, 16] ", i);
    for (const auto& [name, n, k] :
         {std::tuple("q", 128, 64), std::tuple("o", 64, 64), std::tuple("g", 128, 64),
          std::tuple("u", 128, 64), std::tuple("d", 64, 128)}) {
      text += Weight(fmt::format("{}{}", name, i), n, k, i);
    }
    body += fmt::format(
        "%qkv{0}: f16[1, 1, 128] = sinter::NormMatMulNBits @qkv{0} (%x{0}, _, _, %n, %q{0}.b, "
        "%q{0}.s) {{K = 64, N = ints[128], epsilon = 0.00001f, {2}}} "
        "%a{0}: f16[1, 1, 64], %key{0}: f16[1, 2, 8, 16], %value{0}: f16[1, 2, 8, 16] = "
        "com.microsoft::GroupQueryAttention @attend{0} (%qkv{0}, _, _, %pk{0}, %pv{0}, %seqlens, "
        "%total) {{num_heads = 4, kv_num_heads = 2}} "
        "%y{0}: f16[1, 1, 64] = sinter::MatMulNBitsAdd @out{0} (%a{0}, %o{0}.b, %o{0}.s, _, _, "
        "%x{0}) {{K = 64, N = 64, {2}}} "
        "%h{0}: f16[1, 1, 128] = sinter::MatMulNBitsMlp @mlp{0} (%y{0}, _, _, %n, %g{0}.b, "
        "%g{0}.s, "
        "_, _, %u{0}.b, %u{0}.s) {{K = 64, N = ints[128, 128], epsilon = 0.00001f, "
        "activation = \"silu\", {2}}} "
        "%x{1}: f16[1, 1, 64] = sinter::MatMulNBitsAdd @down{0} (%h{0}, %d{0}.b, %d{0}.s, _, _, "
        "%y{0}) {{K = 128, N = 64, {2}}} ",
        i, i + 1, kAttributes);
    outputs += fmt::format(", %key{0}, %value{0}", i);
  }
  return text + body + "return " + outputs + returned + " }";
}

// Bytes of one layer's keys in Layers().
inline constexpr uint64_t kLayerCacheBytes = 2 * 8 * 16 * 2;

// Returns Layers() preceded by the lookup of a token in a table of ten rows.
inline std::string LayersOfToken(int count, const std::string& returned = "") {
  std::string text = Layers(count, returned);
  const std::string_view input = "input %x0: f16[1, 1, 64] ";
  std::string table = "input %token: i32[1, 1] const %table: f16[10, 64] = [";
  for (int i = 0; i < 640; ++i) table += fmt::format("{}0.{}", i > 0 ? ", " : "", 1 + i % 9);
  text.replace(text.find(input), input.size(), table + "] ");
  text.insert(text.find("%qkv0:"),
              "%x0: f16[1, 1, 64] = ai.onnx::Gather @embed (%table, %token) {axis = 0} ");
  return text;
}

// Returns the graph with caches of `rows` rows instead of 8.
inline std::string WithCacheRows(std::string text, int rows) {
  const std::string_view old = ", 8, 16]";
  const std::string changed = fmt::format(", {}, 16]", rows);
  for (size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + 1))
    text.replace(at, old.size(), changed);
  return text;
}

}  // namespace sinter::support
