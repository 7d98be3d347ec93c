/* LoRA factors after training: merged into the weights, and kept apart in the layout that PEFT reads. */
#ifndef SG_RUN_LORA_H
#define SG_RUN_LORA_H

#include "nn/model.h"

/* The same model without factors, W + (alpha / rank) B A in the place of W (Hu et al. 2022, equation 3), summed in
 * double. The caller closes *merged and frees *merged_weights. */
SG_MUST_USE enum sg_status sg_lora_merge(const struct sg_model *model, const struct sg_ops *ops, const float *weights,
                                         struct sg_model **merged, float **merged_weights);
/* folder/adapter_config.json and adapter_model.safetensors: factors and head. Nothing where other weights learnt, too:
 * base and adapter would not be the model. */
SG_MUST_USE enum sg_status sg_lora_write(const char *folder, const struct sg_model *model, const float *weights);

#endif
