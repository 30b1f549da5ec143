// The registers: eight floats with AVX2, sixteen with AVX-512. All that knows the instruction set stands here.
//
// Nothing below relies on the compiler to join a product and a sum: every fused multiply-add is written as one, and the build
// says -ffp-contract=off. So a layer gives the same bits from either instruction set and from any compiler.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define INLINE inline __attribute__((always_inline))

namespace winograd {

#ifdef __AVX512F__
using Vec = __m512;
constexpr int LANES = 16;
constexpr int ROWS = 14;  // of the matrix product: ROWS x 2 sums leave four of the 32 registers for its operands
INLINE Vec load(const float* p) { return _mm512_load_ps(p); }
INLINE Vec load_unaligned(const float* p) { return _mm512_loadu_ps(p); }
INLINE void store(float* p, Vec v) { _mm512_store_ps(p, v); }
INLINE Vec all(float x) { return _mm512_set1_ps(x); }
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }    // a b + c
INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a b
// The forms with a mask, all of it set: the plain ones make gcc 12 warn of its own header.
INLINE Vec relu(Vec x) { return _mm512_maskz_max_ps(0xFFFF, _mm512_setzero_ps(), x); }
INLINE Vec larger(Vec a, Vec b) {
  return _mm512_castsi512_ps(_mm512_maskz_max_epu32(0xFFFF, _mm512_castps_si512(a), _mm512_castps_si512(b)));
}
#else
using Vec = __m256;
constexpr int LANES = 8;
constexpr int ROWS = 6;  // ROWS x 2 sums leave four of the 16 registers
INLINE Vec load(const float* p) { return _mm256_load_ps(p); }
INLINE Vec load_unaligned(const float* p) { return _mm256_loadu_ps(p); }
INLINE void store(float* p, Vec v) { _mm256_store_ps(p, v); }
INLINE Vec all(float x) { return _mm256_set1_ps(x); }
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE Vec relu(Vec x) { return _mm256_max_ps(_mm256_setzero_ps(), x); }
INLINE Vec larger(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
#endif
// relu: the instruction gives its second operand where one is not a number, so NaN stays NaN.
// larger: for what comes out of relu. Read as unsigned integers, floats that are not negative keep their order, and NaN is the
// largest of all: a maximum that lets NaN through, as TensorFlow's does. (relu never sees -0, see `Layer::add_bias`.)

constexpr int PANEL = 2 * LANES;  // the columns of the matrix product that are computed together

// f(0), f(1), ... f(N - 1), written out: what the loop's body indexes can then live in registers.
template <int N, class F> INLINE void unrolled(F f) {
  if constexpr (N > 0) {
    unrolled<N - 1>(f);
    f(N - 1);
  }
}

INLINE void prefetch(const float* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

}  // namespace winograd
