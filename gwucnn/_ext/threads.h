/* How many threads OpenMP would start, also where there is no OpenMP (then one). */
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
