#include "log_batch.h"

#include <immintrin.h>
#include <sleef.h>

void log_batch_add(struct log_batch *batch, double value, double divide, float *out)
{
    if (batch->n == LOG_BATCH)
        log_batch_flush(batch);
    batch->value[batch->n] = value;
    batch->divide[batch->n] = divide;
    batch->out[batch->n++] = out;
}

void log_batch_flush(struct log_batch *batch)
{
    int n = batch->n;
    for (int i = n; i % 4; i++) /* n <= 256, a multiple of 4: room for these */
        batch->value[i] = batch->divide[i] = 1;
    for (int i = 0; i < n; i += 4) {
        double result[4];
        __m256d log = Sleef_finz_logd4_u10avx2(_mm256_loadu_pd(batch->value + i));
        _mm256_storeu_pd(result, _mm256_div_pd(log, _mm256_loadu_pd(batch->divide + i)));
        for (int k = 0; k < 4 && i + k < n; k++)
            *batch->out[i + k] = (float)result[k];
    }
    batch->n = 0;
}
