/* The encoder's half of the model: embeddings, blocks of attention and feed-forward, pooling, head. Included by
 * internal.h.
 *
 * Stages number what learns from the bottom to the top: the embeddings 0, their layer norm 1, then six in each block,
 * then the pooler, then the head. A gradient goes down to the input of a stage only where something below it learns:
 * model->lowest < stage. What backward skips then needs no memory and no packed weights. */
#ifndef SG_NN_ENCODER_H
#define SG_NN_ENCODER_H

#include "nn/model.h"

struct sg_model;
struct sg_workspace;
struct pass;

enum { STAGE_EMBEDDINGS, STAGE_EMBEDDINGS_NORM, STAGE_BLOCKS };
enum {
    STAGE_QKV,
    STAGE_ATTENTION,
    STAGE_ATTENTION_NORM,
    STAGE_INTERMEDIATE,
    STAGE_OUTPUT,
    STAGE_OUTPUT_NORM,
    N_STAGES
};

/* A linear layer: y = W x + b + (alpha / rank) B (A x). Parameters and strips by index, -1 for none. */
struct dense {
    int weight, bias, lora_a, lora_b;
    int forward, backward, a_forward, a_backward, b_forward, b_backward;
    int stage;
};

struct norm {
    int gain, bias;
};

/* The linear layers of a block, in the order of the parameter table and of the bits of enum sg_lora_target. */
enum { QUERY, KEY, VALUE, ATTENTION_OUTPUT, INTERMEDIATE, OUTPUT, N_DENSE };

struct block_tables {
    struct dense dense[N_DENSE];
    struct norm attention_norm, output_norm;
};

struct encoder_tables {
    int word, position, type;       /* embeddings; tabular: only position */
    struct dense features, statics; /* tabular */
    struct norm norm;
    struct block_tables *blocks;
    struct dense pooler; /* SG_POOL_CLS of an encoder */
    struct dense classifier;
    /* SG_MASKED_TOKENS in the place of the classifier */
    struct dense transform, decoder; /* the decoder's weight is `word` */
    struct norm transform_norm;
};

/* What one linear layer's factors need: u = (alpha / rank) A x and its gradient, (R, rank) each. */
struct lora_memory {
    float *u, *du;
};

/* One block's rows. d: width, m: intermediate. What no tap and no backward needs is shared by all blocks. */
struct block_memory {
    float *x;             /* (R, d) input */
    float *qkv;           /* (R, 3d): q, k, v side by side */
    float *lse, *context; /* (R, heads), (R, d): attention */
    float *xhat1, *rstd1; /* (R, d), (R): x + projected attention, normalised in place */
    float *y1;            /* (R, d) */
    float *z, *act;       /* (R, m): before and after GELU */
    float *xhat2, *rstd2; /* (R, d), (R): y1 + feed-forward, normalised in place */
    struct lora_memory lora[N_DENSE];
    float *dy;         /* (R, d): of the block's output */
    float *doutput;    /* (R, d): of the feed-forward's output */
    float *dz;         /* (R, m) */
    float *dy1;        /* (R, d) */
    float *dattention; /* (R, d): of the projected attention */
    float *dcontext;   /* (R, d) */
    float *dqkv;       /* (R, 3d) */
};

struct encoder_memory {
    int64_t n_rows;                                   /* R of the last forward */
    const int32_t *offset, *far_offset;               /* (B+1): rows of each unit; the same for ops */
    int32_t *own_offset, *first_row, *step_row;       /* tabular: (B+1); (B), (rows of the batch): where they are */
    int32_t *static_offset, *static_row;              /* tabular, K rows in front: (B+1) 0, K, 2 K, ...; (B K) */
    int32_t *place, *type;                            /* (R): ids of the position and type embeddings */
    int32_t *first;                                   /* (B): first row of each unit, for SG_POOL_CLS */
    float *features, *statics, *dfeatures, *dstatics; /* tabular: taps of the two projections, statics (B K) */
    float *summand;                                   /* (R, d) */
    float *xhat, *rstd;                               /* (R, d), (R): the sum of the embeddings, normalised in place */
    struct block_memory shared, blocks[SG_ENCODER_LAYERS_MAX];
    float *top;              /* (R, d): output of the last block */
    float *dx, *dembeddings; /* (R, d): of the layer norm's output, of its input */
    float *mask;             /* (R, d) of the dropout at hand */
    float *lora_scale;       /* (rank) alpha / rank */
    float *cls, *dcls;       /* (B, d): the pooler's input */
    float *pooler;           /* (B, d): its output */
    float *pooled, *length;  /* (B, d), (B): as the prefix holds it */
    float *head, *dhead;     /* (B, d): the head's input, after dropout */
    float *dlogit;           /* (B, n_outputs), or (M, n_outputs) */
    /* SG_MASKED_TOKENS: (M, d) each, rstd (M) */
    float *masked, *masked_z, *masked_xhat, *masked_rstd, *masked_y, *dmasked_y, *dmasked_z, *dmasked;
    void *attention_scratch;
};

static inline int stage_of_block(int64_t block)
{
    return STAGE_BLOCKS + N_STAGES * (int)block;
}

/* K: rows in front of a tabular unit's own. */
static inline int64_t rows_in_front(const struct sg_model_spec *spec)
{
    return sg_model_unit_rows(spec, 0);
}

/* In encoder_spec.c */
enum sg_status sg_nn_check_encoder(const struct sg_model_spec *spec);
/* In encoder_tables.c */
void sg_nn_build_encoder(struct sg_model *model);
/* In encoder_memory.c */
void sg_nn_carve_encoder(struct sg_zones *zones, const struct sg_model *model, struct sg_workspace *w);
void sg_nn_prepare_encoder(const struct sg_model *model, struct sg_workspace *w); /* constants, once */

/* In dense.c. y (n_rows at `rows`, NULL: all) = layer(x) */
void sg_nn_dense_forward(const struct pass *pass, const struct dense *dense, int64_t n_rows, const float *x,
                         int64_t ldx, float *y, int64_t ldy, const int32_t *rows, const struct lora_memory *lora);
/* dx = or += layer^T(g) where something below learns, and the factors' gradient. */
void sg_nn_dense_backward(const struct pass *pass, const struct dense *dense, int64_t n_rows, const float *g,
                          int64_t ldg, float *dx, int64_t lddx, bool accumulate, const struct lora_memory *lora);
/* Taps of weight, bias and factors. */
void sg_nn_dense_taps(const struct pass *pass, const struct dense *dense, const int32_t *offset, float *x, int64_t ldx,
                      float *g, int64_t ldg, const struct lora_memory *lora);
/* Of n_rows rows of the encoder's width, which are normalised in place; y: with gain and bias. */
void sg_nn_norm_forward(const struct pass *pass, const struct norm *norm, int64_t n_rows, float *xhat, float *rstd,
                        float *y);
void sg_nn_norm_backward(const struct pass *pass, const struct norm *norm, int64_t n_rows, const float *xhat,
                         const float *rstd, const float *dy, float *dx);
void sg_nn_norm_taps(const struct pass *pass, const struct norm *norm, const int32_t *offset, int64_t width,
                     float *xhat, float *g);

/* In embeddings.c: the batch's rows to block 0's input, and back. */
void sg_nn_embeddings_rows(const struct pass *pass); /* R, offset and places of this batch; before all else */
void sg_nn_embeddings_forward(const struct pass *pass);
void sg_nn_embeddings_backward(const struct pass *pass);
void sg_nn_embeddings_taps(const struct pass *pass);
/* In block.c: block l's input to the next one's, and back. */
void sg_nn_block_forward(const struct pass *pass, int64_t block);
void sg_nn_block_backward(const struct pass *pass, int64_t block);
void sg_nn_block_taps(const struct pass *pass, int64_t block);
/* Multiplies by the masks of one place in the model, the same at each call within a step. */
void sg_nn_drop_rows(const struct pass *pass, int stage, uint64_t layer, float *x);
/* In encoder_head.c: the top rows to what the head sees, the head, and back. */
void sg_nn_pool_forward(const struct pass *pass);
void sg_nn_classifier_forward(const struct pass *pass, float *logit);
void sg_nn_classifier_backward(const struct pass *pass, const float *dlogit);
void sg_nn_classifier_taps(const struct pass *pass);
/* In masked.c: the same for the words of masked rows. */
void sg_nn_masked_forward(const struct pass *pass, float *logit);
void sg_nn_masked_backward(const struct pass *pass, const float *dlogit);
void sg_nn_masked_taps(const struct pass *pass);
/* In encoder.c */
void sg_nn_encoder_forward(const struct pass *pass, float *logit);
void sg_nn_encoder_backward(const struct pass *pass, const float *dlogit, sg_tap_sink *sink, void *context);
void sg_nn_encoder_taps(const struct pass *pass);
/* The gradient of the last block's output, or NULL where nothing below it learns. */
float *sg_nn_top_gradient(const struct pass *pass);
/* Fills it where only n of its rows have one: g (n, d). */
void sg_nn_top_rows_backward(const struct pass *pass, int64_t n, const float *g, const int32_t *rows, float *dtop);

#endif
