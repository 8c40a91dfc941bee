#include "conversation.h"

#include <string.h>

double agm_ln(double x) {
    /* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m - 1) / (m + 1). */
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    const double s = (m - 1.0) / (m + 1.0), square = s * s;
    double sum = 0.0;
    for (int k = 21; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
    return 2.0 * s * sum + exponent * 0.6931471805599453;
}

/* ln(1 + (n - df + 1/2) / (df + 1/2)): Lucene's, never negative. */
static float idf(int32_t n, int32_t df) {
    return (float)agm_ln(1.0 + ((double)(n - df) + 0.5) / ((double)df + 0.5));
}

/* One level at which texts are compared: the slope and base of BM25's length normalisation. */
typedef struct {
    float base, slope;
    float bound; /* sum of the weights so far */
} level;

static level level_of(float k1, float b, float average) {
    level made = {k1 * (1.0f - b), average > 0.0f ? k1 * b / average : 0.0f, 0.0f};
    return made;
}

/* What a term is worth where it occurs count times; 0 where it does not. */
static float saturated(const level *at, float weight, float count, float length) {
    const float norm = at->base + at->slope * length;
    return weight * count / (count + norm + (float)(count == 0.0f));
}

/* Count a term in every live text; how many have it. */
static int32_t count_texts(const agm_text *texts, size_t n_texts, uint64_t term,
                           agm_words_found *out) {
    int32_t found = 0;
    for (size_t t = 0; t < n_texts; t++) {
        const agm_postings *postings = texts[t].postings;
        const int32_t *slots = texts[t].slots;
        const int32_t number = agm_postings_find(postings, term);
        if (number < 0) continue;
        const int64_t end = postings->starts[number + 1];
        for (int64_t i = postings->starts[number]; i < end; i++) {
            const int32_t slot = slots[postings->docs[i]];
            if (slot < 0) continue;
            out->count[found] = (float)postings->counts[i];
            out->touched[found++] = slot;
        }
    }
    return found;
}

/* The windows that a slot is in: those of its run at most `window` slots away. */
static void around(const agm_runs *runs, int32_t slot, int32_t *first, int32_t *last) {
    const int32_t run = runs->run_of[slot];
    const int32_t start = runs->starts[run], end = runs->starts[run + 1] - 1;
    *first = slot - runs->window < start ? start : slot - runs->window;
    *last = slot + runs->window > end ? end : slot + runs->window;
}

/* Add what a term is worth to the texts that have it. */
static void add_texts(const agm_runs *runs, const level *own, float weight, int32_t found,
                      agm_words_found *out) {
    for (int32_t i = 0; i < found; i++) {
        const int32_t slot = out->touched[i];
        out->own[slot] += saturated(own, weight, out->count[i], runs->lengths[slot]);
    }
}

/* And to the windows around them. */
static void add_windows(const agm_runs *runs, const level *window, float weight, int32_t found,
                        agm_words_found *out) {
    int32_t first, last;
    for (int32_t i = 0; i < found; i++) {
        around(runs, out->touched[i], &first, &last);
        for (int32_t at = first; at <= last; at++) out->window_count[at] += out->count[i];
    }
    for (int32_t i = 0; i < found; i++) {
        around(runs, out->touched[i], &first, &last);
        /* One that is done already has a count of 0, and adding nothing is quicker than asking. */
        for (int32_t at = first; at <= last; at++) {
            out->window[at] +=
                saturated(window, weight, out->window_count[at], runs->window_lengths[at]);
            out->window_count[at] = 0.0f;
        }
    }
}

/* From the counts of texts those of their runs; how many runs have the term. */
static int32_t count_runs(const agm_runs *runs, int32_t found, agm_words_found *out) {
    int32_t spread = 0;
    for (int32_t i = 0; i < found; i++) {
        const int32_t run = runs->run_of[out->touched[i]];
        if (out->run_count[run] == 0.0f) out->run_touched[spread++] = run;
        out->run_count[run] += out->count[i];
    }
    return spread;
}

static void add_runs(const agm_runs *runs, const level *at, float weight, int32_t found,
                     agm_words_found *out) {
    for (int32_t i = 0; i < found; i++) {
        const int32_t run = out->run_touched[i];
        out->run[run] += saturated(at, weight, out->run_count[run], runs->run_lengths[run]);
        out->run_count[run] = 0.0f;
    }
}

void agm_conversation_words(const agm_text *texts, size_t n_texts, const agm_runs *runs,
                            const uint64_t *terms, const uint16_t *counts, const uint8_t *names,
                            size_t n_terms, const agm_whole *whole, float k1, float b,
                            agm_words_found *out) {
    const size_t slots = (size_t)runs->slots;
    const int32_t all_slots = whole ? whole->slots : runs->slots;
    const int32_t all_runs = whole ? whole->runs : runs->runs;
    level own = level_of(k1, b, runs->length);
    level window = level_of(k1, b, runs->window_length);
    level run = level_of(k1, b, runs->run_length);
    memset(out->own, 0, slots * sizeof *out->own);
    memset(out->window, 0, slots * sizeof *out->window);
    memset(out->run, 0, (size_t)runs->runs * sizeof *out->run);
    if (names) memset(out->named, 0, slots * sizeof *out->named);
    for (size_t q = 0; q < n_terms; q++) {
        const int32_t found = count_texts(texts, n_texts, terms[q], out);
        const int32_t have = whole ? whole->texts_with[q] : found;
        const float weight = (float)counts[q] * idf(all_slots, have);
        own.bound += weight;
        const int32_t in_runs = count_runs(runs, found, out);
        const int32_t runs_have = whole ? whole->runs_with[q] : in_runs;
        const float run_weight = (float)counts[q] * idf(all_runs, runs_have);
        run.bound += run_weight;
        if (names && names[q] && (int64_t)have * AGM_FAMILIAR >= all_slots) {
            for (int32_t i = 0; i < found; i++) out->named[out->touched[i]] = 1.0f;
        }
        add_texts(runs, &own, weight, found, out);
        add_windows(runs, &window, weight, found, out);
        add_runs(runs, &run, run_weight, in_runs, out);
    }
    out->share = own.bound > 0.0f ? 1.0f / own.bound : 1.0f;
    out->run_share = run.bound > 0.0f ? 1.0f / run.bound : 1.0f;
}
