/* Large memory pages (2 MB) for large blocks, where the system provides them: fewer TLB misses in sequential reads. */
#pragma once
#include <stddef.h>
#define LARGE_PAGE ((size_t)1 << 21)
#if defined(__linux__)
#include <sys/mman.h>
/* `block` must begin at a multiple of LARGE_PAGE. The request is only a hint, so a failure is ignored. */
static inline void ask_for_large_pages(void *block, size_t bytes) { (void)madvise(block, bytes, MADV_HUGEPAGE); }
#else
static inline void ask_for_large_pages(void *block, size_t bytes) { (void)block; (void)bytes; }
#endif
