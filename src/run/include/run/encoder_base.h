/* A pretrained encoder as a start: its architecture from config.json, its weights from model.safetensors, its
 * vocabulary. */
#ifndef SG_RUN_ENCODER_BASE_H
#define SG_RUN_ENCODER_BASE_H

#include "data/schema.h"
#include "data/tokenizer.h"
#include "run/config.h"
#include "run/trainer.h"

/* The architecture of the base folder's config.json into spec->encoder; the rest of spec stays. SG_USAGE names the
 * file. */
SG_MUST_USE enum sg_status sg_encoder_base_spec(const char *folder, struct sg_encoder_spec *spec);

/* Weights from folder/model.safetensors by name, with or without the family's prefix; `weights` holds the random start.
 * A head of another shape, a head for masked words and LoRA factors that are not there keep their start; anything else
 * must be there, and no more of the encoder than config.json describes. A folder without weights of any form is a
 * random start: digest then stays "". */
SG_MUST_USE enum sg_status sg_encoder_base_load(const char *folder, const struct sg_model *model, float *weights,
                                                char digest[65]);

/* What an output is called in config.json: a class's name, "value" or "positive". */
const char *sg_output_name(const struct sg_model_spec *spec, const struct sg_schema *schema, int64_t i);
/* Puts a head that came with the base back to zero where its outputs bear other names (id2label of config.json; those
 * that nobody named do not count), or its value other bounds, than the schema's labels. */
SG_MUST_USE enum sg_status sg_head_keep_or_zero(const char *folder, const struct sg_model *model,
                                                const struct sg_schema *schema, float *weights);

/* The head's start from public knowledge: row c becomes `scale` times what enters the head for the name of class c
 * (underscores are blanks), which points the way that texts about it should. */
SG_MUST_USE enum sg_status sg_head_from_names(const struct sg_model *model, const struct sg_ops *ops,
                                              const struct sg_schema *schema, const struct sg_tokenizer *tokenizer,
                                              double scale, float *weights);

#endif
