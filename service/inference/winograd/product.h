// The inner part of the matrix products: some rows of inputs (one a tile, or one a clip) times a panel of weights.
#pragma once
#include <utility>

#include "vectors.h"

namespace winograd {

// Channels that are summed up in one register before they are added to what came before: a sum of many float32 loses most of its
// digits to its own length. In one go the convolutions' errors would be twice what they are; 32 costs 3 % of the time.
constexpr int CHUNK = 32;

// rows [channels / LANES][R][LANES] times panel [channels][PANEL]: sums of row r go to sums + r * LANES and, their second half,
// + stride. The order of a row's sums depends on nothing but the number of channels.
//
// Meanwhile a line of `ahead`, the panel that comes next, is asked for every SHARE channels. Weights are read from memory or the
// last cache, once a block of tiles; without this the product waits for them half of its time.
template <int R, int SHARE>
__attribute__((flatten)) void product(const float* rows, const float* panel, int channels, float* sums, ptrdiff_t stride,
                                      const float* ahead) {
  for (int chunk = 0; chunk < channels; chunk += CHUNK) {
    Vec low[R], high[R];
    unrolled<R>([&](int r) { low[r] = high[r] = all(0); });
    for (int block = 0; block < CHUNK; block += LANES, rows += R * LANES) {
      for (int eight = 0; eight < LANES; eight += 8, panel += 8 * PANEL) {
        unrolled<8>([&](int c) {
          const Vec first = load(panel + c * PANEL), second = load(panel + c * PANEL + LANES);
          unrolled<R>([&](int r) {
            const Vec x = all(rows[r * LANES + eight + c]);
            low[r] = fma(x, first, low[r]);
            high[r] = fma(x, second, high[r]);
          });
          if (c % SHARE == 0) {
            for (int line = 0; line < PANEL; line += 16) prefetch(ahead + line);
            ahead += PANEL;
          }
        });
      }
    }
    unrolled<R>([&](int r) {
      float *to = sums + r * LANES, *other = to + stride;
      store(to, chunk ? load(to) + low[r] : low[r]);
      store(other, chunk ? load(other) + high[r] : high[r]);
    });
  }
}

using Product = void (*)(const float*, const float*, int, float*, ptrdiff_t, const float*);

template <int SHARE, int... R> Product product_of(int rows, std::integer_sequence<int, R...>) {
  static constexpr Product table[] = {product<R + 1, SHARE>...};
  return table[rows - 1];
}

// The product for 1 to ROWS rows, where `calls` calls use the same panel and share the fetching of the next.
inline Product product_of(int rows, int calls) {
  constexpr auto each = std::make_integer_sequence<int, ROWS>();
  return calls >= 8 ? product_of<8>(rows, each) : calls >= 4 ? product_of<4>(rows, each)
       : calls >= 2 ? product_of<2>(rows, each) : product_of<1>(rows, each);
}

}  // namespace winograd
