/*
 * supernode/node_ban.c - what an operator said about a node by name: banned, limits of its own.
 *
 * Rules live on loop 0. Bans are written to notes of the cache, a line "name<TAB>reason" each, as
 * many notes as they need, and read when we start: a bad node stays out when we are restarted.
 * Limits live as long as the process.
 */
#define LOG_COMPONENT "node"
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "supernode/node_priv.h"

#define BAN_NOTE_KEY_MAX 32
#define BAN_NOTES_MAX    128u /* more than SUPERNODE_BANS_MAX lines need */
#define BAN_LINE_MAX     (WIRE_NAME_MAX + NODE_REASON_MAX + 2)

struct node_rule *supernode_node_rule(struct supernode *supernode, const char *name)
{
    struct node_rule *rule = NULL;
    HASH_FIND_STR(supernode->nodes->rules, name, rule);
    return rule;
}

static struct node_rule *rule_for(struct supernode *supernode, const char *name)
{
    struct node_rule *rule = supernode_node_rule(supernode, name);
    if (rule != NULL)
        return rule;
    rule = dt_new(struct node_rule);
    (void)snprintf(rule->name, sizeof(rule->name), "%s", name); /* it is valid, so it fits */
    rule->up_limit = rule->down_limit = UINT64_MAX;
    HASH_ADD_STR(supernode->nodes->rules, name, rule);
    return rule;
}

static bool has_limits(const struct node_rule *rule)
{
    return rule->up_limit != UINT64_MAX || rule->down_limit != UINT64_MAX;
}

static void drop_if_empty(struct supernode *supernode, struct node_rule *rule)
{
    if (rule->is_banned || has_limits(rule))
        return;
    HASH_DEL(supernode->nodes->rules, rule);
    free(rule);
}

void supernode_node_rules_free(struct supernode *supernode)
{
    struct node_rule *rule, *next;
    HASH_ITER (hh, supernode->nodes->rules, rule, next) {
        HASH_DEL(supernode->nodes->rules, rule);
        free(rule);
    }
}

static void set_banned(struct supernode *supernode, struct node_rule *rule, bool is_banned)
{
    if (rule->is_banned != is_banned) {
        atomic_fetch_add(&supernode->nodes->n_banned, is_banned ? 1 : (uint64_t)-1);
        supernode->nodes->n_banned_rules += is_banned ? 1 : (uint32_t)-1;
    }
    rule->is_banned = is_banned;
    supernode_tasks_set_banned(supernode, rule->name, is_banned);
}

/* ---- across a restart ---- */

static void note_key(char out[BAN_NOTE_KEY_MAX], unsigned index)
{
    (void)snprintf(out, BAN_NOTE_KEY_MAX, "supernode-bans/%u", index); /* fits */
}

static void save_bans(struct supernode *supernode)
{
    struct node_rule *rule, *next;
    struct dt_text text = {0};
    char key[BAN_NOTE_KEY_MAX];
    unsigned n = 0;
    HASH_ITER (hh, supernode->nodes->rules, rule, next) {
        if (!rule->is_banned)
            continue;
        if (text.len + BAN_LINE_MAX >= CACHE_NOTE_MAX) {
            note_key(key, n++);
            cache_note_put(supernode->transfer.cache, key, dt_text_str(&text));
            dt_text_clear(&text);
        }
        dt_text_addf(&text, "%s\t%s\n", rule->name, rule->reason);
    }
    note_key(key, n++);
    cache_note_put(supernode->transfer.cache, key, dt_text_str(&text));
    if (text.len > 0) { /* the list ends with an empty note */
        note_key(key, n);
        cache_note_put(supernode->transfer.cache, key, "");
    }
    dt_text_fini(&text);
}

static void load_line(struct supernode *supernode, char *line)
{
    char *tab = strchr(line, '\t');
    if (tab == NULL)
        return;
    *tab = '\0';
    if (!wire_name_is_valid(line))
        return;
    struct node_rule *rule = rule_for(supernode, line);
    (void)snprintf(rule->reason, sizeof(rule->reason), "%s", tab + 1); /* cut when it was longer */
    set_banned(supernode, rule, true);
}

void supernode_node_rules_load(struct supernode *supernode)
{
    for (unsigned i = 0; i < BAN_NOTES_MAX; i++) {
        char key[BAN_NOTE_KEY_MAX], *note = NULL;
        struct dt_err err = {0};
        note_key(key, i);
        if (cache_note_get(&note, supernode->transfer.cache, key, &err) < 0)
            return; /* none */
        bool is_end = note[0] == '\0';
        for (char *line = note, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            load_line(supernode, line);
        }
        free(note);
        if (is_end)
            return;
    }
}

/* ---- what the operator says ---- */

struct rule_call {
    struct supernode *supernode;
    struct dt_loop *asker;
    char name[WIRE_NAME_MAX + 2]; /* one more: a name that is too long stays invalid */
    char reason[NODE_REASON_MAX];
    uint64_t up_limit, down_limit;
    supernode_done_f done;
    void *arg;
    struct dt_err err;
};

static void call_back(void *arg)
{
    struct rule_call *call = arg;
    call->done(call->arg, &call->err);
    free(call);
}

static void finish(struct rule_call *call)
{
    dt_loop_post(call->asker, call_back, call);
}

static struct rule_call *new_call(struct supernode *supernode, const char *name,
                                  supernode_done_f done, void *arg)
{
    struct rule_call *call = dt_new(struct rule_call);
    call->supernode = supernode;
    call->asker = dt_loop_current();
    (void)snprintf(call->name, sizeof(call->name), "%s", name); /* cut: then it is not valid */
    call->done = done;
    call->arg = arg;
    return call;
}

static void send(struct rule_call *call, dt_loop_f fn)
{
    dt_loop_post(dt_loops_at(call->supernode->transfer.loops, 0), fn, call);
}

/* A reason is a line of a note: what would end the line or the field is replaced. */
static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20)
            *text = ' ';
}

static void on_ban(void *arg)
{
    struct rule_call *call = arg;
    struct supernode *supernode = call->supernode;
    const struct node_rule *known = supernode_node_rule(supernode, call->name);
    if (!wire_name_is_valid(call->name)) {
        (void)dt_err_set(&call->err, DT_EINVAL, "%s is no name of a node", call->name);
    } else if ((known == NULL || !known->is_banned) &&
               supernode->nodes->n_banned_rules >= SUPERNODE_BANS_MAX) {
        (void)dt_err_set(&call->err, DT_EBUSY, "no more than %u bans", SUPERNODE_BANS_MAX);
    } else {
        struct node_rule *rule = rule_for(supernode, call->name);
        memcpy(rule->reason, call->reason, sizeof(rule->reason));
        set_banned(supernode, rule, true);
        save_bans(supernode);
        dt_log_warn("node_banned", "node=%s reason=%s", DT_LOG_Q(rule->name),
                    DT_LOG_Q(rule->reason));
    }
    finish(call);
}

void supernode_node_ban(struct supernode *supernode, const char *name, const char *reason,
                        supernode_done_f done, void *arg)
{
    struct rule_call *call = new_call(supernode, name, done, arg);
    (void)snprintf(call->reason, sizeof(call->reason), "%s", reason != NULL ? reason : "");
    clean(call->reason);
    send(call, on_ban);
}

static void on_unban(void *arg)
{
    struct rule_call *call = arg;
    struct supernode *supernode = call->supernode;
    struct node_rule *rule = supernode_node_rule(supernode, call->name);
    if (rule == NULL || !rule->is_banned) {
        (void)dt_err_set(&call->err, DT_ENOTFOUND, "%s is not banned", call->name);
    } else {
        set_banned(supernode, rule, false);
        dt_log_info("node_unbanned", "node=%s", DT_LOG_Q(rule->name));
        drop_if_empty(supernode, rule);
        save_bans(supernode);
    }
    finish(call);
}

void supernode_node_unban(struct supernode *supernode, const char *name, supernode_done_f done,
                          void *arg)
{
    send(new_call(supernode, name, done, arg), on_unban);
}

static void on_limits(void *arg)
{
    struct rule_call *call = arg;
    struct supernode *supernode = call->supernode;
    struct node_rule *known = supernode_node_rule(supernode, call->name);
    bool had = known != NULL && has_limits(known);
    if (!wire_name_is_valid(call->name)) {
        (void)dt_err_set(&call->err, DT_EINVAL, "%s is no name of a node", call->name);
    } else if (!had && supernode->nodes->n_limit_rules >= SUPERNODE_NODE_LIMITS_MAX) {
        (void)dt_err_set(&call->err, DT_EBUSY, "no more than %u nodes with limits of their own",
                         SUPERNODE_NODE_LIMITS_MAX);
    } else {
        struct node_rule *rule = rule_for(supernode, call->name);
        rule->up_limit = call->up_limit;
        rule->down_limit = call->down_limit;
        supernode->nodes->n_limit_rules += (uint32_t)has_limits(rule) - (uint32_t)had;
        drop_if_empty(supernode, rule);
    }
    finish(call);
}

void supernode_node_set_limits(struct supernode *supernode, const char *name, uint64_t up_bytes_s,
                               uint64_t down_bytes_s, supernode_done_f done, void *arg)
{
    struct rule_call *call = new_call(supernode, name, done, arg);
    call->up_limit = up_bytes_s;
    call->down_limit = down_bytes_s;
    send(call, on_limits);
}
