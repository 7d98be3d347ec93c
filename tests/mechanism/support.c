#include "support.h"

#include <math.h>

#include "base/bytes.h"

const uint8_t test_secret[SG_KEY_BYTES] = "a secret that everybody knows..";

double test_uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)(int64_t)(z ^ z >> 31) * 0x1p-63;
}

int64_t test_below(uint64_t *state, int64_t n)
{
    int64_t i = (int64_t)(fabs(test_uniform(state)) * (double)n);
    return i < n ? i : n - 1;
}

const struct sg_ops *test_backend(int i)
{
    return i == 0 ? sg_ops_reference() : i == 1 ? sg_ops_cpu() : NULL;
}

/* Plans are resolved once: the accountant takes its time over them. */
struct sg_plan test_plan_make(const struct test_plan *wanted)
{
    static struct test_plan known[32];
    static struct sg_plan plans[32];
    static int n_known;
    for (int i = 0; i < n_known; i++)
        if (memcmp(&known[i], wanted, sizeof *wanted) == 0)
            return plans[i];
    const struct sg_plan_request request = {
        .is_private = true,
        .clip_group = wanted->microbatch > 1 ? SG_CLIP_MICROBATCH : SG_CLIP_EXAMPLE,
        .microbatch_size = wanted->microbatch > 1 ? wanted->microbatch : 1,
        .sample_rate = wanted->q,
        .population_size = wanted->population,
        .steps = 4,
        .noise_multiplier = wanted->sigma > 0 ? wanted->sigma : 1,
        .target_delta = 1e-5,
        .max_grad_norm = wanted->clip > 0 ? wanted->clip : 1,
        .n_panels = wanted->n_panels,
        .rows_per_unit_max = wanted->rows_max,
        .n_weights = wanted->n_weights,
        .noise_source = "chacha20",
        .noise_tau_log2 = sg_noise_tau_log2(),
    };
    struct sg_plan plan;
    if (sg_plan_resolve(&request, &plan) != SG_OK)
        fail_msg("%s", sg_error_text());
    if (n_known < 32) {
        known[n_known] = *wanted;
        plans[n_known++] = plan;
    }
    return plan;
}

static uint8_t (*make_digests(int64_t n))[SG_ID_DIGEST_BYTES]
{
    uint8_t(*digest)[SG_ID_DIGEST_BYTES] = sg_alloc((size_t)n, sizeof *digest);
    for (int64_t i = 0; i < n; i++) {
        uint8_t hash[SG_DIGEST_BYTES], name[8];
        sg_store_u64be(name, (uint64_t)i);
        sg_sha256(name, sizeof name, hash);
        memcpy(digest[i], hash, sizeof digest[i]);
    }
    return digest;
}

/* ---- units whose taps are data ---- */

void test_units_make(int64_t n, const struct test_shape *shape, int64_t n_taps, int64_t rows_max, uint64_t seed,
                     struct test_units *out)
{
    *out = (struct test_units){.n = n, .n_taps = n_taps};
    out->rows = sg_alloc((size_t)n, sizeof *out->rows);
    out->digest = make_digests(n);
    for (int64_t i = 0; i < n; i++)
        out->rows[i] = (int32_t)(1 + test_below(&seed, rows_max));
    for (int64_t t = 0; t < n_taps; t++) {
        out->shape[t] = shape[t];
        out->n_weights += shape[t].n_in * shape[t].n_out;
        out->a[t] = sg_alloc((size_t)n, sizeof *out->a[t]);
        out->g[t] = sg_alloc((size_t)n, sizeof *out->g[t]);
        out->id[t] = sg_alloc((size_t)n, sizeof *out->id[t]);
        for (int64_t i = 0; i < n; i++) {
            int64_t rows = test_rows(out, i, t), n_a = rows * test_a_width(&shape[t]),
                    n_g = rows * test_g_width(&shape[t]);
            out->a[t][i] = sg_alloc((size_t)n_a + 1, sizeof(float));
            out->g[t][i] = sg_alloc((size_t)n_g, sizeof(float));
            out->id[t][i] = sg_alloc((size_t)rows, sizeof(int32_t));
            for (int64_t k = 0; k < n_a; k++)
                out->a[t][i][k] = (float)test_uniform(&seed);
            for (int64_t k = 0; k < n_g; k++)
                out->g[t][i][k] = (float)(.1 * test_uniform(&seed));
            for (int64_t r = 0; shape[t].kind == SG_TAP_EMBED && r < rows; r++)
                out->id[t][i][r] = test_below(&seed, 8) ? (int32_t)test_below(&seed, shape[t].n_out) : -1;
        }
    }
}

void test_units_free(struct test_units *units)
{
    for (int64_t t = 0; t < units->n_taps; t++) {
        for (int64_t i = 0; i < units->n; i++) {
            free(units->a[t][i]);
            free(units->g[t][i]);
            free(units->id[t][i]);
        }
        free(units->a[t]);
        free(units->g[t]);
        free(units->id[t]);
    }
    free(units->rows);
    free(units->digest);
}

void test_scale_unit(struct test_units *u, int64_t unit, float a, float g)
{
    for (int64_t t = 0; t < u->n_taps; t++) {
        for (int64_t k = 0; k < test_rows(u, unit, t) * test_a_width(&u->shape[t]); k++)
            u->a[t][unit][k] *= a;
        for (int64_t k = 0; k < test_rows(u, unit, t) * test_g_width(&u->shape[t]); k++)
            u->g[t][unit][k] *= g;
    }
}

static double row_mass(const struct test_units *u, int64_t unit, int64_t t, int64_t r)
{
    const struct test_shape *s = &u->shape[t];
    const float *a = u->a[t][unit] + r * test_a_width(s), *g = u->g[t][unit] + r * test_g_width(s);
    double a2 = 0, g2 = 0, product2 = 0;
    for (int64_t k = 0; k < test_a_width(s); k++)
        a2 += (double)a[k] * a[k];
    for (int64_t k = 0; k < test_g_width(s); k++) {
        g2 += (double)g[k] * g[k];
        product2 += s->kind == SG_TAP_SCALE ? (double)a[k] * g[k] * a[k] * g[k] : 0;
    }
    if (s->kind == SG_TAP_EMBED)
        return u->id[t][unit][r] < 0 ? 0 : sqrt(g2);
    return s->kind == SG_TAP_SCALE ? sqrt(product2) : s->shared ? sqrt(g2) : sqrt(a2 * g2);
}

void test_cancel_unit(struct test_units *u, int64_t unit, double mass)
{
    for (int64_t t = 0; t < u->n_taps; t++) {
        int64_t rows = test_rows(u, unit, t), n_a = test_a_width(&u->shape[t]), n_g = test_g_width(&u->shape[t]);
        double now = 0;
        for (int64_t r = 0; r + 1 < rows; r += 2) {
            u->id[t][unit][r + 1] = u->id[t][unit][r];
            memcpy(u->a[t][unit] + (r + 1) * n_a, u->a[t][unit] + r * n_a, (size_t)n_a * sizeof(float));
            for (int64_t k = 0; k < n_g; k++)
                u->g[t][unit][(r + 1) * n_g + k] = -u->g[t][unit][r * n_g + k];
        }
        for (int64_t r = 0; r < rows; r++)
            now += row_mass(u, unit, t, r);
        for (int64_t k = 0; now > 0 && k < rows * n_g; k++)
            u->g[t][unit][k] = (float)(u->g[t][unit][k] * (mass / now));
    }
}

static void one_id(struct test_units *u, int64_t unit)
{
    for (int64_t t = 0; t < u->n_taps; t++)
        for (int64_t r = 0; r < test_rows(u, unit, t); r++)
            u->id[t][unit][r] = 0;
}

const char *test_make_hostile(struct test_units *u, int64_t unit, int kind)
{
    int64_t last = u->n_taps - 1, rows = test_rows(u, unit, last);
    int64_t n_g = test_g_width(&u->shape[last]), n_a = test_a_width(&u->shape[last]);
    float *g = u->g[last][unit], *a = n_a ? u->a[last][unit] : g; /* without an a of its own g takes it all */
    if (!n_a)
        n_a = n_g;
    switch (kind) {
    case 0:
        test_cancel_unit(u, unit, 1e8);
        return "cancelling rows of mass 1e8";
    case 1:
        test_cancel_unit(u, unit, 7.9);
        return "cancelling rows just inside kappa C";
    case 2:
        test_cancel_unit(u, unit, 1e30);
        return "cancelling rows of mass 1e30";
    case 3:
        test_scale_unit(u, unit, 1, 1e-30f);
        return "g of 1e-30";
    case 4:
        test_scale_unit(u, unit, 1e-30f, 1);
        return "a of 1e-30";
    case 5:
        test_scale_unit(u, unit, 1, 1e30f);
        return "g of 1e30";
    case 6:
        test_scale_unit(u, unit, 1e30f, 1);
        return "a of 1e30";
    case 7:
        test_scale_unit(u, unit, 1e-30f, 1e38f);
        return "tiny a, huge g";
    case 8:
        test_scale_unit(u, unit, 1e18f, 1e-37f);
        return "huge a, tiny g";
    case 9:
        test_scale_unit(u, unit, 1e18f, 1e-44f);
        return "huge a, subnormal g";
    case 10:
        test_scale_unit(u, unit, 1e-44f, 1e38f);
        return "subnormal a, huge g";
    case 11:
        test_scale_unit(u, unit, 1e-38f, 1e-38f);
        return "products below every float";
    case 12:
        g[0] = NAN;
        return "a NaN in g";
    case 13:
        a[rows * n_a - 1] = NAN;
        return "a NaN in a";
    case 14:
        g[rows * n_g - 1] = INFINITY;
        return "infinity in g";
    case 15:
        a[0] = -INFINITY;
        return "infinity in a";
    case 16:
        test_scale_unit(u, unit, 0, 1);
        return "a of zeros";
    case 17:
        test_scale_unit(u, unit, 1, 0);
        return "g of zeros";
    case 18:
        one_id(u, unit);
        return "one token in every row";
    default:
        test_scale_unit(u, unit, 1e18f, 3e38f);
        return "the largest floats";
    }
}

/* Rows of the panel packed, with two floats of NaN after each row: whoever reads them shows. */
const struct sg_tap *test_fill_taps(void *self, const int32_t *unit, int64_t n, size_t *n_taps)
{
    struct test_taps *p = self;
    const struct test_units *u = p->units;
    test_taps_free(p);
    for (int64_t t = 0; t < u->n_taps; t++) {
        const struct test_shape *s = &u->shape[t];
        int64_t n_a = test_a_width(s), n_g = test_g_width(s), rows = 0, lda = n_a + 2, ldg = n_g + 2;
        p->offset[t] = sg_alloc((size_t)n + 1, sizeof(int32_t));
        for (int64_t b = 0; b < n; b++)
            p->offset[t][b + 1] = (int32_t)(rows += test_rows(u, unit[b], t));
        float *memory = sg_alloc((size_t)(rows * (lda + ldg)) + 1, sizeof *memory), *a = memory,
              *g = memory + rows * lda;
        int32_t *id = p->id[t] = sg_alloc((size_t)rows + 1, sizeof *id);
        memset(memory, 0xff, (size_t)(rows * (lda + ldg)) * sizeof *memory);
        for (int64_t b = 0; b < n; b++)
            for (int64_t r = 0; r < test_rows(u, unit[b], t); r++) {
                memcpy(a + (p->offset[t][b] + r) * lda, u->a[t][unit[b]] + r * n_a, (size_t)n_a * sizeof *a);
                memcpy(g + (p->offset[t][b] + r) * ldg, u->g[t][unit[b]] + r * n_g, (size_t)n_g * sizeof *g);
                id[p->offset[t][b] + r] = u->id[t][unit[b]][r];
            }
        p->memory[t] = memory;
        p->one[t] = 1;
        p->tap[t] = (struct sg_tap){.kind = s->kind,
                                    .a = s->kind == SG_TAP_EMBED ? NULL
                                         : s->shared             ? &p->one[t]
                                                                 : a,
                                    .g = g,
                                    .id = s->kind == SG_TAP_EMBED ? id : NULL,
                                    .lda = s->shared ? 0 : lda,
                                    .ldg = ldg,
                                    .n_in = s->n_in,
                                    .n_out = s->n_out,
                                    .offset = p->offset[t],
                                    .weight = t == 0 ? 0 : p->tap[t - 1].weight + s[-1].n_in * s[-1].n_out};
    }
    *n_taps = (size_t)u->n_taps;
    return p->tap;
}

void test_taps_free(struct test_taps *taps)
{
    for (int t = 0; t < TEST_TAPS; t++) {
        free(taps->offset[t]);
        free(taps->memory[t]);
        free(taps->id[t]);
        assert_true(!taps->memory[t] || taps->one[t] == 1); /* what all rows share is never written */
        taps->offset[t] = taps->id[t] = NULL;
        taps->memory[t] = NULL;
    }
}

/* ---- units of a model ---- */

void test_model_units_make(const struct sg_model_spec *spec, const struct sg_ops *ops, int64_t n, int64_t rows_max,
                           int64_t microbatch, uint64_t seed, struct test_model_units *out)
{
    *out = (struct test_model_units){
        .ops = ops, .spec = *spec, .n = n, .microbatch = microbatch, .units_max = n, .rows_max = n * rows_max};
    assert_int_equal(sg_model_create(spec, ops, TEST_SEED, &out->model), SG_OK);
    int64_t n_weights = sg_model_n_weights(out->model);
    out->weights = sg_alloc((size_t)n_weights, sizeof(float));
    for (int64_t i = 0; i < n_weights; i++)
        out->weights[i] = (float)test_uniform(&seed);
    out->packed = sg_alloc_aligned(sg_model_packed_bytes(out->model));
    sg_model_pack(out->model, out->weights, true, out->packed);
    out->memory = sg_alloc_aligned(sg_workspace_bytes(out->model, n, out->rows_max, true));
    out->workspace = sg_workspace_place(out->model, n, out->rows_max, true, out->memory);
    out->first = sg_alloc((size_t)n + 1, sizeof(int32_t));
    for (int64_t i = 0; i < n; i++)
        out->first[i + 1] = out->first[i] + 1 + (int32_t)test_below(&seed, rows_max);
    size_t rows = (size_t)out->rows_max, f = (size_t)spec->n_features, s = (size_t)spec->n_static, units = (size_t)n;
    float **arrays[] = {&out->x,     &out->batch_x,     &out->statics, &out->batch_statics,
                        &out->label, &out->batch_label, &out->logit,   &out->dlogit};
    size_t sizes[] = {rows * f, rows * f, units * s + 1, units * s + 1, units, units, units, units};
    for (int i = 0; i < 8; i++)
        *arrays[i] = sg_alloc(sizes[i], sizeof(float));
    for (size_t i = 0; i < rows * f; i++)
        out->x[i] = (float)(2 * test_uniform(&seed));
    for (size_t i = 0; i < units * s; i++)
        out->statics[i] = (float)(2 * test_uniform(&seed));
    for (size_t i = 0; i < units; i++)
        out->label[i] = (float)test_below(&seed, 2);
    out->token = sg_alloc(rows, sizeof *out->token);
    out->batch_token = sg_alloc(rows, sizeof *out->batch_token);
    for (size_t i = 0; spec->kind == SG_MODEL_ENCODER && i < rows; i++)
        out->token[i] = (int32_t)test_below(&seed, spec->encoder.vocabulary);
    out->digest = make_digests(n);
    out->batch_digest = sg_alloc(units, SG_ID_DIGEST_BYTES);
    out->offset = sg_alloc(units + 1, sizeof(int32_t));
}

const struct sg_tap *test_fill_model(void *self, const int32_t *unit, int64_t n, size_t *n_taps)
{
    struct test_model_units *u = self;
    size_t f = (size_t)u->spec.n_features, s = (size_t)u->spec.n_static;
    for (int64_t b = 0; b < n; b++) {
        int32_t i = unit[b], rows = u->first[i + 1] - u->first[i];
        u->offset[b + 1] = u->offset[b] + rows;
        memcpy(u->batch_x + (size_t)u->offset[b] * f, u->x + (size_t)u->first[i] * f, (size_t)rows * f * sizeof(float));
        memcpy(u->batch_token + u->offset[b], u->token + u->first[i], (size_t)rows * sizeof *u->token);
        memcpy(u->batch_statics + (size_t)b * s, u->statics + (size_t)i * s, s * sizeof(float));
        memcpy(u->batch_digest[b], u->digest[i], SG_ID_DIGEST_BYTES);
        u->batch_label[b] = u->label[i];
    }
    const struct sg_batch batch = {.n_units = n,
                                   .n_rows = u->offset[n],
                                   .offset = u->offset,
                                   .x = u->batch_x,
                                   .statics = s ? u->batch_statics : NULL,
                                   .token = u->batch_token,
                                   .label = u->batch_label,
                                   .digest = (const uint8_t(*)[SG_ID_DIGEST_BYTES])u->batch_digest,
                                   .step = u->step};
    sg_model_forward(u->model, u->packed, &batch, true, u->workspace, u->logit);
    u->ops->bce(n, u->logit, u->batch_label, 1.0f / (float)u->microbatch, NULL, u->dlogit);
    return sg_model_backward(u->model, u->packed, &batch, u->dlogit, u->workspace, n_taps);
}

void test_model_units_free(struct test_model_units *u)
{
    sg_model_close(&u->model);
    void *owned[] = {u->first,  u->x,      u->statics,      u->label,   u->weights,       u->digest,
                     u->packed, u->memory, u->offset,       u->batch_x, u->batch_statics, u->batch_label,
                     u->logit,  u->dlogit, u->batch_digest, u->token,   u->batch_token};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

/* ---- a step ---- */

static void *make_scratch(const struct sg_ops *ops, int64_t widest, int64_t rows_max)
{
    return sg_alloc_aligned(ops->scratch_bytes(widest, rows_max));
}

/* unit[] of the sample numbers those who are there: back to all units. */
static void number_all(struct sg_sample *sample, int64_t left_out)
{
    for (int64_t i = 0; left_out >= 0 && i < sample->n_units; i++)
        sample->unit[i] += sample->unit[i] >= left_out;
}

/* Panels first .. first + n of the sample by the real path. */
static void absorb_panels(const struct test_step *s, struct sg_mechanism *mechanism, const struct sg_sample *sample,
                          int64_t first, int64_t n, struct sg_absorber *absorber, void *scratch)
{
    int64_t begin = sample->panel_unit[first], units = sample->panel_unit[first + n] - begin;
    size_t n_taps;
    if (units == 0)
        return;
    const struct sg_tap *taps = s->fill(s->self, sample->unit + begin, units, &n_taps);
    if (!s->in_parts) {
        sg_mechanism_absorb(mechanism, sample, first, n, taps, n_taps, absorber, scratch);
        return;
    }
    sg_mechanism_begin(mechanism, sample, first, n, absorber);
    for (size_t t = 0; t < n_taps; t++)
        sg_mechanism_take_norms(mechanism, taps + t, 1, absorber, scratch);
    sg_mechanism_weigh(mechanism, absorber);
    for (size_t t = 0; t < n_taps; t++)
        sg_mechanism_sum(mechanism, taps + t, 1, absorber, scratch);
}

int64_t *test_step_sum(const struct test_step *s, int64_t left_out, struct sg_sample *keep)
{
    const struct sg_plan *plan = s->plan;
    const struct sg_buffer context = {0};
    struct sg_mechanism *mechanism;
    assert_int_equal(sg_mechanism_open(plan, s->ops, test_secret, &context, &mechanism), SG_OK);
    int64_t panels = s->panels ? s->panels : 1, units_max = panels * plan->units_per_panel_max;
    int64_t n = s->n_units - (left_out >= 0), rows_max = units_max * plan->rows_per_unit_max;
    uint8_t(*digest)[SG_ID_DIGEST_BYTES] = sg_alloc((size_t)n + 1, sizeof *digest);
    for (int64_t i = 0, k = 0; i < s->n_units; i++)
        if (i != left_out)
            memcpy(digest[k++], s->digest[i], sizeof *digest);
    struct sg_sample sample = {0};
    assert_int_equal(sg_mechanism_sample(mechanism, s->step, (const uint8_t(*)[16])digest, n, &sample), SG_OK);
    if (s->regroup)
        s->regroup(&sample);
    number_all(&sample, left_out);
    struct sg_absorber absorber;
    const struct sg_absorber_room room = {plan->n_weights, units_max, rows_max, panels, 200};
    void *memory = sg_alloc_aligned(sg_absorber_place(&room, NULL, NULL));
    sg_absorber_place(&room, memory, &absorber);
    void *scratch = make_scratch(s->ops, 4096, rows_max);
    for (int64_t p = 0; p < sample.n_panels; p += panels) {
        absorb_panels(s, mechanism, &sample, p, panels < sample.n_panels - p ? panels : sample.n_panels - p, &absorber,
                      scratch);
        if (s->after && sample.panel_unit[p + 1] > sample.panel_unit[p])
            s->after(s->context, &sample, p, &absorber);
    }
    sg_absorber_finish(s->ops, &absorber);
    assert_false(absorber.overflow);
    int64_t *sum = sg_alloc((size_t)plan->n_weights, sizeof *sum);
    memcpy(sum, absorber.sum, (size_t)plan->n_weights * sizeof *sum);
    if (keep)
        *keep = sample;
    else
        sg_sample_free(&sample);
    free(memory);
    free(scratch);
    free(digest);
    sg_mechanism_close(&mechanism);
    return sum;
}

double test_distance(const int64_t *x, const int64_t *y, int64_t n, double h)
{
    long double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (long double)(x[i] - y[i]) * (long double)(x[i] - y[i]);
    return (double)(sqrtl(sum) * (long double)h);
}
