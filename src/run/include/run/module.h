/* Modules that are loaded when asked for: they stand beside the program or in its library folder. */
#ifndef SG_RUN_MODULE_H
#define SG_RUN_MODULE_H

#include "base/status.h"

/* Loads `file` for the rest of the process. *out is NULL with SG_OK where it is not installed; SG_FAILED, with the
 * loader's reason, where it is and cannot be loaded. */
SG_MUST_USE enum sg_status sg_module_load(const char *file, void **out);
/* The address of a symbol; SG_FAILED when the module lacks it. */
SG_MUST_USE enum sg_status sg_module_symbol(void *module, const char *file, const char *symbol, void **out);

#endif
