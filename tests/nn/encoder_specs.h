/* Small models of the families with blocks, and the units that they are tried on. */
#ifndef SG_TESTS_NN_ENCODER_SPECS_H
#define SG_TESTS_NN_ENCODER_SPECS_H

#include "support.h"

#define SMALL                                                                                                          \
    .vocabulary = 7, .width = 6, .layers = 2, .heads = 3, .intermediate = 5, .positions = 9, .types = 2,               \
    .layer_norm_epsilon = 1e-5

static const struct sg_model_spec MEAN = {
    .kind = SG_MODEL_ENCODER, .n_outputs = 3, .objective = SG_CLASSES, .encoder = {SMALL, .pooling = SG_POOL_MEAN}};
static const struct sg_model_spec CLS = {.kind = SG_MODEL_ENCODER,
                                         .n_outputs = 1,
                                         .encoder = {SMALL, .pooling = SG_POOL_CLS, .gelu = SG_GELU_TANH},
                                         .dropout = .2};
static const struct sg_model_spec LORA = {.kind = SG_MODEL_ENCODER,
                                          .n_outputs = 2,
                                          .objective = SG_CLASSES,
                                          .encoder = {SMALL, .pooling = SG_POOL_MEAN, .unit_length = true,
                                                      .lora_rank = 2, .lora_alpha = 3, .lora_targets = 63},
                                          .dropout = .1};
static const struct sg_model_spec UNIT_CLS = {.kind = SG_MODEL_ENCODER,
                                              .n_outputs = 2,
                                              .objective = SG_CLASSES,
                                              .encoder = {SMALL, .pooling = SG_POOL_CLS, .unit_length = true,
                                                          .lora_rank = 1, .lora_alpha = 1,
                                                          .lora_targets = SG_LORA_QUERY | SG_LORA_VALUE}};
static const struct sg_model_spec TABULAR = {.kind = SG_MODEL_TABULAR,
                                             .n_features = 4,
                                             .n_static = 3,
                                             .n_outputs = 1,
                                             .linear_steps = 2,
                                             .dropout = .3,
                                             .encoder = {SMALL}};
static const struct sg_model_spec BARE_TABULAR = {
    .kind = SG_MODEL_TABULAR, .n_features = 2, .n_outputs = 2, .objective = SG_CLASSES, .encoder = {SMALL}};
static const struct sg_model_spec FEATURE_TOKENS = {
    .kind = SG_MODEL_TABULAR,
    .n_features = 3,
    .n_static = 6,
    .n_static_tokens = 3,
    .static_token = {1, 3, 2},
    .n_outputs = 1,
    .dropout = .2,
    .encoder = {.width = 6, .layers = 2, .heads = 3, .intermediate = 5, .positions = 11, .layer_norm_epsilon = 1e-5}};
static const struct sg_model_spec MASKED = {.kind = SG_MODEL_ENCODER,
                                            .n_outputs = 7,
                                            .objective = SG_MASKED_TOKENS,
                                            .encoder = {SMALL, .pooling = SG_POOL_MEAN},
                                            .dropout = .1};

static const int32_t LENGTHS[] = {3, 1, 7, 2, 5};
enum { N_UNITS = sizeof LENGTHS / sizeof *LENGTHS };

#endif
