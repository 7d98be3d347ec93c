/* About what a history costs, in a millisecond and without any certificate: where a search begins. */
#ifndef SG_ACCOUNT_GUESS_H
#define SG_ACCOUNT_GUESS_H

#include "account/account.h"

/* About the epsilon at delta, good to a few percent for many small losses and for few large ones, to a factor of two
 * between; NaN where the history is not valid. */
double sg_epsilon_guess(const struct sg_history *history, double delta);

#endif
