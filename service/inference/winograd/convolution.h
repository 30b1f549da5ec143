// A 3x3x3 convolution with padding 1, its bias, ReLU and max pooling, by Winograd's algorithm.
//
// The output is cut into tiles. Their inputs are transformed, which gives PRODUCTS positions; at each position one matrix product
// (tiles x input channels) x (input x output channels) takes the place of the convolution; its sums are transformed back. A block
// of tiles goes through all of that before the next one begins, so that what is in between stays in the caches.
#pragma once
#include "layer.h"
#include "product.h"
#include "tile.h"

namespace winograd {

// How a number of tiles is cut up for a number of threads.
struct Blocks {
  int tiles, rows, row_blocks, count;  // a block has `row_blocks` times `rows` tiles, those for one call of the product
  bool shared;                         // whether all threads work on one block at a time

  Blocks(int tiles, int threads, int most_own, int most_shared) : tiles(tiles) {
    shared = tiles < threads * std::min(most_own, LEAST);
    const int most = shared ? most_shared : most_own, together = shared ? 1 : threads;
    count = ceil_div(ceil_div(tiles, most), together) * together;
    const int share = ceil_div(tiles, count);
    row_blocks = ceil_div(share, ROWS);
    rows = ceil_div(share, row_blocks);
    count = ceil_div(tiles, row_blocks * rows);
  }
  int per_block() const { return row_blocks * rows; }
  // Row blocks of block b that have tiles: the last block may be short.
  int row_blocks_of(int b) const { return std::min(row_blocks, ceil_div(tiles - b * per_block(), rows)); }

  static constexpr int LEAST = 28;  // tiles for which reading all the weights pays
};

template <class Tile> class Convolution : public Spatial {
  using Time = typename Tile::Time;
  using Space = typename Tile::Space;

 public:
  // kernel (3, 3, 3, x's channels, outputs), bias (outputs,). Each is a multiple of PANEL.
  Convolution(Threads& threads, int clips, const Activation& x, int outputs, int pool_time, int pool_space, const float* kernel,
              const float* bias)
      : Spatial(clips, {outputs, x.shape.frames / pool_time, x.shape.size / pool_space}), x_(x), outputs_(outputs),
        pool_time_(pool_time), pool_space_(pool_space), group_(outputs % (2 * PANEL) ? 1 : 2), frames_(x.shape.frames / Time::OUTPUTS),
        side_(ceil_div(x.shape.size, Space::OUTPUTS)), weights_(size_t(Tile::PRODUCTS) * x.shape.channels * outputs + AHEAD) {
    add_bias(bias_, bias, outputs);
    threads.run(outputs / PANEL, [&](int panel, int) { pack(kernel, panel); });
  }

  void run(Threads& threads, int clips) override {
    const int channels = x_.shape.channels;
    const Blocks blocks(clips * frames_ * side_ * side_, threads.count(), OWN_FLOATS / (Tile::PRODUCTS * channels),
                        SHARED_FLOATS / (Tile::PRODUCTS * channels));
    const Strides strides(blocks, channels, group_);
    for (auto& scratch : threads.scratch) {
      scratch.sums.resize(strides.sums + strides.products);
      if (!blocks.shared) scratch.inputs.resize(strides.inputs);
    }
    if (blocks.shared) {
      threads.scratch[0].inputs.resize(strides.inputs);
      for (int b = 0; b < blocks.count; b++) run_together(threads, blocks, strides, b);
    } else {
      run_apart(threads, blocks, strides);
    }
  }

 private:
  static constexpr int OWN_FLOATS = 3 << 20, SHARED_FLOATS = 5 << 20;  // of a block's transformed inputs
  static constexpr int AHEAD = 65536;

  // Places in a block's three arrays: from one position to the next, and from one Vec of outputs to the next.
  struct Strides {
    ptrdiff_t input, step, sum;
    size_t inputs, products, sums;
    Strides(const Blocks& blocks, int channels, int group) {
      constexpr int APART = 16;  // or positions would lie whole pages apart, and their lines in the same set of a cache
      input = ptrdiff_t(blocks.per_block()) * channels + APART;
      step = blocks.per_block() * LANES;
      sum = Time::OUTPUTS * 2 * group * step + APART;
      inputs = Tile::PRODUCTS * input;
      products = Time::PRODUCTS * 2 * step;
      sums = Tile::AREA * sum;
    }
  };

  // A block that a thread is at.
  struct Progress {
    std::atomic<const float*> inputs{nullptr};  // once all are transformed
    std::atomic<int> next_group{0};
  };

  // Each thread its own blocks, from inputs to outputs. One that finds no block left takes groups from the others: a thread that was
  // kept waiting, by a video decoder on its core for example, would else be waited for.
  void run_apart(Threads& threads, const Blocks& blocks, const Strides& strides) {
    std::vector<Progress> progress(blocks.count);
    threads.run(blocks.count + threads.count(), [&](int turn, int thread) {
      Threads::Scratch& scratch = threads.scratch[thread];
      if (turn >= blocks.count) {
        for (int b = 0; b < blocks.count; b++) finish_groups(scratch, blocks, strides, b, progress[b]);
        return;
      }
      for (int block = 0; block < x_.shape.channels / LANES; block++)
        for (int r = 0; r < blocks.row_blocks_of(turn); r++)
          transform(blocks, strides, turn * blocks.per_block(), r, block, scratch.inputs.get());
      progress[turn].inputs = scratch.inputs.get();
      finish_groups(scratch, blocks, strides, turn, progress[turn]);
    });
  }

  // The groups of block b that no thread has taken yet. The block's inputs stay until all threads are done: who takes groups of
  // another one's block has found no block left, and nobody else will.
  void finish_groups(Threads::Scratch& scratch, const Blocks& blocks, const Strides& strides, int b, Progress& progress) {
    const float* inputs = progress.inputs;
    const int groups = outputs_ / PANEL / group_;
    if (!inputs) return;
    for (int g; (g = progress.next_group++) < groups;)
      finish(scratch, blocks, strides, b * blocks.per_block(), blocks.row_blocks_of(b), g, inputs);
  }

  // All threads, one block: first its inputs, then its outputs, split by output channels and, where those are too few, by tiles.
  void run_together(Threads& threads, const Blocks& blocks, const Strides& strides, int b) {
    const int row_blocks = blocks.row_blocks_of(b), first = b * blocks.per_block();
    const int channel_blocks = x_.shape.channels / LANES, groups = outputs_ / PANEL / group_;
    float* inputs = threads.scratch[0].inputs.get();
    threads.run(row_blocks * channel_blocks, [&](int turn, int) {
      transform(blocks, strides, first, turn / channel_blocks, turn % channel_blocks, inputs);
    });
    const int parts = std::min(row_blocks, ceil_div(threads.count(), groups)), each = ceil_div(row_blocks, parts);
    threads.run(groups * parts, [&](int turn, int thread) {
      const int from = turn / groups * each, to = std::min(row_blocks, from + each);
      if (from < to)
        finish(threads.scratch[thread], blocks, strides, first + from * blocks.rows, to - from, turn % groups,
               inputs + ptrdiff_t(from) * blocks.rows * x_.shape.channels);
    });
  }

  struct Place {
    int clip, time, row, column;  // the last three in tiles
  };
  Place place(int tile) const {
    const int in_frame = tile % (side_ * side_), frame = tile / (side_ * side_);
    return {frame / frames_, frame % frames_, in_frame / side_, in_frame % side_};
  }

  // The tiles of row block r, LANES channels: to inputs [position][row block][channels / LANES][rows][LANES].
  void transform(const Blocks& blocks, const Strides& strides, int first, int r, int channel_block, float* inputs) const {
    float* out = inputs + (ptrdiff_t(r) * x_.shape.channels + channel_block * LANES) * blocks.rows;
    const int begin = first + r * blocks.rows, end = std::min(begin + blocks.rows, blocks.tiles);
    const ptrdiff_t frame = x_.frame, row = x_.row;
    for (int tile = begin; tile < end; tile++, out += LANES) {
      const Place at = place(tile);
      const float* in = x_.corner(at.clip, channel_block) + at.time * Time::OUTPUTS * frame + at.row * Space::OUTPUTS * row +
                        at.column * Space::OUTPUTS * LANES;
      Tile::input([=](int t, int h, int w) { return load(in + t * frame + h * row + w * LANES); }, out, strides.input);
    }
  }

  // Group g of the output channels for tiles whose inputs are transformed: products, sums back in time, then in space.
  void finish(Threads::Scratch& scratch, const Blocks& blocks, const Strides& strides, int first, int row_blocks, int g,
              const float* inputs) {
    const int channels = x_.shape.channels, tiles = std::min(row_blocks * blocks.rows, blocks.tiles - first);
    const Product product = product_of(blocks.rows, row_blocks);
    const ptrdiff_t panel_size = ptrdiff_t(channels) * PANEL;
    const float* panel = weights_.get() + ptrdiff_t(g) * group_ * Tile::PRODUCTS * panel_size;
    float *products = scratch.sums.get(), *sums = products + strides.products;
    for (int place = 0; place < Tile::AREA; place++) {
      for (int j = 0; j < group_; j++) {
        for (int t = 0; t < Time::PRODUCTS; t++, panel += panel_size) {
          for (int r = 0; r < row_blocks; r++)
            product(inputs + (place * Time::PRODUCTS + t) * strides.input + ptrdiff_t(r) * blocks.rows * channels, panel, channels,
                    products + t * 2 * strides.step + r * blocks.rows * LANES, strides.step,
                    panel + panel_size + panel_size / row_blocks * r);
        }
        back_in_time(products, tiles, strides.step, sums + place * strides.sum + 2 * j * Time::OUTPUTS * strides.step);
      }
    }
    for (int j = 0; j < 2 * group_; j++)
      for (int i = 0; i < tiles; i++)
        write(sums + j * Time::OUTPUTS * strides.step + i * LANES, strides, place(first + i), g * 2 * group_ + j);
  }

  // products [time][2][tiles][LANES] to sums [2][time][tiles][LANES].
  static void back_in_time(const float* products, int tiles, ptrdiff_t step, float* sums) {
    for (int half = 0; half < 2; half++, products += step, sums += Time::OUTPUTS * step) {
      for (int i = 0; i < tiles * LANES; i += LANES) {
        Vec m[Time::PRODUCTS], y[Time::OUTPUTS];
        unrolled<Time::PRODUCTS>([&](int t) { m[t] = load(products + 2 * t * step + i); });
        Time::output(m, y);
        unrolled<Time::OUTPUTS>([&](int t) { store(sums + t * step + i, y[t]); });
      }
    }
  }

  // One tile and LANES output channels: back in space, bias, ReLU, and into the output, pooled or not.
  void write(const float* sums, const Strides& strides, Place at, int channel_block) {
    constexpr int T = Time::OUTPUTS, S = Space::OUTPUTS;
    const Vec bias = load(bias_.get() + channel_block * LANES);
    const int height = std::min(S, x_.shape.size - at.row * S), width = std::min(S, x_.shape.size - at.column * S);
    float* out = y.inside(at.clip, channel_block) + at.time * (T / pool_time_) * y.frame + at.row * (S / pool_space_) * y.row +
                 at.column * (S / pool_space_) * LANES;
    Vec frames[2][S][S];
    for (int t = 0; t < T; t++) {
      Vec(*frame)[S] = frames[t % pool_time_];
      Tile::output(sums + t * strides.step, strides.sum, frame);
      for (int h = 0; h < S; h++)
        for (int w = 0; w < S; w++) frame[h][w] = relu(frame[h][w] + bias);
      if (pool_space_ == 1) {
        for (int h = 0; h < height; h++)
          for (int w = 0; w < width; w++) store(out + t * y.frame + h * y.row + w * LANES, frame[h][w]);
      } else if (t % pool_time_ == pool_time_ - 1) {
        for (int h = 0; h < S / 2; h++)
          for (int w = 0; w < S / 2; w++)
            store(out + t / pool_time_ * y.frame + h * y.row + w * LANES, largest(frames, 2 * h, 2 * w));
      }
    }
  }

  // Of 2x2 values of one frame or of two.
  INLINE Vec largest(const Vec (*frames)[Space::OUTPUTS][Space::OUTPUTS], int h, int w) const {
    const auto of_frame = [=](int f) {
      return larger(larger(frames[f][h][w], frames[f][h][w + 1]), larger(frames[f][h + 1][w], frames[f][h + 1][w + 1]));
    };
    return pool_time_ == 1 ? of_frame(0) : larger(of_frame(0), of_frame(1));
  }

  // Panel `panel` of the weights: to [outputs / PANEL / group][AREA][group][time][channels][PANEL], the order they are read in.
  void pack(const float* kernel, int panel) {
    const int channels = x_.shape.channels;
    const size_t size = size_t(channels) * PANEL;
    float* out = weights_.get() + (size_t(panel / group_) * Tile::AREA * group_ + panel % group_) * Time::PRODUCTS * size;
    for (int c = 0; c < channels; c++) {
      for (int k = 0; k < PANEL; k++) {
        double filter[Tile::PRODUCTS];
        Tile::filter(kernel + size_t(c) * outputs_ + panel * PANEL + k, ptrdiff_t(channels) * outputs_, filter);
        for (int p = 0; p < Tile::PRODUCTS; p++) {
          const int place = p / Time::PRODUCTS, t = p % Time::PRODUCTS;
          out[(size_t(place) * group_ * Time::PRODUCTS + t) * size + c * PANEL + k] = static_cast<float>(filter[p]);
        }
      }
    }
  }

  const Activation& x_;
  const int outputs_, pool_time_, pool_space_, group_, frames_, side_;  // frames_, side_: of the output, in tiles
  Buffer weights_, bias_;
};

}  // namespace winograd
