// AVX-512 for a CPU without it: each instruction of vectors.h as two of AVX2. With `-include` of this file the tests run what the
// AVX-512 library is made of, its layouts and its order of sums, on any machine. It cannot show the compiler's own AVX-512 code.
#pragma once
#include <immintrin.h>

#include <cstring>

#define __AVX512F__ 1
#define EMULATED static inline __attribute__((always_inline))

EMULATED __m256 half_of(const __m512& v, int i) {
  __m256 half;
  std::memcpy(&half, reinterpret_cast<const char*>(&v) + 32 * i, 32);
  return half;
}
EMULATED __m512 joined(__m256 low, __m256 high) {
  __m512 v;
  std::memcpy(&v, &low, 32);
  std::memcpy(reinterpret_cast<char*>(&v) + 32, &high, 32);
  return v;
}
template <class F> EMULATED __m512 halves(F f) { return joined(f(0), f(1)); }

EMULATED __m512 emulated_load(const float* p) {
  return halves([=](int i) { return _mm256_load_ps(p + 8 * i); });
}
EMULATED __m512 emulated_loadu(const float* p) {
  return halves([=](int i) { return _mm256_loadu_ps(p + 8 * i); });
}
EMULATED void emulated_store(float* p, const __m512& v) {
  for (int i = 0; i < 2; i++) _mm256_store_ps(p + 8 * i, half_of(v, i));
}
EMULATED __m512 emulated_set1(float x) {
  return halves([=](int) { return _mm256_set1_ps(x); });
}
EMULATED __m512 emulated_fmadd(const __m512& a, const __m512& b, const __m512& c) {
  return halves([&](int i) { return _mm256_fmadd_ps(half_of(a, i), half_of(b, i), half_of(c, i)); });
}
EMULATED __m512 emulated_fnmadd(const __m512& a, const __m512& b, const __m512& c) {
  return halves([&](int i) { return _mm256_fnmadd_ps(half_of(a, i), half_of(b, i), half_of(c, i)); });
}
EMULATED __m512 emulated_max(const __m512& a, const __m512& b) {
  return halves([&](int i) { return _mm256_max_ps(half_of(a, i), half_of(b, i)); });
}
EMULATED __m512i emulated_max_epu32(const __m512i& a, const __m512i& b) {
  const __m512 x = (__m512)a, y = (__m512)b;
  return (__m512i)halves([&](int i) {
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(half_of(x, i)), _mm256_castps_si256(half_of(y, i))));
  });
}

#define _mm512_load_ps emulated_load
#define _mm512_loadu_ps emulated_loadu
#define _mm512_store_ps emulated_store
#define _mm512_set1_ps emulated_set1
#define _mm512_setzero_ps() emulated_set1(0)
#define _mm512_fmadd_ps emulated_fmadd
#define _mm512_fnmadd_ps emulated_fnmadd
#define _mm512_maskz_max_ps(mask, a, b) emulated_max(a, b)
#define _mm512_maskz_max_epu32(mask, a, b) emulated_max_epu32(a, b)
#define _mm512_castsi512_ps(v) ((__m512)(v))
#define _mm512_castps_si512(v) ((__m512i)(v))
