/* Models: parameters with names, forward, backward into taps. Knows nothing of privacy.
 *
 * Families from one specification:
 *   logistic          logit = linear path
 *   bilstm_attention  BiLSTM layers -> additive attention pooling (Bahdanau et al. 2015: score = v . tanh(W h + b), no
 * bias on v) -> [pooled, static] -> tanh or ReLU MLP -> logit, plus the linear path where there is one. The linear path
 * is one LINEAR layer on [features of the last linear_steps rows, oldest first, the newest row always in the last
 * place, zero in front where the history is shorter; static features; 1].
 *   encoder           BERT (Devlin et al. 2019): embeddings of word, position and type -> layer norm -> blocks of
 * self-attention and GELU feed-forward, layer norm after each -> pooling -> head; rows are tokens. Parameters are those
 * of the published files, name for name: weight (out, in) and bias (out, 1) apart.
 *   tabular           the same blocks over the rows of a history: a row's features are projected to the width, its
 * place counted from the newest (1) is embedded, the static features are one more row (place 0) in front of each unit,
 * whose output is pooled; plus the linear path where there is one. */
#ifndef SG_NN_MODEL_H
#define SG_NN_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "nn/tap.h"
#include "ops/ops.h"

enum sg_model_kind { SG_MODEL_LOGISTIC, SG_MODEL_BILSTM_ATTENTION, SG_MODEL_ENCODER, SG_MODEL_TABULAR };

#define SG_MODEL_LAYERS_MAX 8 /* of a BiLSTM */
#define SG_ENCODER_LAYERS_MAX 64
#define SG_STATIC_TOKENS_MAX 256

/* CLS: the first token's row through BERT's pooler (dense, tanh). MEAN: the mean of all rows, no pooler. */
enum sg_pooling { SG_POOL_CLS, SG_POOL_MEAN };
/* What the head's outputs mean: one logit; one logit a class; one value; a token for each masked row (tied decoder). */
enum sg_objective { SG_BINARY, SG_CLASSES, SG_REGRESSION, SG_MASKED_TOKENS };
/* Linear layers that LoRA (Hu et al. 2022) adds its factors to: bits of sg_encoder_spec.lora_targets. */
enum sg_lora_target {
    SG_LORA_QUERY = 1,
    SG_LORA_KEY = 2,
    SG_LORA_VALUE = 4,
    SG_LORA_ATTENTION_OUTPUT = 8,
    SG_LORA_INTERMEDIATE = 16,
    SG_LORA_OUTPUT = 32
};

struct sg_encoder_spec {
    int64_t vocabulary, width, layers, heads, intermediate; /* width is a multiple of heads */
    int64_t positions, types;                               /* rows of the two smaller embeddings */
    int gelu;                                               /* enum sg_gelu */
    double layer_norm_epsilon;
    int pooling;       /* enum sg_pooling */
    bool unit_length;  /* what is pooled is scaled to length 1 before the head */
    int64_t lora_rank; /* 0: none */
    double lora_alpha; /* factors are scaled by alpha / rank */
    unsigned lora_targets;
};

struct sg_model_spec {
    enum sg_model_kind kind;
    int64_t n_features; /* F: floats per row (time step) */
    int64_t n_static;   /* S: floats per unit */
    /* tabular: how many of the S floats belong to each static feature, in order, each a row of its own behind an empty
     * first one; 0 tokens: all of them are the first row */
    int64_t n_static_tokens;
    int32_t static_token[SG_STATIC_TOKENS_MAX];
    int64_t hidden;     /* H: cells per direction */
    int64_t layers;     /* bidirectional layers, 1 .. SG_MODEL_LAYERS_MAX */
    int64_t attention;  /* width of the attention's tanh layer */
    int64_t mlp;        /* width of the hidden layer before the logit; 0: logit straight from [pooled, static] */
    enum sg_activation mlp_activation;
    int64_t linear_steps; /* rows that the linear path sees; 0 for bilstm_attention: no linear path */
    double dropout;       /* on [pooled, static] and between LSTM layers; of an encoder after the embeddings, after each
                             sublayer's last linear layer and before the head; keyed by unit; 0 none; at most .95 */
    int objective;        /* enum sg_objective */
    int64_t n_outputs;    /* 1, or the number of classes */
    /* SG_REGRESSION: the public bounds of the value; the output is -1 at the lower one and 1 at the upper one, so that
     * clipping and learning rates know no unit. Both 0: the output is the value. Others: 0. */
    double value_low, value_high;
    struct sg_encoder_spec encoder; /* encoder and tabular */
};

/* WEIGHT: of a linear layer. BIAS, GAIN (of a layer norm): (n_out, 1). EMBEDDING: a row for each id. */
enum sg_parameter_kind { SG_PARAMETER_WEIGHT, SG_PARAMETER_BIAS, SG_PARAMETER_GAIN, SG_PARAMETER_EMBEDDING };

struct sg_parameter {
    char name[96]; /* as in the file: "lstm.0.forward.weight" (4H, F+H+1: columns x, h, bias), "lstm.0.reverse.weight",
                      "attention.weight", "attention.score.weight", "mlp.weight", "output.weight", "linear.weight";
                      an encoder's as published, without a prefix, "classifier.weight", "classifier.bias" the head;
                      LoRA's as "encoder.layer.0.attention.self.query.lora_A.weight" (rank, in) and "lora_B" (out, rank)
                    */
    enum sg_parameter_kind kind;
    int n_dimensions; /* in the file: 2, or 1 for the biases and gains of an encoder */
    int64_t n_out, n_in;
    int64_t first; /* position in the vector of all parameters */
    bool trainable;
    int64_t trainable_first; /* position in the vector of trainable parameters; -1 when frozen */
};

/* Several panels' units, packed. Row r of unit b: offset[b] <= r < offset[b+1]. All pointers are borrowed. */
struct sg_batch {
    int64_t n_units;              /* B */
    int64_t n_rows;               /* R = offset[B] */
    const int32_t *offset;        /* (B+1), offset[0] = 0, every unit has at least one row */
    const float *x;               /* (R, F) */
    const float *statics;         /* (B, S); NULL when S = 0 */
    const int32_t *token;         /* (R) ids of an encoder's rows, special ones included; NULL otherwise */
    const float *prefix;          /* what sg_model_prefix found for these units, to start from; NULL: from the rows */
    int64_t n_masked;             /* SG_MASKED_TOKENS: M rows whose words are asked for, */
    const int32_t *masked;        /* (M) rows, ascending; */
    const int32_t *masked_offset; /* (B+1) those of each unit */
    const float *label;           /* (B); NULL for scoring; a class is its number */
    const uint8_t (*digest)[16];  /* (B) unit id digests, key of the dropout masks; NULL when dropout is off */
    int64_t step;                 /* part of the dropout key */
};

struct sg_model;     /* immutable after creation: spec, parameter table */
struct sg_workspace; /* one worker's activations, taps and scratch: one allocation */

/* `seed` keys the public dropout streams. Every parameter starts trainable. */
SG_MUST_USE enum sg_status sg_model_create(const struct sg_model_spec *spec, const struct sg_ops *ops, uint64_t seed,
                                           struct sg_model **out);
void sg_model_close(struct sg_model **model);
const struct sg_model_spec *sg_model_spec_of(const struct sg_model *model);
const struct sg_parameter *sg_model_parameters(const struct sg_model *model, size_t *n);
/* Whether a kind is built of blocks of self-attention: encoder and tabular. */
static inline bool sg_model_has_blocks(enum sg_model_kind kind)
{
    return kind == SG_MODEL_ENCODER || kind == SG_MODEL_TABULAR;
}
/* Rows that a model holds for a unit with so many of its own: a tabular one has others in front, the first of which is
 * pooled. */
int64_t sg_model_unit_rows(const struct sg_model_spec *spec, int64_t rows);
/* NULL when no parameter has that name. */
const struct sg_parameter *sg_model_find_parameter(const struct sg_model *model, const char *name);
int64_t sg_model_n_weights(const struct sg_model *model);   /* all */
int64_t sg_model_n_trainable(const struct sg_model *model); /* P of the plan */
/* Freezes what does not match any of the glob patterns (fnmatch). SG_USAGE when a pattern matches nothing, or
 * there is none; nothing changes then. To be called before workspaces are placed. */
SG_MUST_USE enum sg_status sg_model_train_only(struct sg_model *model, const char *const *patterns, size_t n_patterns);
/* Public random start: uniform in +-1/sqrt(n_in) (biases zero, forget-gate bias 1), linear path zero; by name and seed.
 */
void sg_model_init(const struct sg_model *model, uint64_t seed, float *weights);

/* Packed weights, made once per step from the vector of all weights, shared read-only by all workers. `weights` is
 * borrowed as long as `packed` is used: biases, gains and embeddings are read where they are. */
size_t sg_model_packed_bytes(const struct sg_model *model);
void sg_model_pack(const struct sg_model *model, const float *weights, bool with_backward, void *packed);
/* The same for memory that sg_model_pack has filled since what is trainable was last set: packs only weights that
 * learn. */
void sg_model_repack(const struct sg_model *model, const float *weights, bool with_backward, void *packed);

/* What a workspace is for. RECOMPUTED (families with blocks): keeps each block's input only and computes the block once
 * more in backward, which then hands its taps out block by block: less memory, a third more work, the same bits. */
enum sg_workspace_use { SG_WORKSPACE_SCORING, SG_WORKSPACE_TRAINING, SG_WORKSPACE_RECOMPUTED };

/* Room for batches of up to units_max units and rows_max rows. */
size_t sg_workspace_bytes(const struct sg_model *model, int64_t units_max, int64_t rows_max, enum sg_workspace_use use);
struct sg_workspace *sg_workspace_place(const struct sg_model *model, int64_t units_max, int64_t rows_max,
                                        enum sg_workspace_use use, void *memory);

/* How much of an encoder or tabular model is a fixed function, for its embeddings and lowest blocks are frozen: k in
 * 1 .. layers, the blocks below k; layers + 1 when all below the head is; 0 nothing. No dropout acts there. */
int64_t sg_model_frozen_layers(const struct sg_model *model);
/* Computes that fixed function of a batch, for sg_batch.prefix: for k in 1 .. layers the rows that enter block k
 * (rows of the model, width; an encoder's rows are the batch's, a tabular model has one more for each unit, in front);
 * for layers + 1 what enters the head (B, width). Training from it gives the bits of training without it. */
void sg_model_prefix(const struct sg_model *model, const void *packed, const struct sg_batch *batch,
                     struct sg_workspace *workspace, float *prefix);

/* logit (B, n_outputs), or (M, n_outputs) of SG_MASKED_TOKENS. training: dropout on, which needs a workspace
 * with_backward. Activations stay in the workspace for backward. A batch of no units is fine. One panel a call is as
 * fast as several and keeps the working set in the cache.
 */
void sg_model_forward(const struct sg_model *model, const void *packed, const struct sg_batch *batch, bool training,
                      struct sg_workspace *workspace, float *logit);
/* From dlogit (B, n_outputs) of the per-unit loss (times any public scale): fills the taps of trainable weights and
 * returns them (borrowed from the workspace and the batch's offsets, valid until the next forward). Each trainable
 * weight has exactly one tap, in the order of the parameter table; with blocks, from the head down to the embeddings,
 * the order of the table within a block. (Only the word embeddings of SG_MASKED_TOKENS have two, at one place: its
 * decoder is tied to them and it trains without privacy.) After one forward, one backward: it overwrites what forward
 * left. The holder may write into a and g, to zero the rows of a unit that is left out, but not where lda is 0. */
const struct sg_tap *sg_model_backward(const struct sg_model *model, const void *packed, const struct sg_batch *batch,
                                       const float *dlogit, struct sg_workspace *workspace, size_t *n_taps);
/* The same, handing the taps to `sink` in parts, in the same order: the head's, each block's from the top, the
 * embeddings', the linear path's; a part is valid during the call and may be written to as above. The one way to go
 * back in a RECOMPUTED workspace, and there as often as wanted after one forward: once to take norms, once to absorb.
 */
typedef void sg_tap_sink(void *context, const struct sg_tap *taps, size_t n_taps);
void sg_model_backward_in_parts(const struct sg_model *model, const void *packed, const struct sg_batch *batch,
                                const float *dlogit, struct sg_workspace *workspace, sg_tap_sink *sink, void *context);
/* The most rows that a tap has for a batch of so many units and rows. */
int64_t sg_model_tap_rows_max(const struct sg_model *model, int64_t units_max, int64_t rows_max);
/* The workspace's scratch for ops, for whoever works on the taps. */
void *sg_workspace_scratch(struct sg_workspace *workspace);

/* The specification as the model folder's config.json holds it, and back (SG_USAGE with the key that is wrong). */
json_t *sg_model_spec_to_json(const struct sg_model_spec *spec);
SG_MUST_USE enum sg_status sg_model_spec_from_json(const json_t *object, struct sg_model_spec *out);

/* The architecture as the config.json of a published model of the BERT family has it; keys that name no part of it are
 * left alone. Fills the architecture and leaves pooling, unit_length and LoRA alone. SG_USAGE with what is not
 * supported: another model_type, relative positions, another activation. */
SG_MUST_USE enum sg_status sg_encoder_spec_from_bert(const json_t *config, struct sg_encoder_spec *out);
/* And back: the keys that the usual Python library reads, without the head's. */
json_t *sg_encoder_spec_to_bert(const struct sg_encoder_spec *spec);

#endif
