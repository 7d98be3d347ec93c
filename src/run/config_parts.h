/* What the files that read a configuration share. */
#ifndef SG_RUN_CONFIG_PARTS_H
#define SG_RUN_CONFIG_PARTS_H

#include "base/yaml.h"
#include "run/config.h"

/* A path of the file, relative to the file's folder, in new memory; NULL stays NULL. */
char *sg_config_path(const char *config_path, const char *path);

/* The model section. What is allocated in `config` is its owner's even when this fails. */
SG_MUST_USE enum sg_status sg_config_read_model(const struct sg_yaml_node *node, const char *config_path,
                                                struct sg_config *config);

#endif
