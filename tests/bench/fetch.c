/*
 * tests/bench/fetch.c - how fast the HTTP client takes bytes: GB/s and CPU seconds per GB.
 *
 *   fetch URL CONNECTIONS ROUNDS [SLOW_BYTES]
 *
 * One loop; the bytes are thrown away. With SLOW_BYTES each fetch pauses after every so many and
 * is resumed by a timer, as a slow reader would do. CPU is this process alone.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/fetch.h"
#include "base/mem.h"

#define CONNECTIONS_MAX 1024

struct reader {
    struct dt_fetch_opts opts;
    struct dt_fetch *fetch;
    struct dt_timer timer;
    uint64_t bytes, slow_bytes, next_pause;
    unsigned n_rounds;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned n_running;

static void reader_start(void *arg);

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    (void)arg;
    return head->status == 200;
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct reader *reader = arg;

    (void)bytes;
    if (reader->slow_bytes != 0 && reader->bytes >= reader->next_pause) {
        reader->next_pause = reader->bytes + reader->slow_bytes;
        dt_timer_set(&reader->timer, 0);
        return false;
    }
    reader->bytes += len;
    return true;
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct reader *reader = arg;

    if (err->code != 0) {
        fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
    if (--reader->n_rounds > 0) {
        reader_start(reader);
        return;
    }
    pthread_mutex_lock(&lock);
    n_running--;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_timer(void *arg)
{
    dt_fetch_resume(((struct reader *)arg)->fetch);
}

static void reader_start(void *arg)
{
    static const struct dt_fetch_ops ops = {on_head, on_data, on_done};
    struct reader *reader = arg;

    dt_timer_init(&reader->timer, dt_loop_current(), on_timer, reader);
    DT_ASSERT(dt_fetch_start(&reader->fetch, &reader->opts, &ops, reader, NULL) == 0);
}

static double cpu_s(void)
{
    struct rusage usage;

    DT_ASSERT(getrusage(RUSAGE_SELF, &usage) == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const struct reader *readers, unsigned n, uint64_t started_us, unsigned n_rounds)
{
    double seconds = (double)(dt_mono_us() - started_us) / 1e6, gb = 0;
    struct rusage usage;

    for (unsigned i = 0; i < n; i++)
        gb += (double)readers[i].bytes / 1e9;
    DT_ASSERT(getrusage(RUSAGE_SELF, &usage) == 0);
    printf("%.2f GB/s  %.3f CPU s/GB  %.0f fetches/s  %.0f us CPU per fetch  peak RSS %ld MiB\n",
           gb / seconds, gb > 0 ? cpu_s() / gb : 0, n * n_rounds / seconds,
           cpu_s() * 1e6 / (n * n_rounds), usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    static struct reader readers[CONNECTIONS_MAX];
    const struct dt_fetcher_opts opts = {.user_agent = "darter-bench"};
    struct dt_fetcher *fetcher;
    struct dt_loops *loops;
    uint64_t started_us;
    unsigned n, n_rounds;

    if (argc < 4) {
        fprintf(stderr, "usage: fetch URL CONNECTIONS ROUNDS [SLOW_BYTES]\n");
        return 2;
    }
    n = (unsigned)strtoul(argv[2], NULL, 10);
    n_rounds = (unsigned)strtoul(argv[3], NULL, 10);
    DT_ASSERT(n > 0 && n <= CONNECTIONS_MAX && n_rounds > 0);
    DT_ASSERT(dt_loops_new(&loops, 1, NULL) == 0);
    DT_ASSERT(dt_fetcher_new(&fetcher, loops, &opts, NULL) == 0);
    DT_ASSERT(dt_loops_start(loops, NULL) == 0);
    n_running = n;
    started_us = dt_mono_us();
    for (unsigned i = 0; i < n; i++) {
        readers[i].opts.url = argv[1];
        readers[i].n_rounds = n_rounds;
        readers[i].slow_bytes = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
        dt_loop_post(dt_loops_at(loops, 0), reader_start, &readers[i]);
    }
    pthread_mutex_lock(&lock);
    while (n_running > 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    report(readers, n, started_us, n_rounds);
    dt_loops_stop(loops);
    dt_fetcher_free(&fetcher);
    dt_loops_free(&loops);
    return 0;
}
