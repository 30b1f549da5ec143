// conv1 and pool1. It has three input channels, so no channels to fill a register with: LANES TILES of a row are transformed at once,
// and the matrix product has a sum of three, which is why its sums go back in time before they leave the registers.
#pragma once
#include "layer.h"
#include "tile.h"

namespace winograd {

// Clips of bytes, less their mean: what the first convolution reads.
class Clips {
 public:
  static constexpr int CHANNELS = 3, FRAMES = 16, SIZE = 112, TILES = SIZE / 4;  // TILES: of four columns
  // A row lies as [column % 4][column / 4], so that what neighbouring tiles read side by side lies side by side. COLUMNS: those
  // of TILES tiles rounded up to whole registers, and the one behind them that their last two inputs come from.
  static constexpr int COLUMNS = ceil_div(TILES, 16) * 16 + 8;
  static constexpr ptrdiff_t ROW = 4 * COLUMNS, FRAME = (SIZE + 2) * ROW, PLANE = (FRAMES + 2) * FRAME, CLIP = CHANNELS * PLANE;

  explicit Clips(int clips) : data_(clips * CLIP + LANES) {}
  const float* plane(int n, int channel) const { return data_.get() + n * CLIP + channel * PLANE; }

  // clips (n, 16, 112, 112, 3), mean (16, 112, 112, 3).
  void write(Threads& threads, const uint8_t* clips, const float* mean, int n) {
    constexpr ptrdiff_t size = ptrdiff_t(SIZE) * SIZE * CHANNELS;
    threads.run(n * FRAMES, [&](int turn, int) {
      const int frame = turn % FRAMES;
      write_frame(clips + turn * size, mean + frame * size, data_.get() + turn / FRAMES * CLIP + (frame + 1) * FRAME);
    });
  }

 private:
  static void write_frame(const uint8_t* in, const float* mean, float* out) {
    for (int row = 1; row <= SIZE; row++) {
      for (int column = 1; column <= SIZE; column++, in += CHANNELS, mean += CHANNELS) {
        float* to = out + row * ROW + column % 4 * COLUMNS + column / 4;
        for (int c = 0; c < CHANNELS; c++) to[c * PLANE] = static_cast<float>(in[c]) - mean[c];
      }
    }
  }
  Buffer data_;
};

class FirstConvolution : public Spatial {
  using T = Tile<F4, F4>;
  static constexpr int CHANNELS = Clips::CHANNELS, TILES = Clips::TILES, WIDTH = ceil_div(TILES, 16) * 16;
  static constexpr int TERMS = F4::PRODUCTS * CHANNELS;              // of the products at one place of a tile's rows and columns
  static constexpr int SUMS = T::AREA * F4::OUTPUTS * LANES;         // of a tile and LANES output channels
  static constexpr int TOGETHER = 14;                                // tiles whose sums stay in the second cache

 public:
  // kernel (3, 3, 3, 3, outputs), bias (outputs,), a multiple of LANES. Pooled over 2x2.
  FirstConvolution(int clips, const Clips& x, int outputs, const float* kernel, const float* bias)
      : Spatial(clips, {outputs, Clips::FRAMES, Clips::SIZE / 2}), x_(x), outputs_(outputs), weights_(size_t(T::PRODUCTS) * CHANNELS * outputs) {
    add_bias(bias_, bias, outputs);
    for (int k = 0; k < outputs; k++) {  // to [outputs / LANES][AREA][time][channel][LANES]
      float* out = weights_.get() + size_t(k / LANES) * T::PRODUCTS * CHANNELS * LANES + k % LANES;
      for (int c = 0; c < CHANNELS; c++) {
        double filter[T::PRODUCTS];
        T::filter(kernel + c * outputs + k, CHANNELS * outputs, filter);
        for (int p = 0; p < T::PRODUCTS; p++) out[(p * CHANNELS + c) * LANES] = static_cast<float>(filter[p]);
      }
    }
  }

  void run(Threads& threads, int clips) override {
    for (auto& scratch : threads.scratch) {
      scratch.inputs.resize(size_t(T::PRODUCTS) * CHANNELS * WIDTH);
      scratch.sums.resize(size_t(TOGETHER) * SUMS);
    }
    constexpr int IN_TIME = Clips::FRAMES / F4::OUTPUTS;
    threads.run(clips * IN_TIME * TILES, [&](int turn, int thread) {
      run_row(threads.scratch[thread], turn / (IN_TIME * TILES), turn / TILES % IN_TIME, turn % TILES);
    });
  }

 private:
  // One row of tiles.
  void run_row(Threads::Scratch& scratch, int n, int time, int row) {
    float* inputs = scratch.inputs.get();  // [AREA][time][channel][WIDTH]
    for (int c = 0; c < CHANNELS; c++) {
      for (int tile = 0; tile < WIDTH; tile += LANES) {
        const float* in = x_.plane(n, c) + time * F4::OUTPUTS * Clips::FRAME + row * F4::OUTPUTS * Clips::ROW + tile;
        T::input(
            [=](int t, int h, int w) { return load_unaligned(in + t * Clips::FRAME + h * Clips::ROW + w % 4 * Clips::COLUMNS + w / 4); },
            inputs + c * WIDTH + tile, CHANNELS * WIDTH);
      }
    }
    float* sums = scratch.sums.get();
    for (int block = 0; block < outputs_ / LANES; block++) {
      for (int begin = 0; begin < TILES; begin += TOGETHER) {
        for (int place = 0; place < T::AREA; place++)
          for (int i = 0; i < TOGETHER; i += 2)
            multiply(inputs + place * TERMS * WIDTH + begin + i, weights_.get() + (block * T::AREA + place) * TERMS * LANES,
                     sums + i * SUMS + place * F4::OUTPUTS * LANES);
        for (int i = 0; i < TOGETHER; i++) write(sums + i * SUMS, n, time, row, begin + i, block);
      }
    }
  }

  // Two tiles at one place: their products, back in time.
  __attribute__((flatten)) static void multiply(const float* inputs, const float* weights, float* sums) {
    constexpr int PRODUCTS = F4::PRODUCTS;
    Vec m[2][PRODUCTS];
    unrolled<PRODUCTS>([&](int t) {
      m[0][t] = m[1][t] = all(0);
      unrolled<CHANNELS>([&](int c) {
        const Vec w = load(weights + (t * CHANNELS + c) * LANES);
        unrolled<2>([&](int i) { m[i][t] = fma(all(inputs[(t * CHANNELS + c) * WIDTH + i]), w, m[i][t]); });
      });
    });
    unrolled<2>([&](int i) {
      Vec y[F4::OUTPUTS];
      F4::output(m[i], y);
      unrolled<F4::OUTPUTS>([&](int t) { store(sums + i * SUMS + t * LANES, y[t]); });
    });
  }

  // One tile and LANES output channels: back in space, bias, ReLU, pooling, and into the output.
  void write(const float* sums, int n, int time, int row, int column, int block) {
    const Vec bias = load(bias_.get() + block * LANES);
    float* out = y.inside(n, block) + time * F4::OUTPUTS * y.frame + row * 2 * y.row + column * 2 * LANES;
    for (int t = 0; t < F4::OUTPUTS; t++, out += y.frame) {
      Vec o[4][4];
      T::output(sums + t * LANES, F4::OUTPUTS * LANES, o);
      for (int h = 0; h < 4; h += 2) {
        for (int w = 0; w < 4; w += 2) {
          const auto value = [&](int i, int j) { return relu(o[h + i][w + j] + bias); };
          store(out + h / 2 * y.row + w / 2 * LANES, larger(larger(value(0, 0), value(0, 1)), larger(value(1, 0), value(1, 1))));
        }
      }
    }
  }

  const Clips& x_;
  const int outputs_;
  Buffer weights_, bias_;
};

}  // namespace winograd
