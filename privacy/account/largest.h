/* From below, in closed form: the attacker who asks whether any step's loss was above a level. Where losses are rare
 * that is nearly all there is to ask. */
#ifndef SG_ACCOUNT_LARGEST_H
#define SG_ACCOUNT_LARGEST_H

#include "composition.h"

/* A lower bound of the epsilon >= 0 at delta, seen in the direction in which the loss rises with x; `about` is where to
 * look, any upper bound. What is not an event, and events of several branches, count as not looked at. */
double sg_largest_loss_epsilon(const struct sg_composition *composition, double delta, double about);

#endif
