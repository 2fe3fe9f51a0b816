// Sources of a model's weights: a checkpoint's tensors, or a random generator.
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

// A weight of [rows, columns] that is read a few rows at a time, so that no tensor has to be in
// memory as a whole.
struct Matrix {
  std::string name;  // for errors
  int64_t rows = 0, columns = 0;
  // Writes rows [first, first + count) to `out` as f32. May be called from several threads. Null if
  // the weights are random.
  std::function<void(int64_t first, int64_t count, float* out)> read;
  // For random weights: their standard deviation, and the seed of each row. A seed for each row
  // keeps the rows of a stack equal to the rows of its parts.
  double deviation = 0;
  std::function<uint64_t(int64_t row)> seed;
};

// Returns the rows of several matrices concatenated. All have the same number of columns.
Matrix Stack(std::vector<Matrix> parts);
// Returns the rows of `a` and `b` alternately: a0, b0, a1, b1, ... Both have the same shape.
Matrix Interleave(Matrix a, Matrix b);
// Returns rows [first, first + count).
Matrix Slice(Matrix matrix, int64_t first, int64_t count);

// A model's tensors by their names in the checkpoint. All functions but Has() throw
// Error("convert"), which names the tensor, if it is missing or has another shape or type than
// requested.
class Weights {
 public:
  virtual ~Weights() = default;

  // Returns whether there is such a tensor. A random source has all but those of packed formats.
  virtual bool Has(std::string_view name) const = 0;
  // Returns a tensor of [rows, columns].
  virtual Matrix Rows(const std::string& name, int64_t rows, int64_t columns) = 0;
  // Returns a tensor of [batch, columns, rows] as a matrix of [batch * rows, columns].
  virtual Matrix Columns(const std::string& name, int64_t batch, int64_t rows, int64_t columns) = 0;
  // Returns an MXFP4 weight (Open Compute Project, Microscaling Formats 1.0) as a matrix of
  // [batch * rows, columns]. Its tensors, both u8, are NAME_blocks [batch, rows, columns / 32, 16]
  // and NAME_scales [batch, rows, columns / 32].
  virtual Matrix Mxfp4(const std::string& name, int64_t batch, int64_t rows, int64_t columns) = 0;
  // Returns a tensor of `count` elements as one row. Random values lie within `spread` of `mean`.
  virtual std::vector<float> Vector(const std::string& name, int64_t count, double mean,
                                    double spread) = 0;
};

// Weights of a checkpoint. `tensors` must outlive every matrix read from it.
class CheckpointWeights : public Weights {
 public:
  explicit CheckpointWeights(const CheckpointTensors& tensors) : tensors_(tensors) {}

  bool Has(std::string_view name) const override { return tensors_.contains(name); }
  Matrix Rows(const std::string& name, int64_t rows, int64_t columns) override;
  Matrix Columns(const std::string& name, int64_t batch, int64_t rows, int64_t columns) override;
  Matrix Mxfp4(const std::string& name, int64_t batch, int64_t rows, int64_t columns) override;
  std::vector<float> Vector(const std::string& name, int64_t count, double mean,
                            double spread) override;

  // Returns the names of the tensors that were never requested, sorted.
  std::vector<std::string> Unused() const;

 private:
  const CheckpointTensor& Get(const std::string& name, const graph::Shape& shape, bool floats);

  const CheckpointTensors& tensors_;
  std::set<std::string, std::less<>> used_;
};

// Random weights of mean 0 and variance 1 / columns, so that a layer's output has about the
// magnitude of its input. The same seed and name give the same weights.
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
