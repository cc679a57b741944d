/*
 * transfer/option_checks.c - what a single value cannot show wrong, for options of both daemons.
 *
 * Each complaint begins with the option's name and says what would be right. Main thread only.
 */
#include "transfer/option_checks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/http.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/wire/wire.h"
#include "cache/pieces.h"

#define HOUR_MS (3600 * 1000ULL)

int transfer_check_range(const char *name, uint64_t value, uint64_t min, uint64_t max,
                         struct dt_err *err)
{
    if (value >= min && value <= max)
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "%s: %" PRIu64 " is out of bounds, use %" PRIu64 " to %" PRIu64, name, value,
                      min, max);
}

/* So little would never bring a blob in (nodes count it as the least); and whoever writes 100 means
 * 100 MiB. */
#define LIMIT_MIN_BYTES (64 * 1024u)
#define LIMIT_MAX_BYTES (1ULL << 40)
int transfer_check_limit(const char *name, uint64_t bytes, struct dt_err *err)
{
    if (bytes == 0 || (bytes >= LIMIT_MIN_BYTES && bytes <= LIMIT_MAX_BYTES))
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "%s: %" PRIu64
                      " bytes per second are too %s, use 64KiB to 1TiB, or 0B for no "
                      "limit",
                      name, bytes, bytes < LIMIT_MIN_BYTES ? "few" : "many");
}

int transfer_check_duration(const char *name, uint64_t ms, uint64_t min_ms, uint64_t max_ms,
                            struct dt_err *err)
{
    if (ms >= min_ms && ms <= max_ms)
        return 0;
    char is[24], min[24], max[24];
    return dt_err_set(err, DT_EINVAL, "%s: %s is out of bounds, use %s to %s", name,
                      dt_duration_format(is, ms), dt_duration_format(min, min_ms),
                      dt_duration_format(max, max_ms));
}

int transfer_check_sources(const struct transfer_options *options, struct dt_err *err)
{
    int rc = transfer_check_range("streams-per-blob", options->streams_per_blob, 1,
                                  TRANSFER_STREAMS_MAX, err);
    if (rc == 0)
        rc = transfer_check_range("segment (bytes)", options->segment_bytes, CACHE_PIECE_SIZE_MAX,
                                  CACHE_BLOB_SIZE_MAX, err);
    if (rc == 0)
        rc = transfer_check_duration("head-deadline", options->head_deadline_ms, 100, HOUR_MS, err);
    if (rc == 0)
        rc = transfer_check_duration("stall-timeout", options->stall_timeout_ms, 100, HOUR_MS, err);
    return rc;
}

int transfer_check_address(struct dt_addr *out, const char *name, const char *text,
                           struct dt_err *err)
{
    struct dt_err why = {0};
    if (dt_addr_parse(out, text, &why) < 0)
        return dt_err_set(err, DT_EINVAL, "%s: %.200s", name, why.msg);
    return 0;
}

int transfer_check_name(const char *option, const char *name, struct dt_err *err)
{
    if (name == NULL || wire_name_is_valid(name))
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "%s: \"%.80s\" is no name, use letters, digits, \".\", \"_\" and \"-\", "
                      "%d at most",
                      option, name, WIRE_NAME_MAX);
}

/* A path would be taken for a part of ours, and two spellings of one place for two places. */
static int check_place(const char *option, struct dt_strings *urls, size_t index,
                       struct dt_err *err)
{
    struct dt_url url = {0};
    struct dt_err why = {0};
    char origin[300];
    const char *text = urls->items[index];
    if (dt_url_parse(&url, text, &why) < 0)
        return dt_err_set(err, DT_EINVAL, "%s: %.200s", option, why.msg);
    bool has_path = strcmp(url.path, "/") != 0;
    (void)dt_url_origin(origin, &url);
    dt_url_fini(&url);
    if (has_path)
        return dt_err_set(err, DT_EINVAL,
                          "%s: \"%.120s\" has a path, use http://HOST:PORT or https://HOST:PORT",
                          option, text);
    for (size_t i = 0; i < index; i++)
        if (strcmp(urls->items[i], origin) == 0)
            return dt_err_set(err, DT_EINVAL, "%s: %.120s is named twice", option, origin);
    free(urls->items[index]);
    urls->items[index] = dt_strdup(origin);
    return 0;
}

int transfer_check_places(const char *option, struct dt_strings *urls, struct dt_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < urls->n; i++)
        rc = check_place(option, urls, i, err);
    return rc;
}

int transfer_check_required(const struct transfer_required *required, size_t n, struct dt_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (required[i].value == NULL)
            return dt_err_set(err, DT_EINVAL, "%s: needs a value", required[i].name);
    return 0;
}

char *transfer_default_name(const char *other)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) < 0 || !wire_name_is_valid(host))
        return dt_strdup(other);
    return dt_strdup(host);
}
