// pool5, which stands alone because cards pad it in two ways, and the fully connected layers.
#pragma once
#include "layer.h"
#include "product.h"

namespace winograd {

// The maximum of windows of 2x2x2, the first of which begins `before` rows and columns outside; what is outside counts as zero.
class Pool : public Spatial {
 public:
  Pool(int clips, const Activation& x, int before, int size) : Spatial(clips, {x.shape.channels, x.shape.frames / 2, size}), x_(x), before_(before) {}

  void run(Threads& threads, int clips) override {
    const int blocks = x_.shape.channels / LANES;
    threads.run(clips * blocks, [&](int turn, int) {
      for (int t = 0; t < y.shape.frames; t++)
        for (int h = 0; h < y.shape.size; h++)
          for (int w = 0; w < y.shape.size; w++)
            store(y.inside(turn / blocks, turn % blocks) + t * y.frame + h * y.row + w * LANES,
                  largest(x_.inside(turn / blocks, turn % blocks), 2 * t, 2 * h - before_, 2 * w - before_));
    });
  }

 private:
  Vec largest(const float* in, int time, int row, int column) const {
    Vec found = all(0);
    for (int t = time; t < time + 2; t++)
      for (int h = std::max(row, 0); h < std::min(row + 2, x_.shape.size); h++)
        for (int w = std::max(column, 0); w < std::min(column + 2, x_.shape.size); w++)
          found = larger(found, load(in + t * x_.frame + h * x_.row + w * LANES));
    return found;
  }

  const Activation& x_;
  const int before_;
};

// x times kernel plus bias, and ReLU where it is asked for.
class Dense : public Layer {
 public:
  // kernel (x's values, outputs), bias (outputs,).
  Dense(Threads& threads, int clips, const Layer& x, int outputs, bool with_relu, const float* kernel, const float* bias)
      : x_(x), outputs_(outputs), relu_(with_relu), weights_(x.values() * ceil_div(outputs, PANEL) * PANEL + AHEAD),
        plain_(clips * x.values()), packed_(clips * x.values()), y_(size_t(clips) * ceil_div(outputs, PANEL) * PANEL) {
    add_bias(bias_, bias, outputs);
    threads.run(ceil_div(outputs, PANEL), [&](int panel, int) {
      const int columns = std::min(PANEL, outputs - panel * PANEL);
      for (size_t c = 0; c < x.values(); c++)
        std::copy_n(kernel + c * outputs + panel * PANEL, columns, weights_.get() + (panel * x.values() + c) * PANEL);
    });
  }

  void run(Threads& threads, int clips) override {
    const int inputs = static_cast<int>(x_.values());
    x_.read(plain_.get(), clips);
    for (int n = 0; n < clips; n++)  // to [inputs / LANES][clips][LANES]
      for (int c = 0; c < inputs; c += LANES) std::copy_n(plain_.get() + ptrdiff_t(n) * inputs + c, LANES, packed_.get() + ptrdiff_t(c) * clips + n * LANES);
    threads.run(ceil_div(outputs_, PANEL), [&](int panel, int) {
      alignas(64) float sums[ROWS * PANEL];
      const float* weights = weights_.get() + ptrdiff_t(panel) * inputs * PANEL;
      product_of(clips, 1)(packed_.get(), weights, inputs, sums, clips * LANES, weights + AHEAD);
      for (int half = 0; half < 2; half++) {
        const int k = panel * PANEL + half * LANES;
        for (int n = 0; n < clips; n++) {
          const Vec y = load(sums + (half * clips + n) * LANES) + load(bias_.get() + k);
          store(y_.get() + n * width() + k, relu_ ? relu(y) : y);
        }
      }
    });
  }

  size_t values() const override { return outputs_; }
  void read(float* out, int clips) const override {
    for (int n = 0; n < clips; n++) std::copy_n(y_.get() + n * width(), outputs_, out + ptrdiff_t(n) * outputs_);
  }

 private:
  static constexpr int AHEAD = 4096;  // floats between what is read and what is fetched: memory is that far away
  ptrdiff_t width() const { return ptrdiff_t(ceil_div(outputs_, PANEL)) * PANEL; }

  const Layer& x_;
  const int outputs_;
  const bool relu_;
  Buffer weights_, bias_, plain_, packed_, y_;
};

}  // namespace winograd
