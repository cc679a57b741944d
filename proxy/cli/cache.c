/*
 * proxy/cli/cache.c - `darter cache ...`: look into the cache and change it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "proxy/cli/cli.h"

/* ---- ls ---- */

static char *first_page(const struct cli *cli)
{
    struct dt_text path = {0};
    const char *const keys[] = {"state", "upstream", "repository"};
    const char *const values[] = {cli->state, cli->upstream, cli->repository};
    dt_text_add(&path, "/v1/cache?limit=1000");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (values[i] == NULL)
            continue;
        char *escaped = dt_percent_encode(values[i]);
        dt_text_addf(&path, "&%s=%s", keys[i], escaped);
        free(escaped);
    }
    if (cli->is_pinned_only)
        dt_text_add(&path, "&pinned=true");
    return dt_text_take(&path);
}

/* All pages as one array. */
static int list_all(json_t **out, const struct cli *cli, struct dt_err *err)
{
    char *first = first_page(cli), *path = dt_strdup(first);
    json_t *blobs = json_array();
    int rc = 0;
    while (rc == 0 && path != NULL) {
        json_t *page = NULL;
        rc = cli_ask(&page, cli, "GET", path, err);
        dt_free(&path);
        if (rc < 0)
            break;
        (void)json_array_extend(blobs, json_object_get(page, "blobs"));
        const char *next = cli_string(page, "next");
        if (next != NULL)
            path = dt_asprintf("%s&after=%s", first, next);
        json_decref(page);
    }
    free(first);
    free(path);
    if (rc == 0)
        *out = blobs;
    else
        json_decref(blobs);
    return rc;
}

static void add_row(struct cli_table *table, const json_t *blob)
{
    char text[24], digest[16];
    const char *name = cli_string(blob, "digest"), *media_type = cli_string(blob, "media_type");
    cli_table_add(table, cli_short_digest(digest, name != NULL ? name : "?"));
    cli_table_add(table, cli_string(blob, "state"));
    cli_table_add_size(table, cli_number(blob, "size"));
    cli_table_add_size(table, cli_number(blob, "present_bytes"));
    cli_table_add_number(table, cli_number(blob, "hits"));
    cli_table_add(table, cli_short_time(text, cli_string(blob, "used")));
    cli_table_add(table, json_is_true(json_object_get(blob, "pinned")) ? "pinned" : "");
    cli_table_add(table, media_type != NULL ? media_type : cli_string(blob, "kind"));
}

static void draw_blobs(struct dt_text *out, const json_t *blobs)
{
    static const char *const titles[] = {"DIGEST", "STATE", "SIZE", "HERE",
                                         "HITS",   "USED",  "PIN",  "KIND"};
    struct cli_table table;
    json_t *blob;
    size_t i;
    cli_table_init(&table, "llrrrlll", titles);
    json_array_foreach(blobs, i, blob)
    {
        add_row(&table, blob);
    }
    cli_table_draw(&table, out);
}

int cli_cache_ls(struct cli *cli)
{
    struct dt_err err = {0};
    json_t *blobs = NULL;
    if (list_all(&blobs, cli, &err) < 0)
        return cli_report(&err);
    return cli_show(cli, blobs, draw_blobs);
}

/* ---- one blob ---- */

static int ask_about(json_t **out, const struct cli *cli, const char *method, const char *word,
                     const char *suffix, struct dt_err *err)
{
    char digest[144], path[200];
    int rc = cli_find_digest(digest, cli, word, err);
    if (rc < 0)
        return rc;
    (void)dt_text_print(path, sizeof path, "/v1/cache/%s%s", digest, suffix);
    rc = cli_ask(out, cli, method, path, err);
    if (rc == -DT_ECONFLICT || rc == -DT_ENOTFOUND || rc == -DT_EPROTO) { /* which of several */
        struct dt_err why = *err;
        rc = dt_err_set(err, why.code, "%.80s: %.150s", word, why.msg);
    }
    return rc;
}

static void add_line(struct dt_text *out, const char *title, const char *value)
{
    char *safe = cli_safe_text(value != NULL ? value : "-");
    dt_text_addf(out, "%-13s %s\n", title, safe);
    free(safe);
}

static void add_size_line(struct dt_text *out, const char *title, uint64_t bytes)
{
    char size[24], text[64];
    (void)dt_size_format(size, bytes);
    if (bytes < 1024) /* "0 B" says it all */
        (void)dt_text_print(text, sizeof text, "%s", size);
    else
        (void)dt_text_print(text, sizeof text, "%s (%" PRIu64 " bytes)", size, bytes);
    add_line(out, title, text);
}

static void add_number_line(struct dt_text *out, const char *title, uint64_t number)
{
    char text[24];
    (void)dt_text_print(text, sizeof text, "%" PRIu64, number);
    add_line(out, title, text);
}

static void draw_blob(struct dt_text *out, const json_t *blob)
{
    char text[64];
    size_t i;
    json_t *name, *pieces = json_object_get(blob, "pieces");
    const char *kind = cli_string(blob, "kind"), *media_type = cli_string(blob, "media_type");
    add_line(out, "digest", cli_string(blob, "digest"));
    add_line(out, "state", cli_string(blob, "state"));
    add_line(out, "kind", media_type != NULL ? media_type : kind);
    add_size_line(out, "size", cli_number(blob, "size"));
    add_size_line(out, "here", cli_number(blob, "present_bytes"));
    add_line(out, "pinned", json_is_true(json_object_get(blob, "pinned")) ? "yes" : "no");
    add_number_line(out, "hits", cli_number(blob, "hits"));
    add_line(out, "created", cli_short_time(text, cli_string(blob, "created")));
    add_line(out, "used", cli_short_time(text, cli_string(blob, "used")));
    add_line(out, "verified", cli_short_time(text, cli_string(blob, "verified")));
    if (pieces != NULL) {
        char size[24];
        (void)dt_text_print(text, sizeof text, "%" PRIu64 " of %" PRIu64 ", %s each",
                            cli_number(pieces, "present"), cli_number(pieces, "count"),
                            dt_size_format(size, cli_number(pieces, "size")));
        add_line(out, "pieces", text);
        add_line(out, "map", cli_string(pieces, "map"));
    }
    json_array_foreach(json_object_get(blob, "repositories"), i, name)
    {
        add_line(out, i == 0 ? "repositories" : "", json_string_value(name));
    }
}

int cli_cache_show(struct cli *cli)
{
    struct dt_err err = {0};
    json_t *blob = NULL;
    if (ask_about(&blob, cli, "GET", cli->words[0], "", &err) < 0)
        return cli_report(&err);
    return cli_show(cli, blob, draw_blob);
}

/* The same change to every word; goes on after a failure and tells the first one's exit code. */
static int change_each(struct cli *cli, const char *method, const char *suffix, const char *done)
{
    int exit_code = CLI_OK;
    for (size_t i = 0; i < cli->n_words; i++) {
        struct dt_err err = {0};
        json_t *answer = NULL;
        int code = CLI_OK;
        if (ask_about(&answer, cli, method, cli->words[i], suffix, &err) < 0)
            code = cli_report(&err);
        else if (!cli->is_json)
            (void)printf("%s %s\n", done, cli->words[i]);
        json_decref(answer);
        if (exit_code == CLI_OK)
            exit_code = code;
    }
    return exit_code;
}

int cli_cache_rm(struct cli *cli)
{
    return change_each(cli, "DELETE", "", "removed");
}

int cli_cache_pin(struct cli *cli)
{
    return change_each(cli, "PUT", "/pin", "pinned");
}

int cli_cache_unpin(struct cli *cli)
{
    return change_each(cli, "DELETE", "/pin", "unpinned");
}

/* ---- the whole ---- */

static void add_scrub(struct dt_text *out, const json_t *scrub)
{
    char text[24];
    bool is_running = json_is_true(json_object_get(scrub, "running"));
    const char *started = cli_string(scrub, "started");
    add_line(out, "scrub", is_running ? "running" : started != NULL ? "finished" : "never ran");
    add_number_line(out, "  checked", cli_number(scrub, "checked"));
    add_number_line(out, "  bad", cli_number(scrub, "bad"));
    add_line(out, "  started", cli_short_time(text, started));
    add_line(out, "  finished", cli_short_time(text, cli_string(scrub, "finished")));
}

int cli_cache_scrub(struct cli *cli)
{
    struct dt_err err = {0};
    json_t *scrub = NULL;
    char path[80] = "/v1/cache/scrub";
    const char *method = cli->is_stop ? "DELETE" : cli->is_status ? "GET" : "POST";
    if (cli->rate != NULL) {
        char *escaped = dt_percent_encode(cli->rate);
        (void)dt_text_print(path, sizeof path, "/v1/cache/scrub?rate=%.40s", escaped);
        free(escaped);
    }
    if (cli_ask(&scrub, cli, method, path, &err) < 0)
        return cli_report(&err);
    if (scrub != NULL)
        return cli_show(cli, scrub, add_scrub);
    if (!cli->is_json)
        (void)puts("scrub stopped");
    return CLI_OK;
}

static void draw_stats(struct dt_text *out, const json_t *document)
{
    char text[80], used[24], max[24];
    json_t *usage = json_object_get(document, "usage");
    json_t *statistics = json_object_get(document, "statistics");
    if (!json_is_true(json_object_get(usage, "usable")))
        add_line(out, "UNUSABLE", cli_string(usage, "reason"));
    uint64_t used_bytes = cli_number(usage, "used_bytes"),
             max_bytes = cli_number(usage, "max_bytes");
    (void)dt_text_print(text, sizeof text, "%s of %s ", dt_size_format(used, used_bytes),
                        dt_size_format(max, max_bytes));
    dt_text_addf(out, "%-13s %s", "used", text);
    cli_bar(out, 24, used_bytes, max_bytes);
    dt_text_add(out, "\n");
    add_size_line(out, "pinned", cli_number(usage, "pinned_bytes"));
    add_size_line(out, "disk free", cli_number(usage, "free_bytes"));
    add_size_line(out, "kept free", cli_number(usage, "min_free_bytes"));
    add_number_line(out, "blobs", cli_number(usage, "sealed"));
    add_number_line(out, "partial", cli_number(usage, "partial"));
    add_number_line(out, "objects", cli_number(usage, "objects"));
    add_number_line(out, "tags", cli_number(usage, "tags"));
    add_number_line(out, "hits", cli_number(statistics, "hits"));
    add_number_line(out, "misses", cli_number(statistics, "misses"));
    (void)dt_text_print(text, sizeof text, "%.1f %%",
                        100 * json_number_value(json_object_get(statistics, "hit_ratio")));
    add_line(out, "hit ratio", text);
    add_number_line(out, "evictions", cli_number(statistics, "evictions"));
    add_size_line(out, "evicted", cli_number(statistics, "evicted_bytes"));
    add_scrub(out, json_object_get(document, "scrub"));
}

int cli_cache_stats(struct cli *cli)
{
    struct dt_err err = {0};
    json_t *document = NULL;
    if (cli_ask(&document, cli, "GET", "/v1/cache?limit=0", &err) < 0)
        return cli_report(&err);
    (void)json_object_del(document, "blobs"); /* asked for none */
    (void)json_object_del(document, "next");
    return cli_show(cli, document, draw_stats);
}
