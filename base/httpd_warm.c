/*
 * base/httpd_warm.c - what the requests of one loop know together about files in memory.
 *
 *   unknown -> (mincore said so) known for HTTPD_WARM_MS -> unknown
 *
 * mincore() looks at every page: a sixth of what sending the same bytes costs. When many clients
 * take one blob, one of them asks and the others believe it for a moment; the page cache does not
 * drop in a moment what has just been sent. A table of fixed size, one range for each window of a
 * file, a newcomer takes the place of whoever was there: forgetting costs a question. The clock is
 * an argument; touched on its loop only.
 */
#include "base/httpd_priv.h"

struct httpd_warm *httpd_warm_new(void)
{
    return dt_new(struct httpd_warm);
}

static struct httpd_warm_range *range_at(struct httpd_warm *warm, const struct httpd_file *file,
                                         uint64_t off)
{
    /* An odd constant spreads neighbours (multiplicative hashing); files are our own, nobody
     * chooses their numbers. */
    uint64_t key = (file->ino + off / HTTPD_WARM_WINDOW) * 0x9e3779b97f4a7c15ULL;

    return &warm->ranges[(key >> 32) % HTTPD_WARM_RANGES];
}

static bool is_known(const struct httpd_warm_range *range, const struct httpd_file *file,
                     uint64_t off, uint64_t now_ms)
{
    return range->file.ino == file->ino && range->file.dev == file->dev && off >= range->off &&
           off < range->end && now_ms < range->until_ms;
}

uint64_t httpd_warm_end(struct httpd_warm *warm, const struct httpd_file *file, uint64_t off,
                        uint64_t now_ms)
{
    const struct httpd_warm_range *range = range_at(warm, file, off);

    return is_known(range, file, off, now_ms) ? range->end : off;
}

void httpd_warm_note(struct httpd_warm *warm, const struct httpd_file *file, uint64_t off,
                     uint64_t end, uint64_t now_ms)
{
    struct httpd_warm_range *range = range_at(warm, file, off);

    DT_ASSERT(off < end && (end - 1) / HTTPD_WARM_WINDOW == off / HTTPD_WARM_WINDOW);
    /* The next part of what is known: it grows, and expires as its oldest part does. */
    if (off > 0 && range->end == off && is_known(range, file, off - 1, now_ms)) {
        range->end = end;
        return;
    }
    *range = (struct httpd_warm_range){
        .file = *file, .off = off, .end = end, .until_ms = now_ms + HTTPD_WARM_MS};
}
