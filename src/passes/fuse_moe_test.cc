#include "passes/fuse_moe.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

// 2 tokens of 16 elements; 4 experts with 8 inner elements; 2 experts per token.
const std::string kWeights = Weight("l", 4) +
                             "const %fc1: u8[4, 16, 8] = zeros const %fc1.s: f16[4, 16] = zeros "
                             "const %fc1.c: f16[4, 16] = zeros const %fc2: u8[4, 16, 4] = zeros "
                             "const %fc2.s: f16[4, 16] = zeros const %fc2.z: u8[4, 16, 1] = zeros "
                             "const %rows: i64[2] = [-1, 4] ";
const std::string kRouter =
    Product("l", "h", 4) + "%p: f16[2, 4] = ai.onnx::Reshape @reshape (%l, %rows) ";
constexpr char kExperts[] =
    "activation_type = \"swiglu\", expert_weight_bits = 4, k = 2, swiglu_fusion = 1";

std::string Moe(const std::string& inputs) {
  return "%y: f16[1, 2, 16] = com.microsoft::QMoE @moe (" + inputs + ") {" + kExperts + "} ";
}

const std::string kMoe = Moe("%h, %p, %fc1, %fc1.s, %fc1.c, %fc2, %fc2.s, _, _, _, _, _, %fc2.z");

std::string Fused(const std::string& router) {
  return "%y: f16[1, 2, 16] = sinter::NormQMoE @moe (%x, %scale, " + router +
         ", %fc1, %fc1.s, %fc1.c, %fc2, %fc2.s, _, _, %fc2.z) "
         "{activation_type = \"swiglu\", epsilon = 0.5f, expert_weight_bits = 4, k = 2, "
         "router_bits = 4, router_block_size = 16, swiglu_fusion = 1} ";
}

TEST(FuseMoe, JoinsNormRouterAndExperts) {
  const std::string inputs = kX + kWeights;
  ExpectRewrite(FuseMoe, {}, inputs + kNorm + kRouter + kMoe + "return %y",
                inputs + Fused("%l.b, %l.s, _, _") + "return %y", 1);
  const std::string more = "const %z: u8[4, 1] = zeros const %c: f16[4] = zeros ";
  ExpectRewrite(FuseMoe, {},
                inputs + more + kNorm + Product("l", "h", 4, ", %z, _, %c") +
                    "%p: f16[2, 4] = ai.onnx::Reshape (%l, %rows) " + kMoe + "return %y",
                inputs + more + Fused("%l.b, %l.s, %z, %c") + "return %y", 1);
}

TEST(FuseMoe, LeavesWhatOthersRead) {
  const std::string body = kX + kWeights + kNorm + kRouter + kMoe;
  for (const char* outputs : {"return %y, %h", "return %y, %l", "return %y, %p"}) {
    ExpectUnchanged(FuseMoe, {}, body + outputs);
  }
}

TEST(FuseMoe, LeavesOtherRoutersAndNorms) {
  const std::string inputs = kX + kWeights;
  // The norm adds a skip, for whose sum the fused node has no output.
  ExpectUnchanged(FuseMoe, {}, inputs + kSkip + kSkipNorm + kRouter + kMoe + "return %y, %sum");
  // The zero points are floats, not packed codes.
  ExpectUnchanged(FuseMoe, {},
                  inputs + "const %z: f16[4, 1] = zeros " + kNorm + Product("l", "h", 4, ", %z") +
                      "%p: f16[2, 4] = ai.onnx::Reshape (%l, %rows) " + kMoe + "return %y");
  // The router reads another value than the experts.
  ExpectUnchanged(FuseMoe, {},
                  inputs + kNorm + Product("l", "x", 4) +
                      "%p: f16[2, 4] = ai.onnx::Reshape (%l, %rows) " + kMoe + "return %y");
  // There is no router product.
  ExpectUnchanged(FuseMoe, {}, inputs + "input %p: f16[2, 4] " + kNorm + kMoe + "return %y");
  // There is no norm, or the norm is of another type.
  ExpectUnchanged(FuseMoe, {},
                  "input %h: f16[1, 2, 16] " + kWeights + kRouter + kMoe + "return %y");
  ExpectUnchanged(FuseMoe, {},
                  "input %x: f16[1, 2, 16] const %scale: f32[16] = zeros " + kWeights +
                      "%wide: f32[1, 2, 16] = ai.onnx::Cast (%x) {to = 1} "
                      "%n: f32[1, 2, 16] = ai.onnx::SimplifiedLayerNormalization (%wide, %scale) "
                      "%h: f16[1, 2, 16] = ai.onnx::Cast (%n) {to = 10} " +
                      kRouter + kMoe + "return %y");
}

}  // namespace
}  // namespace sinter::passes
