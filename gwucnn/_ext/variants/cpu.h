/* Detection of the instruction sets that both the processor and the operating system support.
 *
 * Every 64-bit Arm processor has the instructions of armv8-a. On x86-64 there are levels:
 *
 * CPUID alone is not sufficient: if the operating system does not save the wide registers on a context switch (XGETBV
 * reports which ones it saves), using them corrupts other programs or faults. Bit numbers: Intel SDM volume 2A, CPUID;
 * levels: x86-64 psABI, section 3.1.1.
 */
#pragma once
#if defined(__aarch64__) || defined(_M_ARM64)
enum { IS_AARCH64 = 1 };
#else
enum { IS_AARCH64 = 0 };
#endif

#if defined(__x86_64__) || defined(_M_X64)
#ifdef _MSC_VER
#include <intrin.h>
static void cpuid(int leaf, unsigned r[4]) { __cpuidex((int *)r, leaf, 0); }
static unsigned saved_state(void) { return (unsigned)_xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(int leaf, unsigned r[4])
{
    r[0] = r[1] = r[2] = r[3] = 0;
    __get_cpuid_count((unsigned)leaf, 0, &r[0], &r[1], &r[2], &r[3]);
}
static unsigned saved_state(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

#define ALL(value, mask) (((value) & (mask)) == (mask))

/* Return 2 for the baseline, 3 for AVX2 and FMA, 4 for AVX-512 F, BW, CD, DQ and VL, 0 for other architectures. */
static int x86_64_level(void)
{
    unsigned one[4], seven[4], extended[4];
    cpuid(1, one);
    cpuid(7, seven);
    cpuid((int)0x80000001, extended);
    /* Level 3: FMA, MOVBE, OSXSAVE, AVX, F16C; then BMI1, AVX2, BMI2; then LZCNT; xmm and ymm are saved. */
    if (!ALL(one[2], 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29)) return 2;
    if (!ALL(seven[1], 1u << 3 | 1u << 5 | 1u << 8) || !ALL(extended[2], 1u << 5)) return 2;
    if (!ALL(saved_state(), 0x06u)) return 2;
    /* Level 4: AVX512F, DQ, CD, BW, VL; the mask registers and both halves of zmm are saved as well. */
    if (!ALL(seven[1], 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31)) return 3;
    if (!ALL(saved_state(), 0xe6u)) return 3;
    return 4;
}
#else
static int x86_64_level(void) { return 0; }
#endif
