/* Natural logarithms, collected and taken four at a time: SLEEF's deterministic entry point gives the same bits on
 * every CPU with FMA, and four together cost little more than one. Places that wait are written at the flush. */
#ifndef SG_DATA_LOG_BATCH_H
#define SG_DATA_LOG_BATCH_H

enum { LOG_BATCH = 256 };

/* Zero-initialise. */
struct log_batch {
    int n;
    double value[LOG_BATCH], divide[LOG_BATCH];
    float *out[LOG_BATCH];
};

/* *out becomes log(value) / divide, at the latest when the batch is flushed. value > 0. */
void log_batch_add(struct log_batch *batch, double value, double divide, float *out);
void log_batch_flush(struct log_batch *batch);

#endif
