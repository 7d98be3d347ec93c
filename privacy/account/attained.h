/* From below: data sets that some attacker can choose, and what he then learns for certain.
 *
 * Where the accountant's dominating pair is a bound of the mechanism and not a pair of data sets, its own lower bound
 * would say how exact the arithmetic is and look like a statement about privacy. There the history is exchanged for one
 * whose pair the sampler does attain: everybody's gradient but the victim's is zero. docs/accounting.md, section 1. */
#ifndef SG_ACCOUNT_ATTAINED_H
#define SG_ACCOUNT_ATTAINED_H

#include <stdbool.h>

#include "account/account.h"

enum { SG_ATTAINED_MAX = 2 };

/* Histories whose exact losses the given one attains, so that each one's lower bounds hold for it too. */
struct sg_attained {
    int n;
    struct sg_history history[SG_ATTAINED_MAX];
    struct sg_phase *phases; /* theirs, one block */
};

/* Is the history's dominating pair a pair of data sets? Then its own lower bounds stand, and nothing here is needed. */
bool sg_history_is_attained(const struct sg_history *history);
/* For a checked history that is not. None may be found: out->n is 0. Close it also after failure. */
SG_MUST_USE enum sg_status sg_attained_make(const struct sg_history *history, struct sg_attained *out);
void sg_attained_close(struct sg_attained *attained);

/* sg_account_epsilon for the dominating pair alone, so that the lower bound is only how exact the arithmetic is where
 * the pair is not attained. For a checked delta. */
SG_MUST_USE enum sg_status sg_account_by_pair(const struct sg_history *history, double delta, struct sg_epsilon *out);

/* Batches of an epoch under shuffling, from the rate: cut with or without the last, shorter one. */
struct sg_epoch {
    double batches_min, batches_max;
};
struct sg_epoch sg_epoch_of(double sample_rate);
/* Epochs that `steps` steps touch, at most; the first phase of a history begins with an epoch, the others anywhere. */
double sg_epochs_touched(double sample_rate, double steps, bool is_first);

#endif
