// Three-dimensional tiles: a one-dimensional algorithm for time and one for rows and columns, applied in turn.
#pragma once
#include "cook_toom.h"

namespace winograd {

// PRODUCTS positions a tile, numbered ((row * Space::PRODUCTS) + column) * Time::PRODUCTS + time: those that differ in time alone
// are neighbours, since their sums are transformed back in time right after the matrix product, while they are in the cache.
template <class Time_, class Space_> struct Tile {
  using Time = Time_;
  using Space = Space_;
  static constexpr int AREA = Space::PRODUCTS * Space::PRODUCTS, PRODUCTS = AREA * Time::PRODUCTS;

  // LANES channels, or tiles, of inputs to their places: input(time, row, column) is a Vec; position p goes to out + p * stride.
  template <class Input> static INLINE void input(Input input, float* out, ptrdiff_t stride) {
    constexpr int T = Time::PRODUCTS, S = Space::PRODUCTS;
    Vec x[T][S][S];
    for (int row = 0; row < S; row++) {
      for (int column = 0; column < S; column++) {
        Vec d[Time::INPUTS];
        unrolled<Time::INPUTS>([&](int t) { d[t] = input(t, row, column); });
        Time::input(d);
        unrolled<T>([&](int t) { x[t][row][column] = d[t]; });
      }
    }
    for (int t = 0; t < T; t++) {
      for (int row = 0; row < S; row++) Space::input(x[t][row]);
      for (int column = 0; column < S; column++) {
        Vec d[S];
        unrolled<S>([&](int row) { d[row] = x[t][row][column]; });
        Space::input(d);
        unrolled<S>([&](int row) { store(out + ((row * S + column) * T + t) * stride, d[row]); });
      }
    }
  }

  // One frame of sums, already transformed back in time, to its outputs: position (row, column) is at sums + (row * S + column) * stride.
  static INLINE void output(const float* sums, ptrdiff_t stride, Vec (*y)[Space::OUTPUTS]) {
    constexpr int S = Space::PRODUCTS, O = Space::OUTPUTS;
    Vec x[S][O];
    for (int row = 0; row < S; row++) {
      Vec m[S];
      unrolled<S>([&](int column) { m[column] = load(sums + (row * S + column) * stride); });
      Space::output(m, x[row]);
    }
    for (int column = 0; column < O; column++) {
      Vec m[S], o[O];
      unrolled<S>([&](int row) { m[row] = x[row][column]; });
      Space::output(m, o);
      unrolled<O>([&](int row) { y[row][column] = o[row]; });
    }
  }

  // The filter of one input and output channel, kernel (3, 3, 3, inputs, outputs), to PRODUCTS numbers.
  static void filter(const float* kernel, ptrdiff_t step, double* out) {
    constexpr int T = Time::PRODUCTS, S = Space::PRODUCTS;
    double g[3], in_time[T], x[T][3][3], y[T][S][3], columns[S];
    for (int place = 0; place < 9; place++) {
      for (int t = 0; t < 3; t++) g[t] = kernel[(t * 9 + place) * step];
      Time::filter(g, in_time);
      for (int t = 0; t < T; t++) x[t][place / 3][place % 3] = in_time[t];
    }
    for (int t = 0; t < T; t++) {
      for (int column = 0; column < 3; column++) {
        for (int row = 0; row < 3; row++) g[row] = x[t][row][column];
        Space::filter(g, columns);
        for (int row = 0; row < S; row++) y[t][row][column] = columns[row];
      }
      for (int row = 0; row < S; row++) {
        Space::filter(y[t][row], columns);
        for (int column = 0; column < S; column++) out[(row * S + column) * T + t] = columns[column];
      }
    }
  }
};

}  // namespace winograd
