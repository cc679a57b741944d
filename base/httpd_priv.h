/*
 * base/httpd_priv.h - what the files of the HTTP server share. Nobody else includes this.
 *
 *   httpd.c         the server: start, drain, free
 *   httpd_conn.c    its share on one loop: listener, connections
 *   httpd_head.c    pure: is this request head one we accept?
 *   httpd_req.c     one request: life, questions, the watch for a client that leaves
 *   httpd_reply.c   headers and small answers
 *   httpd_stream.c  streamed bodies
 *   httpd_disk.c    file bytes: in the page cache, or first read by the pool
 *   httpd_warm.c    what the requests of one loop know about that
 *
 * Ownership: dt_httpd owns one httpd_share per loop; h2o owns the sockets, and through a socket's
 * on_close our httpd_conn; h2o's request pool owns dt_http_req. A share, its connections and its
 * requests are touched on their loop only.
 */
#ifndef DARTER_BASE_HTTPD_PRIV_H
#define DARTER_BASE_HTTPD_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <h2o.h>

#include "base/httpd.h"
#include "base/mem.h"

#if H2O_USE_LIBUV
#error "h2o's headers are set up for libuv: compile with -DH2O_USE_LIBUV=0"
#endif

#define HTTPD_SEND_BUDGET     (2 * MIB)   /* most a connection sends per turn of its loop */
#define HTTPD_SEND_BUDGET_MIN (512 * KIB) /* its share when many connections send */
#define HTTPD_ROUND_BUDGET    (8 * MIB)   /* shared by the connections that send on one loop */
#define HTTPD_CHUNKED_PART    (128 * KIB) /* one chunk of a body of unknown length */
#define HTTPD_RESIDENT_ASK    (2 * MIB)   /* the kernel is asked about so much at once, at most */
#define HTTPD_WARM_WINDOW     (4 * MIB)   /* one answer is remembered for each of a file's */
#define HTTPD_WARM_RANGES     1024
#define HTTPD_WARM_MS         1000        /* so long is it believed */
#define HTTPD_TLS_CHUNK       (128 * KIB) /* h2o encrypts a whole chunk into memory at once */
#define HTTPD_COLD_READ       (1 * MIB)   /* one job of the pool */
#define HTTPD_HEADERS_MAX     64
#define HTTPD_HANDSHAKE_MS    10000

/* ---- httpd_head.c ---- */

/* What h2o does not tell about the head of a request, counted from its bytes. */
struct httpd_head {
    size_t len; /* with the empty line */
    unsigned n_fields, n_hosts, n_lengths, n_transfer_encodings;
    bool lengths_differ;
    bool has_folding; /* a field continued on the next line (obsolete, RFC 9112 5.2) */
};
void httpd_head_scan(struct httpd_head *out, const char *bytes, size_t len);
/* 0, or the status to refuse the request with. */
int httpd_head_check(const struct httpd_head *, bool is_http_1_1, size_t max_bytes);
/* -1 = unknown */
int httpd_method_parse(const char *name, size_t len);
const char *httpd_method_name(enum dt_http_method);
/* Is `target` a form that fits the method? For absolute-form and CONNECT *authority is set to a
 * piece of target, else to NULL. */
bool httpd_target_check(enum dt_http_method, const char *target, const char **authority,
                        size_t *authority_len);
bool httpd_host_is_clean(const char *host, size_t len);

/* ---- httpd_warm.c ---- */

struct httpd_file { /* which file, whatever descriptors it has */
    uint64_t dev, ino;
};
struct httpd_warm_range {
    struct httpd_file file;
    uint64_t off, end;
    uint64_t until_ms;
};
struct httpd_warm {
    struct httpd_warm_range ranges[HTTPD_WARM_RANGES];
};
struct httpd_warm *httpd_warm_new(void);
/* Up to where bytes from `off` on are in memory; `off` = nobody knows. */
uint64_t httpd_warm_end(struct httpd_warm *, const struct httpd_file *, uint64_t off,
                        uint64_t now_ms);
/* [off, end) is in memory: the kernel says so. Within one HTTPD_WARM_WINDOW (asserted). */
void httpd_warm_note(struct httpd_warm *, const struct httpd_file *, uint64_t off, uint64_t end,
                     uint64_t now_ms);

/* ---- the server and its share on one loop ---- */

struct httpd_share {
    struct dt_httpd *server;
    struct dt_loop *loop;
    int listen_fd; /* its copy; the listener's once that is open */
    h2o_context_t ctx;
    h2o_accept_ctx_t accept_ctx;
    struct dt_tls *tls;     /* a reference, or NULL; what accept_ctx.ssl_ctx belongs to */
    h2o_socket_t *listener; /* owned; NULL once draining */
    struct dt_timer resume; /* armed while accepting is paused */
    bool is_short;          /* of descriptors, and said so */
    h2o_linklist_t conns;
    unsigned n_streaming;
    char *tls_buf;           /* owned; HTTPD_TLS_CHUNK bytes, used within one call only */
    struct httpd_warm *warm; /* owned */
    bool is_open, is_draining;
};

struct dt_httpd {
    unsigned magic;
    struct dt_httpd_opts opts;
    struct dt_loops *loops;
    h2o_globalconf_t config;
    struct httpd_share *share; /* owned array, one per loop */
    int listen_fd;             /* owned; closed with the last share's copy */
    bool is_tls;
    unsigned n_listening; /* shares that accept; under `lock` */
    uint16_t port;
    _Atomic unsigned n_connections;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* n_busy fell, while draining */
    unsigned n_busy;        /* under lock: connections, cold reads, shares still accepting */
};

/* A share accepts no more; after the last one the port refuses connections. */
void httpd_listening_end(struct dt_httpd *);
/* Counts what dt_httpd_drain() must wait for. */
void httpd_busy_add(struct dt_httpd *, int delta);

struct httpd_conn {
    unsigned magic;
    struct httpd_share *share;
    h2o_socket_t *sock;
    struct dt_http_req *req;  /* being answered, or NULL */
    bool is_read_shut;        /* by us, draining */
    struct dt_timer watchdog; /* armed while there is no req: a net below h2o's own timeouts */
    h2o_linklist_t link;
    char peer[64];
};

void httpd_share_open(void *share); /* message */
/* Takes over the reference. */
void httpd_share_set_tls(struct httpd_share *, struct dt_tls **);
void httpd_share_drain(void *share); /* message */
void httpd_share_cut(void *share);   /* message */
void httpd_share_free(struct httpd_share *);
struct httpd_conn *httpd_conn_of(h2o_socket_t *);
/* Called when a request begins and when it has ended. */
void httpd_conn_set_req(struct httpd_conn *, struct dt_http_req *);

/* ---- one request ---- */

enum httpd_req_state {
    HTTPD_WITH_HANDLER, /* not answered */
    HTTPD_LAST_BYTES,   /* all there is was given to h2o; waiting for the kernel to take it */
    HTTPD_SENDING,      /* streaming; the kernel or the loop's other connections are awaited */
    HTTPD_BODY_WAITS,   /* streaming; the body has nothing now */
    HTTPD_DISK_READS,   /* streaming; a cold read is with the pool */
    HTTPD_OVER,         /* FINAL or ERROR was said to h2o, or the client left unanswered */
};

struct httpd_cold_read;

struct dt_http_req {
    unsigned magic;
    struct httpd_conn *conn;
    h2o_req_t *h2o;
    h2o_generator_t generator;
    enum httpd_req_state state;

    enum dt_http_method method;
    const char *target, *host; /* in h2o's pool, as all text of the request */
    struct dt_header *headers;
    size_t n_headers;
    size_t input_len; /* of h2o's input, up to where the next request may begin */

    bool is_watching; /* the socket tells us when the client leaves */
    bool is_polling;  /* the timer looks instead: there are unread bytes in the way */
    bool is_answered, is_cut;
    bool is_chunked; /* h2o's chunked filter is in between */
    bool is_close_delimited;
    struct dt_timer timer; /* stall, or polling */
    uint64_t progress_ms, progress[2];

    void (*on_end)(void *arg, const struct dt_http_summary *);
    void *on_end_arg;
    enum dt_http_end end;
    int status;
    uint64_t started_us, first_byte_us;

    const struct dt_http_body_ops *ops; /* NULL = not a stream */
    void *body;
    uint64_t length; /* DT_HTTP_LENGTH_UNKNOWN */
    uint64_t sent;
    size_t in_flight; /* given to h2o, not yet taken by the kernel */
    bool is_counted;  /* in share->n_streaming */
    bool had_first_turn;
    bool is_asking, was_woken; /* a wake from inside next() */

    struct httpd_cold_read *cold; /* in the pool; borrowed */
    int file_fd;                  /* what `file` stands for; -1 = nothing */
    struct httpd_file file;
    int map_fd; /* what `map` maps; -1 = nothing */
    void *map;  /* owned; never touched, only asked about */
    uint64_t map_off, map_len;
    int warm_fd; /* [warm_off, warm_end) of it is in memory, as far as we know */
    uint64_t warm_off, warm_end;
    char *chunk_buf; /* in h2o's pool; file bytes on their way through the chunked filter */
};

int httpd_req_handle(h2o_handler_t *, h2o_req_t *);
int httpd_req_fd(const struct dt_http_req *);
/* Ends the request early; `how` is what on_end will hear. The request may be gone on return. */
void httpd_req_cut(struct dt_http_req *, enum dt_http_end how);
void httpd_req_watch(struct dt_http_req *);
void httpd_req_unwatch(struct dt_http_req *);
/* (Re)starts the stall clock. */
void httpd_req_expect_progress(struct dt_http_req *);

/* ---- answers ---- */

const char *httpd_reason(int status);
/* h2o's generator: what was handed over is with the kernel now. */
void httpd_reply_proceed(h2o_generator_t *, h2o_req_t *);
/* Would this connection's next request keep the loop from everybody else? */
bool httpd_reply_must_queue(const struct dt_http_req *);
/* Says FINAL. The request may be gone on return, and the next one on the connection running. */
void httpd_reply_finish(struct dt_http_req *);
/* The next turn comes from the loop, after it has looked at everybody else. */
void httpd_stream_schedule(struct dt_http_req *);
void httpd_stream_proceed(struct dt_http_req *);

/* ---- file bytes ---- */

/* How many of the `len` bytes at `off` can be sent now without waiting for a disk; 0 = none. */
size_t httpd_disk_resident(struct dt_http_req *, int fd, uint64_t off, size_t len);
/* Has the pool read them; the stream goes on by itself afterwards. */
void httpd_disk_read_cold(struct dt_http_req *, int fd, uint64_t off);
/* As pread(), but -1 with EAGAIN rather than wait for a disk. */
ssize_t httpd_disk_read(struct dt_http_req *, int fd, void *buf, size_t len, uint64_t off);
void httpd_disk_forget(struct dt_http_req *);

#endif
