/* NEON: every aarch64 processor; float16 conversion is part of its baseline. */
#include <arm_neon.h>

#include "portable.h"

#define LANES 4
typedef float32x4_t vec;

AGM_INLINE vec vec_zero(void) { return vdupq_n_f32(0.0f); }
AGM_INLINE vec vec_set(float x) { return vdupq_n_f32(x); }
AGM_INLINE vec vec_load(const float *p) { return vld1q_f32(p); }
AGM_INLINE void vec_store(float *p, vec v) { vst1q_f32(p, v); }
AGM_INLINE vec vec_load_half(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
AGM_INLINE void vec_store_half(uint16_t *p, vec v) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
AGM_INLINE vec vec_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
AGM_INLINE vec vec_add(vec a, vec b) { return vaddq_f32(a, b); }
AGM_INLINE vec vec_mul(vec a, vec b) { return vmulq_f32(a, b); }
AGM_INLINE float vec_sum(vec v) { return vaddvq_f32(v); }

#include "wide.h"

static void scores_i8(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                      int32_t *out) {
    for (size_t i = 0; i < rows; i++) {
        const int8_t *row = codes + i * dim;
        int32x4_t even = vdupq_n_s32(0), odd = even;
        size_t j = 0;
        for (; j + 16 <= dim; j += 16) {
            const int8x16_t c = vld1q_s8(row + j), q = vld1q_s8(query + j);
            even = vpadalq_s16(even, vmull_s8(vget_low_s8(c), vget_low_s8(q)));
            odd = vpadalq_s16(odd, vmull_s8(vget_high_s8(c), vget_high_s8(q)));
        }
        int32_t sum = vaddvq_s32(vaddq_s32(even, odd));
        for (; j < dim; j++) sum += (int32_t)row[j] * (int32_t)query[j];
        out[i] = sum;
    }
}

const agm_kernels agm_kernels_neon = {
    "neon",    scores_f32,   scores_f16,     scores_i8, to_f16,   from_f16,
    normalize, agm_quantize, agm_dequantize, pool_f32,  pool_f16, agm_scale_products,
    agm_totals, agm_next_above,
};
