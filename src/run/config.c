#include "run/config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/yaml.h"
#include "config_parts.h"
#include "run/memory.h"

/* What the tables fill; text is borrowed from the document until it is copied into the configuration. */
struct draft {
    struct sg_config config;
    const char *run_name, *out_folder;
    const char *data_file, *schema_file, *dataset;
    int relation, sampler, clip_group;
    const char *noise_source;
    const char *ledger_file, *key_file, *unlock_file;
    const char *retention, *retain_until;
    const char *memory_limit;
};

static const char *const relations[] = {"add_or_remove_one", "replace_one", NULL};
static const char *const samplers[] = {"poisson", "truncated_poisson", "fixed_size", "full_batch", "shuffle", NULL};
static const char *const clip_groups[] = {"example", "microbatch", NULL};
static const char *const optimizers[] = {"sgd", "adam", NULL};
static const char *const schedules[] = {"constant", "linear", NULL};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define IN_DRAFT(member) offsetof(struct draft, member)
#define IN_CONFIG(member) offsetof(struct draft, config.member)

static const struct sg_yaml_field run_fields[] = {
    {"name", SG_YAML_TEXT, IN_DRAFT(run_name), false, 0, 0, NULL},
    {"out", SG_YAML_TEXT, IN_DRAFT(out_folder), false, 0, 0, NULL},
    {"heartbeat_s", SG_YAML_INT, IN_CONFIG(heartbeat_s), false, 60, 86400, NULL},
    {"heartbeat_steps", SG_YAML_INT, IN_CONFIG(heartbeat_steps), false, 1, 1e9, NULL},
    {"retention", SG_YAML_TEXT, IN_DRAFT(retention), false, 0, 0, NULL},
    {"retain_until", SG_YAML_TEXT, IN_DRAFT(retain_until), false, 0, 0, NULL},
};

static const struct sg_yaml_field data_fields[] = {
    {"file", SG_YAML_TEXT, IN_DRAFT(data_file), true, 0, 0, NULL},
    {"schema", SG_YAML_TEXT, IN_DRAFT(schema_file), true, 0, 0, NULL},
    {"dataset", SG_YAML_TEXT, IN_DRAFT(dataset), false, 0, 0, NULL},
};

static const struct sg_yaml_field privacy_fields[] = {
    {"neighboring_relation", SG_YAML_CHOICE, IN_DRAFT(relation), false, 0, 0, relations},
    {"sampler", SG_YAML_CHOICE, IN_DRAFT(sampler), false, 0, 0, samplers},
    {"clip_group", SG_YAML_CHOICE, IN_DRAFT(clip_group), false, 0, 0, clip_groups},
    {"noise_source", SG_YAML_TEXT, IN_DRAFT(noise_source), false, 0, 0, NULL},
    {"target_epsilon", SG_YAML_NUMBER, IN_CONFIG(plan.target_epsilon), false, 1e-6, 1000, NULL},
    {"target_delta", SG_YAML_NUMBER, IN_CONFIG(plan.target_delta), true, 1e-15, 0.1, NULL},
    {"noise_multiplier", SG_YAML_NUMBER, IN_CONFIG(plan.noise_multiplier), false, 0.05, 1e6, NULL},
    {"max_grad_norm", SG_YAML_NUMBER, IN_CONFIG(plan.max_grad_norm), true, 1e-6, 1e6, NULL},
    {"microbatch_size", SG_YAML_INT, IN_CONFIG(plan.microbatch_size), false, 1, 100000, NULL},
    {"n_panels", SG_YAML_INT, IN_CONFIG(plan.n_panels), false, 1, 100000000, NULL},
    {"mass_ratio_max", SG_YAML_NUMBER, IN_CONFIG(plan.mass_ratio_max), false, 1, 1e6, NULL},
};

static const struct sg_yaml_field training_fields[] = {
    {"expected_batch_size", SG_YAML_NUMBER, IN_CONFIG(plan.expected_batch_size), false, 1, 1e9, NULL},
    {"population_size", SG_YAML_INT, IN_CONFIG(plan.population_size), false, 1, 1e12, NULL},
    {"sample_rate", SG_YAML_NUMBER, IN_CONFIG(plan.sample_rate), false, 1e-9, 1, NULL},
    {"steps", SG_YAML_INT, IN_CONFIG(plan.steps), true, 1, 1e9, NULL},
    {"optimizer", SG_YAML_CHOICE, IN_CONFIG(training.optimizer), false, 0, 0, optimizers},
    {"learning_rate", SG_YAML_NUMBER, IN_CONFIG(training.learning_rate), true, 1e-9, 1e6, NULL},
    {"momentum", SG_YAML_NUMBER, IN_CONFIG(training.momentum), false, 0, 0.9999, NULL},
    {"beta1", SG_YAML_NUMBER, IN_CONFIG(training.beta1), false, 0, 0.9999, NULL},
    {"beta2", SG_YAML_NUMBER, IN_CONFIG(training.beta2), false, 0, 0.999999, NULL},
    {"adam_epsilon", SG_YAML_NUMBER, IN_CONFIG(training.adam_epsilon), false, 1e-15, 1, NULL},
    {"schedule", SG_YAML_CHOICE, IN_CONFIG(training.schedule), false, 0, 0, schedules},
    {"decay_start", SG_YAML_NUMBER, IN_CONFIG(training.decay_start), false, 0, 1, NULL},
    {"warmup_steps", SG_YAML_INT, IN_CONFIG(training.warmup_steps), false, 0, 1e9, NULL},
    {"average_decay", SG_YAML_NUMBER, IN_CONFIG(training.average_decay), false, 0, 0.99999, NULL},
    {"validation_points", SG_YAML_INT, IN_CONFIG(training.validation_points), false, 0, 50, NULL},
    {"public_seed", SG_YAML_INT, IN_CONFIG(training.public_seed), false, 0, 1e15, NULL},
};

static const struct sg_yaml_field memory_fields[] = {
    {"limit", SG_YAML_TEXT, IN_DRAFT(memory_limit), false, 0, 0, NULL},
    {"panels_at_once", SG_YAML_INT, IN_CONFIG(panels_at_once), false, 1, 1000000, NULL},
    {"recompute", SG_YAML_BOOL, IN_CONFIG(recompute), false, 0, 0, NULL},
};

static const struct sg_yaml_field ledger_fields[] = {
    {"file", SG_YAML_TEXT, IN_DRAFT(ledger_file), false, 0, 0, NULL},
    {"key", SG_YAML_TEXT, IN_DRAFT(key_file), false, 0, 0, NULL},
    {"unlock_file", SG_YAML_TEXT, IN_DRAFT(unlock_file), false, 0, 0, NULL},
};

char *sg_config_path(const char *config_path, const char *path)
{
    if (!path)
        return NULL;
    const char *slash = strrchr(config_path, '/');
    if (*path == '/' || !slash || strncmp(path, "pkcs11:", 7) == 0) /* a key in an HSM has no path */
        return sg_strdup(path);
    return sg_format("%.*s/%s", (int)(slash - config_path), config_path, path);
}

/* privacy is "none", said in words, or a map. */
static enum sg_status read_privacy(const struct sg_yaml_node *node, struct draft *draft)
{
    struct sg_plan_request *plan = &draft->config.plan;
    if (sg_yaml_kind_of(node) == SG_YAML_SCALAR) {
        const char *text;
        SG_TRY(sg_yaml_text(node, "privacy", &text));
        if (strcmp(text, "none") != 0)
            return sg_yaml_fail(node, "privacy is a map (target_epsilon, target_delta, max_grad_norm, ...) or \"none\"");
        plan->is_private = false;
        return SG_OK;
    }
    plan->is_private = true;
    SG_TRY(sg_yaml_table(node, "privacy", privacy_fields, COUNT(privacy_fields), draft));
    plan->relation = (enum sg_relation)draft->relation;
    plan->sampler = (enum sg_sampler)draft->sampler;
    plan->clip_group = (enum sg_clip_group)draft->clip_group;
    if ((plan->target_epsilon > 0) == (plan->noise_multiplier > 0))
        return sg_yaml_fail(node, "privacy: give one of target_epsilon and noise_multiplier");
    if (plan->clip_group == SG_CLIP_MICROBATCH && plan->microbatch_size < 2)
        return sg_yaml_fail(node, "privacy: clip_group microbatch needs microbatch_size, at least 2");
    if (plan->clip_group == SG_CLIP_EXAMPLE && plan->microbatch_size > 1)
        return sg_yaml_fail(node, "privacy: microbatch_size goes with clip_group: microbatch");
    return SG_OK;
}

/* How long the run's model may be kept goes into the record as it was written: it has to be a date. */
static enum sg_status check_run(const struct sg_yaml_node *node, const struct draft *draft)
{
    const char *date = draft->retain_until;
    int year = 0, month = 0, day = 0, used = 0;
    if (date && (sscanf(date, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3 || used != 10 || date[used] ||
                 year < 1970 || month < 1 || month > 12 || day < 1 || day > 31))
        return sg_yaml_fail(node, "run: retain_until is a date, YYYY-MM-DD");
    if (draft->retention && (!*draft->retention || strlen(draft->retention) > 127))
        return sg_yaml_fail(node, "run: retention is the name of a rule, 1 to 127 characters");
    return SG_OK;
}

static enum sg_status read_sections(const struct sg_yaml_node *root, const char *path, struct draft *draft)
{
    static const struct section {
        const char *key;
        const struct sg_yaml_field *fields;
        size_t n_fields;
        bool required;
    } sections[] = {
        {"run", run_fields, COUNT(run_fields), false},
        {"data", data_fields, COUNT(data_fields), true},
        {"training", training_fields, COUNT(training_fields), true},
        {"ledger", ledger_fields, COUNT(ledger_fields), false},
        {"memory", memory_fields, COUNT(memory_fields), false},
    };
    enum { MEMORY = COUNT(sections) - 1, MODEL, PRIVACY, N_NODES };
    const struct sg_yaml_node *nodes[N_NODES] = {0};
    struct sg_yaml_field top[N_NODES];
    for (size_t i = 0; i < COUNT(sections); i++)
        top[i] = (struct sg_yaml_field){sections[i].key, SG_YAML_NODE, i * sizeof *nodes, sections[i].required, 0, 0, NULL};
    top[MODEL] = (struct sg_yaml_field){"model", SG_YAML_NODE, MODEL * sizeof *nodes, true, 0, 0, NULL};
    top[PRIVACY] = (struct sg_yaml_field){"privacy", SG_YAML_NODE, PRIVACY * sizeof *nodes, true, 0, 0, NULL};
    SG_TRY(sg_yaml_table(root, "the configuration", top, COUNT(top), nodes));
    for (size_t i = 0; i < COUNT(sections); i++)
        if (nodes[i])
            SG_TRY(sg_yaml_table(nodes[i], sections[i].key, sections[i].fields, sections[i].n_fields, draft));
    if (nodes[0])
        SG_TRY(check_run(nodes[0], draft));
    if (draft->memory_limit && !sg_memory_parse(draft->memory_limit, &draft->config.memory_limit))
        return sg_yaml_fail(nodes[MEMORY], "memory: limit is a number of bytes, such as 2GiB or 500MB");
    SG_TRY(read_privacy(nodes[PRIVACY], draft));
    return sg_config_read_model(nodes[MODEL], path, &draft->config);
}

/* The configuration for the record: everything but paths and what changes no bit. */
static json_t *record_of(const struct sg_yaml_node *root)
{
    json_t *record = sg_yaml_to_json(root);
    json_object_del(record, "ledger");
    json_object_del(record, "memory");
    static const char *const paths[][2] = {{"run", "out"}, {"data", "file"}, {"data", "schema"}, {"model", "base"}};
    for (size_t i = 0; i < COUNT(paths); i++)
        json_object_del(json_object_get(record, paths[i][0]), paths[i][1]);
    return record;
}

static const struct sg_config defaults = {
    .plan = {.microbatch_size = 1},
    .heartbeat_s = 3600,
    .training = {.momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .adam_epsilon = 1e-8, .decay_start = 0.5, .public_seed = 1},
};

enum sg_status sg_config_read(const char *path, struct sg_config **out)
{
    *out = NULL;
    struct sg_yaml *document;
    SG_TRY(sg_yaml_read(path, "configuration", &document));
    struct sg_config *config = sg_alloc(1, sizeof *config);
    struct draft draft = {.config = defaults};
    enum sg_status status = read_sections(sg_yaml_root(document), path, &draft);
    *config = draft.config;
    if (status == SG_OK) {
        config->path = sg_strdup(path);
        config->run_name = draft.run_name ? sg_strdup(draft.run_name) : NULL;
        config->dataset = draft.dataset ? sg_strdup(draft.dataset) : NULL;
        config->noise_source = draft.noise_source ? sg_strdup(draft.noise_source) : NULL;
        config->out_folder = sg_config_path(path, draft.out_folder);
        config->data_file = sg_config_path(path, draft.data_file);
        config->schema_file = sg_config_path(path, draft.schema_file);
        config->ledger_file = sg_config_path(path, draft.ledger_file);
        config->key_file = sg_config_path(path, draft.key_file);
        config->unlock_file = sg_config_path(path, draft.unlock_file);
        config->record = record_of(sg_yaml_root(document));
    }
    sg_yaml_close(&document);
    if (status != SG_OK)
        sg_config_close(&config);
    *out = config;
    return status;
}

void sg_config_close(struct sg_config **config)
{
    struct sg_config *c = *config;
    if (!c)
        return;
    char *owned[] = {c->path,        c->run_name,   c->data_file,   c->schema_file, c->dataset,   c->base_folder,
                     c->noise_source, c->ledger_file, c->key_file, c->unlock_file, c->out_folder};
    for (size_t i = 0; i < COUNT(owned); i++)
        free(owned[i]);
    for (size_t i = 0; i < c->n_trainable; i++)
        free((char *)c->trainable[i]);
    json_decref(c->record);
    free(c);
    *config = NULL;
}
