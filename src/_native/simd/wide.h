/* Kernels over vectors of floats, written once for every instruction set.
 *
 * The including file defines, before the include:
 *   LANES                        floats in a vector
 *   vec                          the vector type
 *   vec_zero() vec_set(x)        all lanes
 *   vec_load(p) vec_store(p, v)  unaligned
 *   vec_load_half(p)             LANES float16, widened
 *   vec_store_half(p, v)         narrowed, to nearest even
 *   vec_fma(a, b, c)             a * b + c
 *   vec_add(a, b) vec_mul(a, b)
 *   vec_sum(v)                   of all lanes, in a fixed order
 */
#ifndef AGM_WIDE_H
#define AGM_WIDE_H

/* One vector from the `left` < LANES elements at p, zeros after them. */
AGM_INLINE vec part_load(const float *p, size_t left) {
    float padded[LANES] = {0};
    memcpy(padded, p, left * sizeof *p);
    return vec_load(padded);
}

AGM_INLINE vec part_load_half(const uint16_t *p, size_t left) {
    uint16_t padded[LANES] = {0};
    memcpy(padded, p, left * sizeof *p);
    return vec_load_half(padded);
}

AGM_INLINE void part_store(float *p, size_t left, vec v) {
    float padded[LANES];
    vec_store(padded, v);
    memcpy(p, padded, left * sizeof *p);
}

/* Elements of either type; `half` is a constant wherever these are inlined. */
AGM_INLINE const void *element(const void *base, size_t at, int half) {
    return half ? (const void *)((const uint16_t *)base + at)
                : (const void *)((const float *)base + at);
}

AGM_INLINE vec load(const void *base, size_t at, int half) {
    return half ? vec_load_half((const uint16_t *)base + at)
                : vec_load((const float *)base + at);
}

AGM_INLINE vec load_part(const void *base, size_t at, size_t left, int half) {
    return half ? part_load_half((const uint16_t *)base + at, left)
                : part_load((const float *)base + at, left);
}

/* `rows` dot products at once, so that their chains of additions overlap.  Each row is summed
 * in the same order whatever `rows` is: even vectors apart from odd ones, then both. */
AGM_INLINE void dots(const void *matrix, size_t rows, size_t dim, const float *query, float *out,
                     int half) {
    vec even[4], odd[4];
    size_t j = 0;
    for (size_t r = 0; r < rows; r++) even[r] = odd[r] = vec_zero();
    for (; j + 2 * LANES <= dim; j += 2 * LANES) {
        const vec q0 = vec_load(query + j), q1 = vec_load(query + j + LANES);
        for (size_t r = 0; r < rows; r++) {
            even[r] = vec_fma(load(matrix, r * dim + j, half), q0, even[r]);
            odd[r] = vec_fma(load(matrix, r * dim + j + LANES, half), q1, odd[r]);
        }
    }
    if (j + LANES <= dim) {
        const vec q0 = vec_load(query + j);
        for (size_t r = 0; r < rows; r++) {
            even[r] = vec_fma(load(matrix, r * dim + j, half), q0, even[r]);
        }
        j += LANES;
    }
    if (j < dim) {
        const vec q0 = part_load(query + j, dim - j);
        for (size_t r = 0; r < rows; r++) {
            odd[r] = vec_fma(load_part(matrix, r * dim + j, dim - j, half), q0, odd[r]);
        }
    }
    for (size_t r = 0; r < rows; r++) out[r] = vec_sum(vec_add(even[r], odd[r]));
}

AGM_INLINE void scores(const void *matrix, size_t rows, size_t dim, const float *query,
                       float *out, int half) {
    size_t i = 0;
    for (; i + 4 <= rows; i += 4) dots(element(matrix, i * dim, half), 4, dim, query, out + i, half);
    for (; i < rows; i++) dots(element(matrix, i * dim, half), 1, dim, query, out + i, half);
}

static void scores_f32(const float *matrix, size_t rows, size_t dim, const float *query,
                       float *out) {
    scores(matrix, rows, dim, query, out, 0);
}

static void scores_f16(const uint16_t *matrix, size_t rows, size_t dim, const float *query,
                       float *out) {
    scores(matrix, rows, dim, query, out, 1);
}

static void to_f16(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store_half(out + i, vec_load(in + i));
    if (i < n) {
        uint16_t padded[LANES];
        vec_store_half(padded, part_load(in + i, n - i));
        memcpy(out + i, padded, (n - i) * sizeof *out);
    }
}

static void from_f16(const uint16_t *in, size_t n, float *out) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(out + i, vec_load_half(in + i));
    if (i < n) part_store(out + i, n - i, part_load_half(in + i, n - i));
}

static void normalize(float *rows, size_t n, size_t dim, float *norms) {
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * dim;
        float squares;
        dots(row, 1, dim, row, &squares, 0);
        if (agm_is_one(squares)) {
            norms[i] = 1.0f;
        } else if (squares > AGM_SQUARES_LOW && squares < AGM_SQUARES_HIGH) {
            const float norm = agm_sqrtf(squares);
            const float inverse = 1.0f / norm;
            for (size_t j = 0; j < dim; j++) row[j] *= inverse;
            norms[i] = norm;
        } else {
            norms[i] = agm_normalize_slow(row, dim);
        }
    }
}

/* `vectors` columns' weighted sums, held in registers while the rows go by. */
AGM_INLINE void pool_columns(const void *table, size_t dim, const float *weights,
                             const int32_t *ids, size_t n, vec inverse, size_t vectors,
                             float *out, int half) {
    vec sums[8];
    for (size_t k = 0; k < vectors; k++) sums[k] = vec_zero();
    for (size_t t = 0; t < n; t++) {
        const size_t at = (size_t)ids[t] * dim;
        const vec weight = vec_set(weights ? weights[ids[t]] : 1.0f);
        for (size_t k = 0; k < vectors; k++) {
            sums[k] = vec_fma(load(table, at + k * LANES, half), weight, sums[k]);
        }
    }
    for (size_t k = 0; k < vectors; k++) vec_store(out + k * LANES, vec_mul(sums[k], inverse));
}

AGM_INLINE void pool(const void *table, size_t dim, const float *weights, const int32_t *ids,
                     size_t n, float *out, int half) {
    const float total = agm_total_weight(weights, ids, n);
    size_t j = 0;
    if (total == 0.0f) {
        memset(out, 0, dim * sizeof *out);
        return;
    }
    const vec inverse = vec_set(1.0f / total);
    for (; j + 8 * LANES <= dim; j += 8 * LANES) {
        pool_columns(element(table, j, half), dim, weights, ids, n, inverse, 8, out + j, half);
    }
    for (; j + LANES <= dim; j += LANES) {
        pool_columns(element(table, j, half), dim, weights, ids, n, inverse, 1, out + j, half);
    }
    if (j < dim) {
        vec sum = vec_zero();
        for (size_t t = 0; t < n; t++) {
            const vec weight = vec_set(weights ? weights[ids[t]] : 1.0f);
            sum = vec_fma(load_part(table, (size_t)ids[t] * dim + j, dim - j, half), weight, sum);
        }
        part_store(out + j, dim - j, vec_mul(sum, inverse));
    }
}

static void pool_f32(const float *table, size_t dim, const float *weights, const int32_t *ids,
                     size_t n, float *out) {
    pool(table, dim, weights, ids, n, out, 0);
}

static void pool_f16(const uint16_t *table, size_t dim, const float *weights,
                     const int32_t *ids, size_t n, float *out) {
    pool(table, dim, weights, ids, n, out, 1);
}

#endif
