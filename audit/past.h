/* Rules that no table holds: what an event may say after those before it. The verifier feeds it every event; writers
 * feed it the events about one model before they append another. */
#ifndef SG_AUDIT_PAST_H
#define SG_AUDIT_PAST_H

#include "audit/leaf.h"

struct sg_past;
struct sg_past *sg_past_new(void);
void sg_past_free(struct sg_past **past);
/* Checks the event against what was remembered, and remembers it. SG_BROKEN with the rule that it breaks; it is
 * remembered as far as it can be all the same. */
SG_MUST_USE enum sg_status sg_past_event(struct sg_past *past, const struct sg_event *event);

/* The last sign of life of an open run; false when there was none. */
struct sg_last_beat {
    int64_t step, time_ms;
    bool is_lost; /* a later writer recorded that its process is gone */
    int64_t lost_leaf;
};
bool sg_past_last_beat(const struct sg_past *past, const char *run_id, struct sg_last_beat *out);

/* Whether an approval with that expiry (whole number, or null: never) holds at that time. */
bool sg_past_in_force(const json_t *expires_ms, int64_t time_ms);

#endif
