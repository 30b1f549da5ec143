// One-dimensional convolution with a filter of three by fewer products: Cook-Toom, which Winograd showed to be minimal.
//
// F(m, 3) gives m neighbouring outputs y[k] = d[k] g[0] + d[k+1] g[1] + d[k+2] g[2] of m + 2 inputs by m + 2 products instead of 3 m:
//
//   y = A^T ((G g) * (B^T d)),   * being the product of each pair
//
// For m + 1 points p, and infinity, with f(p) = the product of p - q over the other points q:
//   G    has a row (1, p, p^2) / f(p) a point, and (0, 0, 1) for infinity;
//   A^T  has p^k in row k, and for infinity 1 in the last row, else 0;
//   B^T  has the coefficients of the product of x - q over the other points q, and for infinity of that over all points.
// In three dimensions each is applied along time, rows and columns in turn. (Lavin and Gray, CVPR 2016; in three dimensions on this
// very network: Jia, Zlateski, Durand, Li, PPoPP 2018.)
//
// Each struct: INPUTS d, PRODUCTS, OUTPUTS y; `input` is B^T, `output` A^T, `filter` G, in double.
#pragma once
#include "vectors.h"

namespace winograd {

// F(4, 3) on 0, +-a, +-b and infinity with a = 5/8, b = 3/2: every constant is exact in float32, and the error is a third of that
// of the usual 0, +-1, +-2. Points of both signs share their even and odd parts.
struct F4 {
  static constexpr int INPUTS = 6, PRODUCTS = 6, OUTPUTS = 4;
  static constexpr float a = 0.625f, b = 1.5f;

  static INLINE void input(Vec* d) {
    const Vec va = all(a), vb = all(b), a2 = all(a * a), b2 = all(b * b), a2b2 = all(a * a * b * b), sum = all(a * a + b * b);
    const Vec even_a = fnma(b2, d[2], d[4]), odd_a = fnma(b2, d[1], d[3]);  // of x (x +- a) (x^2 - b^2)
    const Vec even_b = fnma(a2, d[2], d[4]), odd_b = fnma(a2, d[1], d[3]);
    const Vec zero = fma(a2b2, d[0], fnma(sum, d[2], d[4]));      // (x^2 - a^2) (x^2 - b^2)
    const Vec infinity = fma(a2b2, d[1], fnma(sum, d[3], d[5]));  // x times that
    d[0] = zero;
    d[1] = fma(va, odd_a, even_a);
    d[2] = fnma(va, odd_a, even_a);
    d[3] = fma(vb, odd_b, even_b);
    d[4] = fnma(vb, odd_b, even_b);
    d[5] = infinity;
  }

  static INLINE void output(const Vec* m, Vec* y) {
    const Vec va = all(a), vb = all(b), a2 = all(a * a), b2 = all(b * b), a3 = all(a * a * a), b3 = all(b * b * b);
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = (m[0] + even_a) + even_b;
    y[1] = fma(va, odd_a, vb * odd_b);
    y[2] = fma(a2, even_a, b2 * even_b);
    y[3] = fma(a3, odd_a, fma(b3, odd_b, m[5]));
  }

  static void filter(const double* g, double* o) {
    constexpr double A = a * a, B = b * b;
    const double even_a = (g[0] + A * g[2]) / (2 * A * (A - B)), odd_a = a * g[1] / (2 * A * (A - B));
    const double even_b = (g[0] + B * g[2]) / (2 * B * (B - A)), odd_b = b * g[1] / (2 * B * (B - A));
    o[0] = g[0] / (A * B);
    o[1] = even_a + odd_a;
    o[2] = even_a - odd_a;
    o[3] = even_b + odd_b;
    o[4] = even_b - odd_b;
    o[5] = g[2];
  }
};

// F(2, 3) on 0, 1, -1 and infinity, the signs of the rows for 0 and infinity turned round.
struct F2 {
  static constexpr int INPUTS = 4, PRODUCTS = 4, OUTPUTS = 2;

  static INLINE void input(Vec* d) {
    const Vec zero = d[0] - d[2], one = d[1] + d[2], minus_one = d[2] - d[1], infinity = d[1] - d[3];
    d[0] = zero;
    d[1] = one;
    d[2] = minus_one;
    d[3] = infinity;
  }

  static INLINE void output(const Vec* m, Vec* y) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) - m[3];
  }

  static void filter(const double* g, double* o) {
    o[0] = g[0];
    o[1] = (g[0] + g[1] + g[2]) / 2;
    o[2] = (g[0] - g[1] + g[2]) / 2;
    o[3] = g[2];
  }
};

// Two outputs where the first and last of the four inputs are padding, as in time at conv5, whose clips have two frames left:
// y[0] = d[1] g[1] + d[2] g[2] and y[1] = d[1] g[0] + d[2] g[1] share (d[1] + d[2]) g[1]. Three products.
struct Pair {
  static constexpr int INPUTS = 4, PRODUCTS = 3, OUTPUTS = 2;

  static INLINE void input(Vec* d) {
    const Vec first = d[1], second = d[2];
    d[0] = first + second;
    d[1] = second;
    d[2] = first;
  }

  static INLINE void output(const Vec* m, Vec* y) {
    const Vec both = m[0];
    y[0] = both + m[1];
    y[1] = both + m[2];
  }

  static void filter(const double* g, double* o) {
    o[0] = g[1];
    o[1] = g[2] - g[1];
    o[2] = g[0] - g[1];
  }
};

}  // namespace winograd
