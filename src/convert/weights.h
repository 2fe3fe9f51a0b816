// Where a model's weights come from: a checkpoint's tensors, or a random generator.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "convert/safetensors.h"

namespace sinter::convert {

// A weight of [rows, columns] that is read a few rows at a time, so that no whole tensor needs to
// be in memory.
struct Matrix {
  std::string name;  // for errors
  int64_t rows = 0, columns = 0;
  // Writes rows [first, first + count) as f32; safe from several threads. Null where the weights
  // are random.
  std::function<void(int64_t first, int64_t count, float* out)> read;
  // Of random weights: their standard deviation, and what each row is drawn from, so that stacked
  // rows are those of their parts.
  double deviation = 0;
  std::function<uint64_t(int64_t row)> seed;
};

// The rows of several matrices of as many columns, one after another.
Matrix Stack(std::vector<Matrix> parts);
// Rows of `a` and `b` in turn: a0, b0, a1, b1, ... Both have the same shape.
Matrix Interleave(Matrix a, Matrix b);
// Rows [first, first + count).
Matrix Slice(Matrix matrix, int64_t first, int64_t count);

// A model's tensors by their names in the checkpoint. Everything throws Error("convert") naming the
// tensor where it is missing or has another shape or a type that is no float.
class Weights {
 public:
  virtual ~Weights() = default;

  // Whether there is such a tensor; a random source has all but those of packed formats.
  virtual bool Has(std::string_view name) const = 0;
  // A tensor of [rows, columns].
  virtual Matrix Rows(const std::string& name, int64_t rows, int64_t columns) = 0;
  // A tensor of [batch, columns, rows], as a matrix of [batch * rows, columns].
  virtual Matrix Columns(const std::string& name, int64_t batch, int64_t rows, int64_t columns) = 0;
  // NAME_blocks [batch, rows, columns / 32, 16] and NAME_scales [batch, rows, columns / 32], both
  // u8: MXFP4 (Open Compute Project, Microscaling Formats 1.0), as [batch * rows, columns].
  virtual Matrix Mxfp4(const std::string& name, int64_t batch, int64_t rows, int64_t columns) = 0;
  // A tensor whose elements are `count`, as one row. Random ones lie within `spread` of `mean`.
  virtual std::vector<float> Vector(const std::string& name, int64_t count, double mean,
                                    double spread) = 0;
};

// `tensors` must outlive every matrix read from it.
class CheckpointWeights : public Weights {
 public:
  explicit CheckpointWeights(const CheckpointTensors& tensors) : tensors_(tensors) {}

  bool Has(std::string_view name) const override { return tensors_.contains(name); }
  Matrix Rows(const std::string& name, int64_t rows, int64_t columns) override;
  Matrix Columns(const std::string& name, int64_t batch, int64_t rows, int64_t columns) override;
  Matrix Mxfp4(const std::string& name, int64_t batch, int64_t rows, int64_t columns) override;
  std::vector<float> Vector(const std::string& name, int64_t count, double mean,
                            double spread) override;

  // Tensors that nobody asked for, in order.
  std::vector<std::string> Unused() const;

 private:
  const CheckpointTensor& Get(const std::string& name, const graph::Shape& shape, bool floats);

  const CheckpointTensors& tensors_;
  std::set<std::string, std::less<>> used_;
};

// Weights of mean 0 and variance 1 / columns, so that a layer keeps its input's size; the same for
// the same seed and name.
class RandomWeights : public Weights {
 public:
  explicit RandomWeights(uint64_t seed) : seed_(seed) {}

  bool Has(std::string_view name) const override;
  Matrix Rows(const std::string& name, int64_t rows, int64_t columns) override;
  Matrix Columns(const std::string& name, int64_t batch, int64_t rows, int64_t columns) override;
  Matrix Mxfp4(const std::string& name, int64_t batch, int64_t rows, int64_t columns) override;
  std::vector<float> Vector(const std::string& name, int64_t count, double mean,
                            double spread) override;

 private:
  uint64_t SeedOf(std::string_view name) const;
  uint64_t seed_;
};

}  // namespace sinter::convert
