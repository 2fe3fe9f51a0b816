// Types and shapes of ONNX's Attention and com.microsoft's MultiHeadAttention.
#include <algorithm>

#include "graph/attention.h"
#include "graph/inference.h"

namespace sinter::graph {
namespace {

// Largest mask_filter_value that is accepted. At and below it the weight of a masked key is
// negligible beside a key that is not masked.
constexpr float kMaskFilterValue = -1000;

template <typename... Args>
[[noreturn]] void Fail(const Node& node, fmt::format_string<Args...> format, Args&&... args) {
  throw Error("graph", "{}: {}", node.Describe(), fmt::format(format, std::forward<Args>(args)...));
}

class Reader {
 public:
  Reader(const Node& node, const std::vector<std::optional<Shape>>& shapes)
      : node_(node), shapes_(shapes) {}

  AttentionForm Read() {
    if (node_.op() == "Attention") {
      form_.places = {Place(3), Place(4), Place(5), Place(6), std::nullopt};
      form_.causal = node_.Int("is_causal", 0) != 0;
      form_.softcap = node_.Float("softcap", 0.0f);
      ReadProjections("q_num_heads", "kv_num_heads");
      ReadPast();
      if (form_.places.mask) ReadMask(3);
      form_.ends_by_lengths = form_.places.lengths && !form_.places.past_key;
    } else {
      form_.places = {Place(5), Place(6), Place(7), std::nullopt, Place(3)};
      form_.causal = node_.Int("unidirectional", 0) != 0;
      ReadProjections("num_heads", "num_heads");
      ReadPast();
      ReadBiases();
      if (form_.sequence == 1) form_.causal = false;
      if (form_.causal && form_.new_keys > form_.sequence) {
        Fail(
            node_,
            "attribute 'unidirectional': got {} rows and {} new keys, want no more keys than rows: "
            "which of them the rows see is not defined",
            form_.sequence, form_.new_keys);
      }
    }
    form_.scale = node_.Float("scale", 0.0f);
    if (form_.places.lengths) Want(*form_.places.lengths, {form_.batch});
    return form_;
  }

 private:
  const Shape& At(size_t input) const { return *shapes_[input]; }
  std::optional<size_t> Place(size_t input) const {
    return input < shapes_.size() && shapes_[input] ? std::optional(input) : std::nullopt;
  }
  void Want(size_t input, const Shape& want) const {
    if (At(input) != want) {
      Fail(node_, "input {}: got shape {}, want {}", input, ShapeText(At(input)), ShapeText(want));
    }
  }

  // Reads query, key and value. The number of heads comes from the attributes or from shapes of
  // four dimensions.
  void ReadProjections(std::string_view q_heads, std::string_view kv_heads) {
    const Shape &q = At(0), &k = At(1);
    for (const size_t i : {0u, 1u}) {
      if (At(i).size() != 3 && At(i).size() != 4)
        Fail(node_, "input {}: got shape {}, want 3 or 4 dimensions", i, ShapeText(At(i)));
    }
    form_.by_head = q.size() == 4;
    form_.kv_by_head = k.size() == 4;
    if (form_.by_head && !form_.kv_by_head)
      Fail(node_, "input 1: got shape {}, want 4 dimensions like input 0", ShapeText(k));
    form_.batch = q[0];
    form_.sequence = q[q.size() - 2];
    form_.new_keys = k[k.size() - 2];
    const auto split = [&](size_t input, std::string_view attribute, int64_t& heads) {
      const Shape& shape = At(input);
      const int64_t given = node_.Int(attribute, 0);
      if (given < 0 || given >= kMaxDim || (given == 0 && shape.size() == 3))
        Fail(node_, "attribute '{}': got {}, want the heads of input {}", attribute, given, input);
      heads = shape.size() == 4 ? shape[1] : given;
      const int64_t width = shape.size() == 4 ? heads : shape[2];
      if (heads >= kMaxDim || width >= kMaxDim)
        Fail(node_, "input {}: got shape {}", input, ShapeText(shape));
      if (heads == 0 || width % heads != 0 || (given != 0 && heads != given)) {
        Fail(node_, "input {}: got shape {}, want {} heads", input, ShapeText(shape),
             given == 0 ? heads : given);
      }
      return shape.size() == 4 ? shape[3] : width / heads;
    };
    form_.head_size = split(0, q_heads, form_.heads);
    const int64_t k_size = split(1, kv_heads, form_.kv_heads);
    const int64_t size = form_.head_size;
    if (size == 0 || size >= kMaxDim || k_size != size)
      Fail(node_, "input 1: got head size {}, want {} as the queries have", k_size, size);
    if (form_.heads % form_.kv_heads != 0) {
      Fail(node_, "input 0: got {} heads, want a multiple of the keys' {}", form_.heads,
           form_.kv_heads);
    }
    // Values whose head size differs from the keys' are not implemented.
    const Shape keys = form_.kv_by_head ? Shape{form_.batch, form_.kv_heads, form_.new_keys, size}
                                        : Shape{form_.batch, form_.new_keys, form_.kv_heads * size};
    Want(1, keys);
    Want(2, keys);
  }

  void ReadPast() {
    const auto& [mask, key, value, lengths, bias] = form_.places;
    if (key.has_value() != value.has_value())
      Fail(node_, "past key and past value: got one of them, want both or none");
    if (key) {
      if (At(*key).size() != 4)
        Fail(node_, "input {}: got shape {}, want 4 dimensions", *key, ShapeText(At(*key)));
      form_.past = At(*key)[2];
      const Shape past = {form_.batch, form_.kv_heads, form_.past, form_.head_size};
      Want(*key, past);
      Want(*value, past);
    }
    if (form_.new_keys >= kMaxDim || form_.past >= kMaxDim)
      Fail(node_, "input 1: got {} keys and a past of {}", form_.new_keys, form_.past);
    if (form_.total() == 0) Fail(node_, "input 1: got 0 keys and no past, want some");
  }

  // Reads a mask that broadcasts to [batch, heads, sequence, total], except that its last dimension
  // may be shorter than the keys.
  void ReadMask(size_t input) {
    Shape mask = At(input);
    if (mask.size() < 2 || mask.size() > 4)
      Fail(node_, "input {}: got shape {}, want 2 to 4 dimensions", input, ShapeText(mask));
    mask.insert(mask.begin(), 4 - mask.size(), 1);
    const Shape whole = {form_.batch, form_.heads, form_.sequence, form_.total()};
    for (size_t i = 0; i < 4; ++i) {
      const bool fits =
          i == 3 ? mask[i] >= 1 && mask[i] <= whole[i] : mask[i] == 1 || mask[i] == whole[i];
      if (!fits) {
        Fail(node_, "input {}: got shape {}, want one that broadcasts to {}", input,
             ShapeText(At(input)), ShapeText(whole));
      }
    }
    form_.mask = std::move(mask);
  }

  // Reads MultiHeadAttention's bias of the projections, its mask of the keys and its bias of the
  // scores.
  void ReadBiases() {
    const int64_t hidden = form_.heads * form_.head_size;
    if (form_.places.projection_bias) {
      if (form_.kv_by_head)
        Fail(node_,
             "input 3 (bias): got one with keys of 4 dimensions, want none: it is not implemented");
      Want(3, {3 * hidden});
    }
    if (form_.by_head) Fail(node_, "input 0: got shape {}, want 3 dimensions", ShapeText(At(0)));
    if (form_.places.mask) {
      ReadMask(5);
      if (At(5).size() != 4 || form_.mask[2] != form_.sequence || form_.mask[3] != form_.total()) {
        Fail(node_, "input 5: got shape {}, want [batch or 1, heads or 1, {}, {}]",
             ShapeText(At(5)), form_.sequence, form_.total());
      }
    }
    const std::optional<size_t> padding = Place(4);
    if (!padding) return;
    const Shape& shape = At(4);
    if (shape == Shape{form_.batch}) {
      if (form_.past > 0)
        Fail(node_, "input 4: got lengths with a past, want a mask [{}, {}]", form_.batch,
             form_.total());
      form_.places.lengths = padding;
      return;
    }
    if (form_.places.mask) {
      Fail(node_,
           "inputs 4 and 5: got a mask of keys and a bias, want only one: both together are not "
           "implemented");
    }
    if (shape == Shape{form_.batch, form_.total()}) {
      form_.mask = {form_.batch, 1, 1, form_.total()};
    } else if (shape == Shape{form_.batch, form_.sequence, form_.total()}) {
      form_.mask = {form_.batch, 1, form_.sequence, form_.total()};
    } else {
      Fail(node_, "input 4: got shape {}, want [{}], [{}, {}] or [{}, {}, {}]", ShapeText(shape),
           form_.batch, form_.batch, form_.total(), form_.batch, form_.sequence, form_.total());
    }
    form_.places.mask = padding;
  }

  const Node& node_;
  const std::vector<std::optional<Shape>>& shapes_;
  AttentionForm form_;
};

AttentionForm Check(Inference& in) {
  std::vector<std::optional<Shape>> shapes(in.num_inputs());
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (in.has(i)) shapes[i] = in.shape(i);
  }
  in.WantDType(0, kFloats);
  in.WantSameDType(1, 0);
  in.WantSameDType(2, 0);
  AttentionForm form = ReadAttention(in.node(), shapes);
  for (const auto& place :
       {form.places.past_key, form.places.past_value, form.places.projection_bias}) {
    if (place) in.WantSameDType(*place, 0);
  }
  in.Out(0, in.dtype(0), form.output());
  in.Out(1, in.dtype(0), form.present());
  in.Out(2, in.dtype(0), form.present());
  return form;
}

// Inputs: 0 Q, 1 K, 2 V, 3 attn_mask, 4 past_key, 5 past_value, 6 nonpad_kv_seqlen.
void InferAttention(Inference& in) {
  const AttentionForm form = Check(in);
  if (form.places.mask) in.WantDType(*form.places.mask, {DType::kBool, in.dtype(0)});
  if (form.places.lengths) in.WantDType(*form.places.lengths, {DType::kI64});
}

// Inputs: 0 query, 1 key, 2 value, 3 bias, 4 key_padding_mask, 5 attention_bias, 6 past_key, 7
// past_value.
void InferMultiHeadAttention(Inference& in) {
  Check(in);
  if (in.has(4)) in.WantDType(4, {DType::kI32});
  if (in.has(5)) in.WantSameDType(5, 0);
  if (const float filter = in.node().Float("mask_filter_value", -10000.0f);
      filter > kMaskFilterValue) {
    in.Fail(
        "attribute 'mask_filter_value': got {}, want at most {}, so that masked keys have no "
        "weight",
        filter, kMaskFilterValue);
  }
}

}  // namespace

bool IsAttention(const Node& node) {
  return node.domain().empty()
             ? node.op() == "Attention"
             : node.domain() == "com.microsoft" && node.op() == "MultiHeadAttention";
}

AttentionForm ReadAttention(const Node& node, const std::vector<std::optional<Shape>>& shapes) {
  return Reader(node, shapes).Read();
}

std::vector<OpSpec> AttentionOps() {
  const std::vector<int64_t> flag = {0, 1};
  // All values of softmax_precision are accepted: softmax runs in f32, which is at least as precise
  // as f16 and bfloat16.
  const std::vector<AttributeSpec> attributes = {
      attr::Int("is_causal", flag),
      attr::Int("q_num_heads"),
      attr::Int("kv_num_heads"),
      attr::Float("scale"),
      attr::Float("softcap"),
      attr::Int("softmax_precision", {1, 10, 16}),
      attr::Int("qk_matmul_output_mode", {0, 1, 2, 3}),
  };
  constexpr std::string_view kOutputs = "Y present_key? present_value? qk_matmul_output!";
  return {
      {"", "Attention", 23, 23, "Q K V attn_mask? past_key? past_value?", kOutputs, attributes,
       InferAttention},
      {"", "Attention", 24, kMaxOpset, "Q K V attn_mask? past_key? past_value? nonpad_kv_seqlen?",
       kOutputs, attributes, InferAttention},
      {"com.microsoft",
       "MultiHeadAttention",
       1,
       1,
       "query key value bias? key_padding_mask? attention_bias? past_key? past_value? "
       "past_sequence_length! cache_indirection!",
       "output present_key? present_value? qk!",
       {attr::RequiredInt("num_heads"), attr::Float("scale"), attr::Int("unidirectional", flag),
        attr::Float("mask_filter_value")},
       InferMultiHeadAttention},
  };
}

}  // namespace sinter::graph
