/* Poisson sampling by unit: who takes part in a step, in which panel and in which clip group.
 *
 * Unit i draws x, a 64-bit number that depends on the sampling key, the step and the unit's own id digest alone:
 *     step key = HMAC-SHA-256(sampling key, "step" || u64be(step))
 *     x        = the first 8 bytes, big-endian, of AES-256(step key; id digest)
 * With t = floor(q 2^64) it joins iff x < t; its panel is floor(x n_panels / t) and its clip group floor(x n_groups /
 * t). Within a panel, units ascend by (x, id digest). So removing a unit, or reordering the file, changes nothing about
 * any other unit, except through the public cap of a panel (accounted in the plan's delta). */
#ifndef SG_MECHANISM_SAMPLER_H
#define SG_MECHANISM_SAMPLER_H

#include <stdint.h>

#include "base/digest.h"
#include "base/status.h"

#define SG_ID_DIGEST_BYTES 16

/* From the plan: nothing here comes from the data. */
struct sg_sampler_rule {
    uint64_t threshold;          /* t = floor(q 2^64); 0 stands for 2^64: everybody joins */
    int64_t n_panels;            /* >= 1 */
    int64_t n_groups;            /* 0: every unit is its own clip group; else a multiple of n_panels */
    int64_t units_per_panel_max; /* >= 1; units beyond it contribute nothing */
};

/* One step's draw. Zero-initialise before its first use and hand it in again at each step: it grows and is never
 * shrunk. Secret like the sampling key: sg_sample_free wipes it. */
struct sg_sample {
    int64_t n_units;
    int32_t *unit;        /* (n_units) index into the data set, in panel order */
    int64_t n_panels;     /* the rule's; empty panels are there too */
    int32_t *panel_unit;  /* (n_panels + 1) position in unit[] where each panel begins */
    int64_t n_groups;     /* nonempty clip groups */
    int32_t *group_unit;  /* (n_groups + 1) position in unit[] where each group begins */
    int32_t *panel_group; /* (n_panels + 1) first group of each panel */
    int64_t n_over;       /* units that drew into a full panel and were left out */
    int64_t unit_capacity, panel_capacity;
};

struct sg_unit_sampler;

SG_MUST_USE enum sg_status sg_sampler_open(const uint8_t sampling_key[SG_KEY_BYTES], struct sg_unit_sampler **out);
void sg_sampler_close(struct sg_unit_sampler **sampler); /* wipes */

/* Draws step `step` over n_units_total units (at most 2^31 - 1), whose digests are distinct. No unit at all is an
 * ordinary draw. Not for two threads at once on one sampler. SG_FAILED when the cipher is not available. */
SG_MUST_USE enum sg_status sg_sampler_draw(struct sg_unit_sampler *sampler, uint64_t step,
                                           const struct sg_sampler_rule *rule,
                                           const uint8_t (*id_digest)[SG_ID_DIGEST_BYTES], int64_t n_units_total,
                                           struct sg_sample *sample);
void sg_sample_free(struct sg_sample *sample); /* wipes */

#endif
