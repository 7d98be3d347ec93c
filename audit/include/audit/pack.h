/* Packs: for each provision of a rule book, what evidence the ledger holds (with its leaf) and what is missing. A pack
 * is a list to work from, not legal advice, and it says so. Provisions are paraphrased; the official text decides. */
#ifndef SG_AUDIT_PACK_H
#define SG_AUDIT_PACK_H

#include "audit/verify.h"

/* "annex-iv", "mrm" or "dora". */
bool sg_pack_exists(const char *name);
/* {pack, title, disclaimer, verdict, origin, events, root, model, run_id, counts: {present, partial, missing},
 * provisions:
 * [{number, title, asks, status, evidence: [{what, value, leaf}], missing: [text]}]}. `model`: the SHA-256 of a model
 * file, or its run by id or number; NULL: the one model that is in use (SG_USAGE when there is none, or more), except
 * for dora, which is then about the whole ledger. `verdict` is what verify said of this very file. */
SG_MUST_USE enum sg_status sg_pack_build(struct sg_ledger *ledger, const struct sg_verdict *verdict, const char *name,
                                         const char *model, json_t **out);
/* A built pack as Markdown, and as one self-contained page. */
void sg_pack_markdown(const json_t *pack, struct sg_buffer *out);
void sg_pack_html(const json_t *pack, struct sg_buffer *out);

#endif
