/* The number of threads, and how the calling thread treats subnormal numbers. Without OpenMP there is one thread. */
#pragma once
#ifdef _OPENMP
#include <omp.h>
#define GWUCNN_OPENMP 1
static inline int openmp_threads(void) { return omp_get_max_threads(); }
static inline void set_openmp_threads(int n) { omp_set_num_threads(n); }
#else
#define GWUCNN_OPENMP 0
static inline int openmp_threads(void) { return 1; }
static inline void set_openmp_threads(int n) { (void)n; }
#endif

/* Make the calling thread treat subnormal numbers as zero, and return its previous mode for restore_subnormals. */
#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int float_mode;
static inline float_mode flush_subnormals(void)
{
    float_mode before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);        /* bit 15 flushes results to zero, bit 6 treats operands as zero */
    return before;
}
static inline void restore_subnormals(float_mode before) { _mm_setcsr(before); }
#elif defined(__aarch64__) && defined(__GNUC__)
typedef unsigned long long float_mode;
static inline float_mode flush_subnormals(void)
{
    float_mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1ull << 24));
    return before;
}
static inline void restore_subnormals(float_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int float_mode;
static inline float_mode flush_subnormals(void) { return 0; }
static inline void restore_subnormals(float_mode before) { (void)before; }
#endif
