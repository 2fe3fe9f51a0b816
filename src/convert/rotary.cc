#include "convert/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sinter::convert {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// Divides low frequencies by the factor, keeps high ones, and blends the two in between.
double Llama3Frequency(const RopeConfig& rope, double frequency) {
  const double wavelength = kTwoPi / frequency;
  const auto original = static_cast<double>(rope.original_max_positions);
  if (wavelength < original / rope.high_freq_factor) return frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth = (original / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

// YaRN's weight of the frequencies divided by the factor against the plain ones. It rises linearly
// from 0 to 1 between the dimensions that rotate beta_fast and beta_slow times within the original
// context.
struct YarnRamp {
  explicit YarnRamp(const RopeConfig& rope) {
    const auto dimension = [&](double turns) {
      return static_cast<double>(rope.rotary_dim) *
             std::log(static_cast<double>(rope.original_max_positions) / (turns * kTwoPi)) /
             (2 * std::log(rope.theta));
    };
    low = dimension(rope.beta_fast);
    high = dimension(rope.beta_slow);
    if (rope.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(rope.rotary_dim - 1));
    if (low == high) high += 0.001;
  }
  double At(int64_t i) const {
    return std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
  }
  double low, high;
};

}  // namespace

RotaryAngles AnglesFor(const RopeConfig& rope, int64_t context, bool is_long) {
  const int64_t rotary_dim = rope.rotary_dim;
  using Type = RopeConfig::Type;
  RotaryAngles angles;
  const YarnRamp ramp(rope);
  for (int64_t i = 0; i < rotary_dim / 2; ++i) {
    double frequency =
        std::pow(rope.theta, -2 * static_cast<double>(i) / static_cast<double>(rotary_dim));
    switch (rope.type) {
      case Type::kDefault:
        break;
      case Type::kLinear:
        frequency /= rope.factor;
        break;
      case Type::kLlama3:
        frequency = Llama3Frequency(rope, frequency);
        break;
      case Type::kLongRope:
        frequency /= (is_long ? rope.long_factor : rope.short_factor)[static_cast<size_t>(i)];
        break;
      case Type::kYarn:
        frequency = frequency / rope.factor * ramp.At(i) + frequency * (1 - ramp.At(i));
        break;
    }
    angles.frequencies.push_back(frequency);
  }
  if (rope.type == Type::kLongRope) {
    const double extension =
        static_cast<double>(context) / static_cast<double>(rope.original_max_positions);
    angles.scale = rope.attention_factor.value_or(std::sqrt(
        1 + std::log(extension) / std::log(static_cast<double>(rope.original_max_positions))));
  } else if (rope.type == Type::kYarn) {
    angles.scale =
        rope.attention_factor.value_or(rope.factor <= 1 ? 1 : 0.1 * std::log(rope.factor) + 1);
  }
  return angles;
}

}  // namespace sinter::convert
