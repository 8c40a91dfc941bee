/* Which instruction sets can run here: the processor must have them and the operating system
 * must save their registers (XGETBV), or the first wide instruction kills the process. */
#include "kernels.h"

#if defined(AGM_WITH_AVX2) || defined(AGM_WITH_AVX512)

#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t sub, uint32_t regs[4]) {
    int out[4];
    __cpuidex(out, (int)leaf, (int)sub);
    for (int i = 0; i < 4; i++) regs[i] = (uint32_t)out[i];
}
static uint64_t xgetbv0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t sub, uint32_t regs[4]) {
    __cpuid_count(leaf, sub, regs[0], regs[1], regs[2], regs[3]);
}
static uint64_t xgetbv0(void) {
    uint32_t low, high;
    /* The mnemonic would need -mxsave; this file is compiled for the baseline. */
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}
#endif

static int has(uint32_t reg, uint32_t bit) { return (reg >> bit) & 1u; }

static void probe(int *avx2, int *avx512) {
    uint32_t regs[4];
    *avx2 = *avx512 = 0;
    cpuid(0, 0, regs);
    if (regs[0] < 7) return;
    cpuid(1, 0, regs);
    const uint32_t ecx = regs[2];
    if (!has(ecx, 27)) return; /* OSXSAVE */
    const uint64_t saved = xgetbv0();
    if ((saved & 0x6) != 0x6) return; /* XMM, YMM */
    cpuid(7, 0, regs);
    *avx2 = has(ecx, 28) && has(ecx, 12) && has(ecx, 29) && /* AVX, FMA, F16C */
            has(regs[1], 5);
    /* F, DQ, BW, VL and VNNI together: Ice Lake, Zen 4 and later.  The first generation, which
     * lacks VNNI, also lowered its clock for wide vectors; it is better off with AVX2. */
    *avx512 = *avx2 && (saved & 0xe0) == 0xe0 && has(regs[1], 16) && has(regs[1], 17) &&
              has(regs[1], 30) && has(regs[1], 31) && has(regs[2], 11);
}
#endif

size_t agm_available(const agm_kernels **levels) {
    size_t count = 0;
    levels[count++] = &agm_kernels_scalar;
#if defined(AGM_WITH_AVX2) || defined(AGM_WITH_AVX512)
    int avx2, avx512;
    probe(&avx2, &avx512);
#ifdef AGM_WITH_AVX2
    if (avx2) levels[count++] = &agm_kernels_avx2;
#endif
#ifdef AGM_WITH_AVX512
    if (avx512) levels[count++] = &agm_kernels_avx512;
#endif
#endif
#ifdef AGM_WITH_NEON
    levels[count++] = &agm_kernels_neon;
#endif
    return count;
}
