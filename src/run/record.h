/* Run facts for the ledger: what the record says of a run, from the objects that ran it. */
#ifndef SG_RUN_RECORD_H
#define SG_RUN_RECORD_H

#include "audit/ledger.h"
#include "run/trainer.h"

/* Resolved hyperparameters: model, optimizer, workers. The caller json_decrefs. */
json_t *sg_record_parameters(const struct sg_train_options *options, const struct sg_prepared *prepared);
/* The vocabulary's digest and how words are made of text: with the base model they decide what the numbers mean. */
json_t *sg_record_tokenizer(const struct sg_tokenizer *tokenizer);
/* {name: version} of the libraries whose code can change a result or the evidence. */
json_t *sg_record_libraries(void);
/* Metrics by split as the flat list that events hold: [{name, value, split, released}]. */
json_t *sg_record_metrics(const json_t *by_split);
/* What the event's "curves" hold: the scores' bins and the track, either may be NULL. NULL when there is nothing. */
json_t *sg_record_curves(const json_t *curves, const json_t *track);
/* SHA-256 of the running program, hexadecimal; "" when it cannot be read. */
void sg_record_binary_digest(char out[65]);

#endif
