/*
 * base/log.c - one event per line, written by one thread of its own.
 *
 *   any thread: format a line -> bounded queue -> writer thread: poll, write -> fd
 *
 *   direct (before start, after stop): the caller writes to stderr itself
 *   queued (between them):             the caller never waits for the file descriptor
 *
 * The queue holds LOG_QUEUE_MAX lines; what does not fit is counted, and the writer says how many
 * as soon as it gets on. The writer only writes what poll() promises not to block (POSIX: up to
 * PIPE_BUF bytes of a pipe), so a stuck reader of our stderr cannot stop dt_log_stop() for ever.
 *
 * Another output format: a value of enum dt_log_format, and a branch in dt_log_line().
 */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log_priv.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/units.h"

#define LOG_BODY_MAX         3072 /* of "key=value key=value", before escaping */
#define LOG_STOP_PATIENCE_MS 2000
#define LOG_POLL_MS          100
#define LOG_QUOTE_SLOTS      8
#define LOG_QUOTE_SIZE       1024

struct log_queue {
    char *lines[LOG_QUEUE_MAX]; /* owned; a ring, n from head */
    unsigned head;
    unsigned n;
    uint64_t n_dropped;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;   /* there is work, or an end */
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;   /* the writer holds no lines */
static struct log_queue queue;
static bool is_running;
static bool is_stopping;
static bool is_writing; /* the writer has taken lines out that are not on their way yet */

static pthread_t writer;
static int log_fd = STDERR_FILENO;
static _Atomic int log_level = DT_LOG_INFO;
static _Atomic int log_format = DT_LOG_KV;
static _Atomic uint64_t stop_deadline_ms; /* 0 = not stopping */

static __thread char thread_name[16] = "-";

static DT_DEFINE_COUNTER(dropped_lines, "darter_log_dropped_lines_total", NULL,
                         "Log lines dropped because the queue was full.");

static const char *const level_names[] = {
    [DT_LOG_ERROR] = "ERROR",
    [DT_LOG_WARN] = "WARN",
    [DT_LOG_INFO] = "INFO",
    [DT_LOG_DEBUG] = "DEBUG",
};
#define LEVEL_END (sizeof(level_names) / sizeof(level_names[0]))

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    DT_ASSERT(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the writer's side ---- */

/* At most PIPE_BUF bytes: one chunk that poll() can vouch for. Gives up on errors (nobody is left
 * to tell) and when `stop_deadline_ms` has passed. */
static void log_write(int fd, const char *text, size_t len)
{
    DT_ASSERT(len <= PIPE_BUF);
    while (len > 0) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        uint64_t deadline_ms = atomic_load(&stop_deadline_ms);
        bool is_too_late = deadline_ms != 0 && clock_ms(CLOCK_MONOTONIC) >= deadline_ms;
        int n_ready = poll(&ready, 1, is_too_late ? 0 : LOG_POLL_MS);
        if (n_ready == 0 && is_too_late)
            return;
        if (n_ready <= 0)
            continue;
        ssize_t n_written = write(fd, text, len);
        if (n_written < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (n_written > 0) {
            text += n_written;
            len -= (size_t)n_written;
        }
    }
}

/* Takes as many lines as fit one write. Returns the number of bytes; the lock is held. */
static size_t queue_take(char chunk[PIPE_BUF])
{
    size_t used = 0;
    while (queue.n > 0) {
        char *line = queue.lines[queue.head];
        size_t len = strlen(line);
        if (used + len > PIPE_BUF)
            break;
        memcpy(chunk + used, line, len);
        used += len;
        dt_free(&queue.lines[queue.head]);
        queue.head = (queue.head + 1) % LOG_QUEUE_MAX;
        queue.n--;
    }
    return used;
}

/* Returns an owned line. */
static char *line_format(enum dt_log_level level, const char *component, const char *event,
                         const char *body)
{
    char time_text[32];
    struct log_event line = {
        .time = dt_time_format(time_text, clock_ms(CLOCK_REALTIME)),
        .level = level_names[level],
        .thread = thread_name,
        .component = component,
        .event = event,
        .body = body,
    };
    struct dt_text out = {0};
    if (atomic_load_explicit(&log_format, memory_order_relaxed) == DT_LOG_JSON)
        dt_log_format_json(&out, &line);
    else
        dt_log_format_kv(&out, &line);
    return dt_text_take(&out);
}

/* Not by way of the queue, which may be full again. */
static void drops_report(uint64_t n_dropped)
{
    char body[40];
    DT_ASSERT(dt_text_print(body, sizeof(body), "count=%llu", (unsigned long long)n_dropped));
    char *line = line_format(DT_LOG_WARN, "log", "lines_dropped", body);
    log_write(log_fd, line, strlen(line));
    free(line);
}

static void *writer_main(void *arg)
{
    (void)arg;
    char chunk[PIPE_BUF];
    dt_log_thread_name("log");
    pthread_mutex_lock(&lock);
    while (!is_stopping || queue.n > 0 || queue.n_dropped > 0) {
        if (queue.n == 0 && queue.n_dropped == 0) {
            pthread_cond_wait(&wake, &lock);
            continue;
        }
        size_t len = queue_take(chunk);
        uint64_t n_dropped = queue.n_dropped;
        queue.n_dropped = 0;
        is_writing = true;
        pthread_mutex_unlock(&lock);
        log_write(log_fd, chunk, len);
        if (n_dropped > 0)
            drops_report(n_dropped);
        pthread_mutex_lock(&lock);
        is_writing = false;
        pthread_cond_broadcast(&idle);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* Writes the queue here and now, as far as that does not block; the lock is held. */
static void queue_drain(void)
{
    char chunk[PIPE_BUF];
    size_t len;
    while ((len = queue_take(chunk)) > 0) {
        struct pollfd ready = {.fd = log_fd, .events = POLLOUT};
        if (poll(&ready, 1, LOG_POLL_MS) != 1 || write(log_fd, chunk, len) < 0)
            break; /* nobody to tell */
    }
}

void dt_log_start(int fd, enum dt_log_level level, enum dt_log_format format)
{
    dt_metric_register(&dropped_lines);
    dt_assert_before(dt_log_flush);
    dt_log_set_level(level);
    pthread_mutex_lock(&lock);
    DT_ASSERT(!is_running);
    log_fd = fd;
    atomic_store(&log_format, (int)format);
    is_stopping = false;
    is_running = true;
    atomic_store(&stop_deadline_ms, 0);
    /* Signals are for main, and SIGPIPE of a vanished stderr is for nobody. */
    sigset_t all, saved;
    sigfillset(&all);
    DT_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &saved) == 0);
    DT_ASSERT(pthread_create(&writer, NULL, writer_main, NULL) == 0);
    DT_ASSERT(pthread_sigmask(SIG_SETMASK, &saved, NULL) == 0);
    pthread_mutex_unlock(&lock);
}

void dt_log_stop(void)
{
    pthread_mutex_lock(&lock);
    bool was_running = is_running && !is_stopping;
    if (was_running) {
        is_stopping = true;
        atomic_store(&stop_deadline_ms, clock_ms(CLOCK_MONOTONIC) + LOG_STOP_PATIENCE_MS);
        pthread_cond_signal(&wake);
    }
    pthread_mutex_unlock(&lock);
    if (!was_running)
        return;
    DT_ASSERT(pthread_join(writer, NULL) == 0);
    pthread_mutex_lock(&lock);
    queue_drain(); /* lines that came while the writer was leaving */
    is_running = false;
    log_fd = STDERR_FILENO;
    pthread_mutex_unlock(&lock);
}

void dt_log_flush(void)
{
    /* We are about to abort, perhaps because of a bug in here: never wait long for the lock. */
    struct timespec until;
    if (clock_gettime(CLOCK_REALTIME, &until) < 0)
        return;
    until.tv_sec++;
    if (pthread_mutex_timedlock(&lock, &until) != 0)
        return;
    /* What the writer holds comes before what is queued; if it is stuck, or us, time runs out. */
    int rc = 0;
    while (is_writing && rc == 0)
        rc = pthread_cond_timedwait(&idle, &lock, &until);
    queue_drain();
    pthread_mutex_unlock(&lock);
}

/* ---- the caller's side ---- */

void dt_log_set_level(enum dt_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

int dt_log_level_parse(enum dt_log_level *out, const char *text, struct dt_err *err)
{
    for (size_t i = 0; i < LEVEL_END; i++) {
        if (dt_text_equal_nocase(text, level_names[i])) {
            *out = (enum dt_log_level)i;
            return 0;
        }
    }
    return dt_err_set(err, DT_EINVAL, "'%.40s' is not a log level: error, warn, info or debug",
                      text);
}

void dt_log_thread_name(const char *name)
{
    (void)dt_text_print(thread_name, sizeof(thread_name), "%s", name); /* cut is documented */
}

bool dt_log_enabled(enum dt_log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* Takes the line. */
static void line_submit(char **line)
{
    pthread_mutex_lock(&lock);
    if (!is_running) {
        size_t len = strlen(*line);
        /* Nowhere to report that stderr is gone. */
        ssize_t n_written = write(STDERR_FILENO, *line, len);
        (void)n_written;
    } else if (queue.n == LOG_QUEUE_MAX) {
        queue.n_dropped++;
        dt_metric_add(&dropped_lines, 1);
    } else {
        queue.lines[(queue.head + queue.n) % LOG_QUEUE_MAX] = *line;
        *line = NULL;
        if (queue.n++ == 0)
            pthread_cond_signal(&wake);
    }
    pthread_mutex_unlock(&lock);
    dt_free(line);
}

void dt_log_line(enum dt_log_level level, const char *component, const char *event, const char *fmt,
                 ...)
{
    if (!dt_log_enabled(level))
        return;
    char body[LOG_BODY_MAX];
    va_list args;
    va_start(args, fmt);
    int body_len = vsnprintf(body, sizeof(body), fmt, args);
    va_end(args);
    DT_ASSERT(body_len >= 0);
    if ((size_t)body_len >= sizeof(body))
        memcpy(body + sizeof(body) - 4, "...", 4); /* cut, and says so */
    char *text = line_format(level, component, event, body);
    line_submit(&text);
}

const char *DT_LOG_Q(const char *value)
{
    static __thread char slots[LOG_QUOTE_SLOTS][LOG_QUOTE_SIZE];
    static __thread unsigned next;
    return dt_log_quote(slots[next++ % LOG_QUOTE_SLOTS], LOG_QUOTE_SIZE, value);
}
