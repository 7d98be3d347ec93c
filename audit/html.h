/* Pieces of a self-contained page: no script, no network, readable in print and in the dark. Inside audit only. */
#ifndef SG_AUDIT_HTML_H
#define SG_AUDIT_HTML_H

#include "base/json.h"

void sg_html_begin(struct sg_buffer *out, const char *title);
void sg_html_end(struct sg_buffer *out);
void sg_html_text(struct sg_buffer *out, const char *text); /* escaped */
void sg_html_heading(struct sg_buffer *out, const char *text);
/* <p>, printf'd and escaped as a whole. */
void sg_html_paragraph(struct sg_buffer *out, const char *format, ...) SG_PRINTF(2, 3);
/* The members of an object, one a line; `keys` (NULL-terminated, may be NULL) chooses and orders. Null reads "not
 * recorded". */
void sg_html_members(struct sg_buffer *out, const json_t *object, const char *const *keys);
/* A table of rows. Members named leaf or *_leaf become "leaf N"; digests are shortened, and listed in full below. */
void sg_html_rows(struct sg_buffer *out, const json_t *rows);

/* A paragraph about what is not there: "not recorded" must be as plain to see as what is. */
void sg_html_missing(struct sg_buffer *out, const char *text);

#endif
