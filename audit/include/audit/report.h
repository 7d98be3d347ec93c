/* One page for a person: verdict first, then what was done, at which cost in privacy, on what data, and where it is
 * signed. */
#ifndef SG_AUDIT_REPORT_H
#define SG_AUDIT_REPORT_H

#include "audit/verify.h"

/* `subject`: a run (id or number), a model (SHA-256 of its file), a dataset, a population, or NULL for the whole
 * ledger. `verdict` is what verify said of this very file. SG_USAGE when there is no such subject. */
SG_MUST_USE enum sg_status sg_report_html(struct sg_ledger *ledger, const struct sg_verdict *verdict,
                                          const char *subject, struct sg_buffer *out);

#endif
