/* Each family of kernels puts its functions into the table. */
#ifndef SG_CUDA_TABLE_H
#define SG_CUDA_TABLE_H

#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The table of the card. Its ops may be called while a card is open (device.h); array arguments are device memory. */
const struct sg_ops *sg_ops_cuda(void);

void sg_cuda_fill_absorb(struct sg_ops *ops);
void sg_cuda_fill_attention(struct sg_ops *ops);
void sg_cuda_fill_attention_backward(struct sg_ops *ops);
void sg_cuda_fill_clip(struct sg_ops *ops);
void sg_cuda_fill_column_absorb(struct sg_ops *ops);
void sg_cuda_fill_column_norms(struct sg_ops *ops);
void sg_cuda_fill_elements(struct sg_ops *ops);
void sg_cuda_fill_gemm(struct sg_ops *ops);
void sg_cuda_fill_group_norm(struct sg_ops *ops);
void sg_cuda_fill_losses(struct sg_ops *ops);
void sg_cuda_fill_optimizer(struct sg_ops *ops);
void sg_cuda_fill_pool(struct sg_ops *ops);
void sg_cuda_fill_recurrent(struct sg_ops *ops);
void sg_cuda_fill_rows(struct sg_ops *ops);
void sg_cuda_fill_rows_norm(struct sg_ops *ops);

#ifdef __cplusplus
}
#endif
#endif
