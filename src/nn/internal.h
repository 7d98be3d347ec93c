/* What the files of src/nn share: the model's tables and the workspace's memory. Not for other folders. */
#ifndef SG_NN_INTERNAL_H
#define SG_NN_INTERNAL_H

#include <limits.h>

#include "encoder.h"
#include "nn/model.h"

enum { FORWARD, REVERSE, N_DIRECTIONS };

/* A packed piece of a weight: some of its columns, made ready for one GEMM. */
struct strip {
    int parameter;
    bool backward;             /* for dx = g w; otherwise for y = a w^T */
    int64_t column, n_columns; /* of the weight */
    int flow;                  /* a backward strip is needed where something below this stage learns */
    bool wanted;
    size_t at; /* bytes from the start of the packed memory */
};

/* At the start of the packed memory: what is not packed is read where it is. */
struct packed_head {
    const float *weights;
    char *strips; /* in the memory of the ops: the strips lie so many bytes after this */
};

/* What a parameter starts as; BIASED is UNIFORM but for the last column. */
enum start { START_UNIFORM, START_BIASED, START_ZERO, START_ONE };

/* What only this folder needs to know of a parameter. `stage`: its height in the chain from embeddings to head. */
struct place {
    enum start start;
    int stage;
};

/* One layer's parameter and strips by index, -1 for none. */
struct linear_place {
    int parameter, forward, backward;
};

struct lstm_place {
    int parameter;
    int all;                    /* columns x, h, 1 */
    int first_x, first_bias;    /* the same without h: at a unit's first step h is zero */
    int backward_h, backward_x; /* backward_x: -1 in the lowest layer */
};

struct sg_model {
    struct sg_model_spec spec;
    const struct sg_ops *ops;
    uint64_t seed;
    struct sg_parameter *parameters;
    struct place *places; /* of each parameter */
    int n_parameters, parameter_capacity;
    struct strip *strips;
    int n_strips, strip_capacity;
    size_t packed_bytes;
    int64_t widest; /* of any n_in or n_out */
    struct lstm_place lstm[SG_MODEL_LAYERS_MAX][N_DIRECTIONS];
    struct linear_place attention, score, mlp, output, linear;
    /* What backward must do, from what is trainable. */
    bool lstm_below[SG_MODEL_LAYERS_MAX + 1]; /* something in the layers below this one learns */
    bool needs_hidden, needs_pooled, needs_attention;
    int lowest;                     /* the lowest stage where something learns; INT_MAX for none */
    struct encoder_tables *encoder; /* NULL of the other families */
    size_t n_taps;                  /* that backward returns */
};

/* One direction of one layer. */
struct cell_memory {
    float *a;     /* (R, I+H+1): input rows [x_t, h_{t-1}, 1] */
    float *gates; /* (R, 4H): pre-activations, then activations, then their gradients */
    float *c;     /* (R, H) */
};

/* The rows of all units in the order of a direction's recurrence: entries position[s] .. position[s+1] are the rows of
 * the units that have an s-th step, by unit, with the rows of the steps before and after, or -1. */
struct walk {
    int32_t *rows, *prev, *next; /* (R) each */
};

struct sg_workspace {
    int64_t units_max, rows_max;
    ptrdiff_t shift;                        /* from a list to the ops' copy of it */
    bool with_backward, recompute, dropped; /* dropped: the last forward used the masks */
    int64_t n_positions;                    /* the longest history of the batch */
    int32_t *position;                      /* (rows_max + 1) */
    struct walk walk[N_DIRECTIONS];
    int32_t *unit_offset;                       /* (B+1): 0, 1, 2, ... */
    int32_t *list_from, *list_to, *list_absent; /* (B) each */
    float *zeros, *ones;                        /* (widest) and (1): sources of constant rows and columns */
    struct cell_memory cells[SG_MODEL_LAYERS_MAX][N_DIRECTIONS];
    float *y;                         /* (R, 2H+1): the layer's output [h forward, h reverse, 1] */
    float *mask[SG_MODEL_LAYERS_MAX]; /* (R, 2H): above layer l, NULL above the top one */
    float *u, *score, *alpha;         /* (R, A), (R), (R) */
    float *joined, *joined_mask;      /* (B, 2H+S+1) [pooled, static, 1], (B, 2H+S) */
    float *hidden;                    /* (B, M+1) */
    float *linear;                    /* (B, L F + S + 1) */
    float *dy[2], *dc;                /* (R, 2H) of this layer and the one below, (R, H) */
    float *du, *dscore;               /* (R, A), (R) */
    float *dpooled, *dhidden;         /* (B, 2H), (B, M) */
    float *doutput, *dlinear;         /* (B) each */
    struct encoder_memory encoder;
    struct sg_tap *taps; /* (n_taps of the model) */
    size_t n_taps;
    void *scratch;
};

/* Everything that one forward or backward call hands down. */
struct pass {
    const struct sg_model *model;
    const void *packed;
    const struct sg_batch *batch;
    struct sg_workspace *w;
};

static inline int64_t lstm_inputs(const struct sg_model_spec *spec, int64_t layer)
{
    return layer == 0 ? spec->n_features : 2 * spec->hidden;
}

static inline bool is_trainable(const struct sg_model *model, int parameter)
{
    return parameter >= 0 && model->parameters[parameter].trainable;
}

/* A GEMM with one strip: c[c_rows] (+)= a[a_rows] strip. */
void sg_nn_gemm(const struct pass *pass, int strip, int64_t n_rows, const float *a, int64_t lda, const int32_t *a_rows,
                float *c, int64_t ldc, const int32_t *c_rows, bool accumulate);
/* Sets the n_rows floats at `column`, `ld` apart, to one: the constant that a bias is multiplied with. */
void sg_nn_ones(const struct pass *pass, int64_t n_rows, float *column, int64_t ld);

static inline bool has_blocks(const struct sg_model *model)
{
    return model->encoder != NULL;
}

/* Parameter i where it is. */
static inline const float *sg_nn_weights(const struct pass *pass, int parameter)
{
    return ((const struct packed_head *)pass->packed)->weights + pass->model->parameters[parameter].first;
}

int sg_nn_add_parameter(struct sg_model *model, const struct sg_parameter *parameter, const struct place *place);
int sg_nn_add_strip(struct sg_model *model, int parameter, bool backward, int64_t column, int64_t n_columns, int flow);
#define WIDTH_MAX (1 << 16)
#define STEPS_MAX 4096

struct range {
    const char *name;
    int64_t value, min, max;
};
enum sg_status sg_nn_check_ranges(const struct range *ranges, size_t n);
enum sg_status sg_nn_check_dropout(double dropout);

/* Writes the taps of the last backward into w->taps, and their number. */
void sg_nn_add_taps(const struct pass *pass);
/* Adds one where the parameter is trainable: `tap` says a, g, lda, ldg, id and offset. */
void sg_nn_add_tap(const struct pass *pass, int parameter, struct sg_tap tap);

float *sg_nn_carve_floats(struct sg_zones *zones, int64_t n_rows, int64_t width);
float *sg_nn_carve_mask(struct sg_zones *zones, int64_t n_rows, int64_t width); /* made by the host */
int32_t *sg_nn_carve_ints(struct sg_zones *zones, int64_t n);

/* The ops' copy of a list of the workspace, or of the batch. */
static inline const int32_t *sg_nn_list(const struct pass *pass, const int32_t *list)
{
    return sg_far(list, pass->w->shift);
}
static inline const int32_t *sg_nn_batch_list(const struct pass *pass, const int32_t *list)
{
    return sg_far(list, pass->batch->shift);
}
/* Brings a list of the workspace there. */
void sg_nn_upload(const struct pass *pass, const int32_t *list, int64_t n);

/* Tables: parameters, strips, and what follows from what is trainable. */
void sg_nn_build_tables(struct sg_model *model);
void sg_nn_refresh_trainable(struct sg_model *model);

/* The rows of the batch in the order of the recurrence. */
void sg_nn_walk(const struct pass *pass);
/* From the batch's x to w->y, through all layers, and back from w->dy[0]. */
void sg_nn_lstm_forward(const struct pass *pass);
void sg_nn_lstm_backward(const struct pass *pass);
/* From w->y to the pooled columns of w->joined, and back from w->dpooled to w->dy[0]. */
void sg_nn_attention_forward(const struct pass *pass);
void sg_nn_attention_backward(const struct pass *pass);
/* From w->joined's pooled columns to the logit, and back from w->doutput to w->dpooled. */
void sg_nn_head_forward(const struct pass *pass, float *logit);
void sg_nn_head_backward(const struct pass *pass);
/* The linear path: builds its rows and sets the logit or adds to it. */
void sg_nn_linear_forward(const struct pass *pass, float *logit, bool accumulate);

/* Masks of 0 and 1 / (1 - p) for `width` floats of each row, keyed by (seed, unit, step, layer) and the position within
 * the unit. `offset` says which rows of the mask belong to which unit. */
void sg_nn_dropout_masks(const struct pass *pass, uint64_t layer, const int32_t *offset, int64_t width, float *mask);
void sg_nn_multiply_mask(const struct pass *pass, int64_t n_rows, int64_t width, float *x, int64_t ldx,
                         const float *mask, int64_t ld);
#define DROPOUT_LAYER_JOINED 255 /* the input of the head */
#define DROPOUT_LAYER_EMBEDDINGS 256
#define DROPOUT_LAYER_BLOCKS 512 /* and two for each block */

#endif
