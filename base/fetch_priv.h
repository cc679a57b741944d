/*
 * base/fetch_priv.h - what the files of the HTTP client share. Nobody else includes this.
 *
 *   fetch.c           a fetch: start, pause, deadlines, end; the calls of base/fetch.h
 *   fetch_easy.c      options of a curl handle, and curl's callbacks
 *   fetch_head.c      the response head: storage, limits, framing rules; pure
 *   fetch_redirect.c  whether and where to go on
 *   fetch_multi.c     one curl multi per loop, its sockets, its timer
 *   fetch_whole.c     small answers collected in memory
 *
 * curl's types appear as void * (they are that), so that its header stays in the .c files.
 */
#ifndef DARTER_BASE_FETCH_PRIV_H
#define DARTER_BASE_FETCH_PRIV_H

#include "base/fetch.h"
#include "base/text.h"

struct curl_slist;

#define FETCH_REDIRECTS_MAX 5
/* A body nobody wants is read to its end if that is short, so that the connection can be used
 * again; for a longer one a new connection is cheaper. */
#define FETCH_DRAIN_MAX_BYTES (64 * 1024)
#define FETCH_DRAIN_MAX_MS    250

/* ---- the response head ---- */

struct fetch_field {
    size_t name_at, value_at; /* offsets in fetch_head.bytes */
};
struct fetch_head {
    struct dt_text bytes;       /* "name\0value\0name\0value\0" */
    struct fetch_field *fields; /* owned */
    size_t n_fields, capacity;
    size_t seen_bytes; /* of this response, with interim heads and trailers */
    int status;
    uint64_t length; /* Content-Length, if has_length */
    bool has_length, is_chunked;
    bool is_complete; /* the final (not 1xx) head has ended */
};
void fetch_head_reset(struct fetch_head *);
void fetch_head_fini(struct fetch_head *);
/* One line as it came, with its line end. Errors: DT_EPROTO. */
int fetch_head_line(struct fetch_head *, const char *line, size_t len, struct dt_err *err);
/* UINT64_MAX = unknown. */
uint64_t fetch_head_content_length(const struct fetch_head *);
const char *fetch_head_get(const struct fetch_head *, const char *name); /* first value or NULL */

/* ---- a fetch ---- */

enum fetch_phase {
    FETCH_WAITING,  /* for the final response head */
    FETCH_BODY,     /* bytes go to on_data */
    FETCH_DRAINING, /* bytes go nowhere: declined by on_head, or the body of a redirect */
    FETCH_DONE      /* on_done has been called */
};

struct dt_fetch {
    unsigned magic;
    struct fetch_multi *multi;
    struct dt_fetch *prev, *next;           /* in multi->all */
    struct dt_fetch *todo_prev, *todo_next; /* in multi->todo, if is_queued */
    struct dt_fetch_ops ops;
    void *arg;
    void (*release)(void *arg); /* for fetch_whole.c: with the fetch, however it ends */

    void *easy;                  /* CURL, owned */
    struct curl_slist *headers;  /* owned */
    struct curl_slist *no_creds; /* owned: the same without credentials, for other hosts */
    char curl_msg[256];          /* CURL_ERROR_SIZE */
    char *url;                   /* owned; the current hop */
    struct dt_url home;          /* the URL that was asked for */
    char origin[300];            /* of the current hop, for messages: a query may hold a secret */
    bool is_head, may_redirect;
    bool is_away; /* a redirect has led to another host */
    unsigned n_redirects;

    enum fetch_phase phase;
    struct fetch_head head;
    struct dt_err err; /* what ends this fetch, when we know better than curl */
    uint64_t body_bytes, max_body_bytes, drained_bytes;

    struct dt_timer deadline;
    uint64_t head_timeout_ms, stall_timeout_ms, total_timeout_ms;
    uint64_t started_ms, progress_ms; /* progress: last body byte, resume, or start of a drain */

    int fd;                /* curl's, while it waits for it; -1 = none */
    unsigned gather_bytes; /* 0 = no longer, or never */
    unsigned low_mark;     /* what the socket has been told (SO_RCVLOWAT); 0 = nothing */

    bool is_added;     /* to the curl multi */
    bool is_redirect;  /* the current response sends us elsewhere */
    bool is_paused;    /* on_data said: not now */
    bool is_in_data;   /* on_data is running */
    bool wants_resume; /* resume() came while it was */
    bool is_cancelled; /* no callback any more; to be freed when curl is not on the stack */
    bool is_failed;    /* curl_easy_pause() failed: to be finished by the next round */
    bool is_queued;
};

/* fetch_easy.c. Options that last; then the URL and headers of the current hop. */
int fetch_easy_new(struct dt_fetch *, const struct dt_fetch_opts *, struct dt_err *err);
void fetch_easy_aim(struct dt_fetch *);
void fetch_easy_free(struct dt_fetch *);
/* Translates curl's verdict; 0 = fine. */
int fetch_easy_error(struct dt_fetch *, int curl_code, struct dt_err *err);
int fetch_easy_unpause(struct dt_fetch *); /* a CURLcode */
/* curl waits for this socket from now on, or no longer. */
void fetch_easy_note_socket(struct dt_fetch *, int fd, bool is_removed);
/* The socket wakes us when so many bytes are here. */
void fetch_easy_set_low_mark(struct dt_fetch *, unsigned bytes);

/* fetch.c, called by curl's callbacks (false = stop the transfer) ... */
bool fetch_on_head(struct dt_fetch *);
enum fetch_taken {
    FETCH_STOP,
    FETCH_TAKEN,
    FETCH_PAUSE
} fetch_on_data(struct dt_fetch *, const void *bytes, size_t len);
/* ... and by the multi when curl is not on the stack. */
void fetch_on_end(struct dt_fetch *, int curl_code);
void fetch_run_todo(struct dt_fetch *);
void fetch_free(struct dt_fetch *);

/* fetch_redirect.c */
bool fetch_redirect_is_wanted(const struct dt_fetch *);
/* Points the fetch at the next hop. Errors: DT_EPROTO. */
int fetch_redirect_follow(struct dt_fetch *, struct dt_err *err);

/* ---- the multi ---- */

struct fetch_multi {
    unsigned magic;
    struct dt_loop *loop;
    struct dt_fetcher *fetcher;
    void *curl;             /* CURLM, owned */
    void *share;            /* CURLSH, owned: TLS sessions */
    int epoll_fd, timer_fd; /* owned; the timer is in the epoll, the epoll is in the loop */
    struct dt_watch *watch; /* owned */
    struct dt_fetch *all, *todo;
    unsigned depth;    /* > 0: curl is on the stack */
    bool is_scheduled; /* a message to look at `todo` is on its way */
};
struct fetch_multi *fetch_multi_current(void);
const char *fetch_multi_user_agent(const struct fetch_multi *);
void fetch_multi_add(struct dt_fetch *);    /* only when curl is not on the stack */
void fetch_multi_remove(struct dt_fetch *); /* likewise; harmless when not added */
/* The fetch needs something that cannot be done now: fetch_run_todo() comes soon. */
void fetch_multi_queue(struct dt_fetch *);
void fetch_multi_unqueue(struct dt_fetch *);

#endif
