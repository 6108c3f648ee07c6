/* Memory pages of 2 MB for large blocks, where the system gives them: fewer misses when they are read from end to end. */
#pragma once
#include <stddef.h>
#define LARGE_PAGE ((size_t)1 << 21)
#if defined(__linux__)
#include <sys/mman.h>
/* `block` begins at a multiple of LARGE_PAGE. A refusal changes nothing. */
static inline void ask_for_large_pages(void *block, size_t bytes) { (void)madvise(block, bytes, MADV_HUGEPAGE); }
#else
static inline void ask_for_large_pages(void *block, size_t bytes) { (void)block; (void)bytes; }
#endif
