// What layers hand to one another.
#pragma once
#include <algorithm>

#include "threads.h"
#include "vectors.h"

namespace winograd {

// One of a network's layers. It keeps what it computed last, for the layer behind it and for whoever asks.
class Layer {
 public:
  virtual ~Layer() = default;
  virtual void run(Threads& threads, int clips) = 0;
  virtual size_t values() const = 0;  // of one clip
  // The outputs, (clips, values), of spatial layers in the order time, row, column, channel.
  virtual void read(float* out, int clips) const = 0;

 protected:
  // -0 becomes +0, so that no sum with the bias is -0: `larger` takes -0 for the largest of all numbers.
  static void add_bias(Buffer& to, const float* bias, int outputs) {
    to.resize(static_cast<size_t>(ceil_div(outputs, PANEL)) * PANEL);
    for (int k = 0; k < outputs; k++) to.get()[k] = bias[k] + 0.0f;
  }
};

struct Shape {
  int channels, frames, size;  // size: rows, and columns
};

// (clips, channels / LANES, frames, rows, columns, LANES), with a frame, row and column of zeros on each side, and behind them what
// tiles that overhang read.
class Activation {
 public:
  const Shape shape;
  const ptrdiff_t row, frame, block, clip;  // from one to the next, in floats

  Activation(int clips, Shape s)
      : shape(s), row(ptrdiff_t(padded(s.size)) * LANES), frame(padded(s.size) * row), block((s.frames + 2) * frame),
        clip(s.channels / LANES * block), data_(clips * clip) {}

  // The padding's first value; the first real one of a channel block stands behind a frame, a row and a column.
  float* corner(int n, int channel_block) const { return data_.get() + n * clip + channel_block * block; }
  float* inside(int n, int channel_block) const { return corner(n, channel_block) + frame + row + LANES; }

  // f(the channel block's LANES values, the first channel's place in a channels-last array).
  template <class F> void each(int clips, F f) const {
    size_t place = 0;
    for (int n = 0; n < clips; n++)
      for (int t = 0; t < shape.frames; t++)
        for (int h = 0; h < shape.size; h++)
          for (int w = 0; w < shape.size; w++, place += shape.channels)
            for (int b = 0; b < shape.channels / LANES; b++) f(inside(n, b) + t * frame + h * row + w * LANES, place + b * LANES);
  }

 private:
  static int padded(int size) { return ceil_div(size, 4) * 4 + 2; }
  Buffer data_;
};

// A layer whose output is frames.
class Spatial : public Layer {
 public:
  Spatial(int clips, Shape shape) : y(clips, shape) {}
  size_t values() const override { return size_t(y.shape.channels) * y.shape.frames * y.shape.size * y.shape.size; }
  void read(float* out, int clips) const override {
    y.each(clips, [out](const float* from, size_t place) { std::copy_n(from, LANES, out + place); });
  }
  Activation y;
};

// Where a layer's test begins: frames from outside.
class Input : public Spatial {
 public:
  using Spatial::Spatial;
  void run(Threads&, int) override {}
  void write(const float* in, int clips) {
    y.each(clips, [in](float* to, size_t place) { std::copy_n(in + place, LANES, to); });
  }
};

}  // namespace winograd
