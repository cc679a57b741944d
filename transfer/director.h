/*
 * transfer/director.h - whoever has a say in where a task's bytes come from.
 *
 *   task:  begin -> (opened | wish | may_ask_registries | step | landed | fetched)* -> end
 *
 * A node's director speaks with a supernode about the task and starts the fetches of pieces it was
 * told to; a supernode's own director watches its fill land and says which pieces it need not fetch
 * because nodes hold them. Without a director a task asks its registries, as always; with one they
 * are asked when the director says so: falling back is one answer that changes, not a second path.
 *
 * All calls both ways on the task's home loop. Nothing here may end a task from inside a call of
 * the director: say task_step_soon().
 */
#ifndef DARTER_TRANSFER_DIRECTOR_H
#define DARTER_TRANSFER_DIRECTOR_H

#include "cache/pieces.h"
#include "transfer/task.h"

#define TRANSFER_GIVE_UP_MS 10000u /* registries that fail, without a byte from anybody */

struct task;

struct transfer_director_ops {
    /* A task begins. Returns the director's object for it, or NULL: this one goes without. */
    void *(*begin)(void *director, struct task *, const struct task_wish *);
    /* One more client, perhaps with another way or another first byte. */
    void (*wish)(void *object, const struct task_wish *);
    /* The size is known and the writer open (from a source, from the director, or from an earlier
     * run: some pieces may be here already). */
    void (*opened)(void *object);
    /* May registries be asked for bytes now? Called at every step. Where they may not, they are
     * asked all the same for the piece that a client has waited for too long. */
    bool (*may_ask_registries)(void *object);
    /* Must this piece come from a registry? NULL = all that are missing. */
    bool (*wants_from_registry)(void *object, uint32_t piece);
    /* For how long may registries fail, without a byte from anybody, before the task is given up?
     * Asked when each of them has failed. NULL = TRANSFER_GIVE_UP_MS. */
    uint64_t (*patience_ms)(void *object);
    /* A step of the task: start fetches that were ordered (task_fetch_piece()). May be NULL. */
    void (*step)(void *object);
    /* More bytes are in the file. May be NULL. */
    void (*landed)(void *object);
    /* A fetch ordered with task_fetch_piece() ended; code 0: the piece is given to the writer;
     * DT_ECANCELLED: the task needs it no more. The source's last call: it is freed afterwards. */
    void (*fetched)(void *object, struct source *, uint32_t piece, const struct dt_err *err);
    /* The task is over; `object` is the director's again. DONE; FAILED, `err` says why; NEW: it
     * streams past the cache, `err` says why. After a wrong digest of bytes that nodes gave the
     * task goes on without a director (FAILED, DT_EMISMATCH); where only registries gave any, it
     * begins again: begin() follows. */
    void (*end)(void *object, enum task_state, const struct dt_err *err);
};
struct transfer_director {
    const struct transfer_director_ops *ops;
    void *arg; /* first argument of begin() */
};

/* ---- what a director may do with its task ---- */

const struct dt_digest *task_digest(const struct task *);
struct dt_loop *task_loop(const struct task *);
/* NULL while the size is unknown, while verifying, and when the cache cannot take the blob. What is
 * here, bytes on their way to the file included. Borrowed. */
const struct cache_pieces *task_pieces(const struct task *);
/* What was announced of the blob's size: UINT64_MAX = nothing. */
uint64_t task_size(const struct task *);
/* A registry told another size than the one the writer was opened with. */
bool task_is_size_contradicted(const struct task *);
/* Received in this attempt: more than 0 means that a registry has told the same size. */
uint64_t task_registry_bytes(const struct task *);
/* The first byte that a local reader waits for and that is not here; UINT64_MAX = none. */
uint64_t task_wanted(const struct task *);
/* The size, from who knows it: opens the writer (then opened() comes from inside). Ignored when it
 * is open already with the same size. Errors: DT_EPROTO (contradicts what is known), or why the
 * cache cannot take it (the task then streams past the cache). */
int task_know_size(struct task *, uint64_t size, struct dt_err *err);
/* Takes `source` over (consumed, *source = NULL) and fetches exactly this piece from it. Returns
 * false when the piece is here or being fetched from a registry, the writer is not open, or no
 * stream is free; then the source stays the caller's. */
bool task_fetch_piece(struct task *, struct source **source, uint32_t piece);
/* A piece is fetched that nobody vouches for: no sum, and a node may lie. */
void task_note_unproved(struct task *);
/* Ends the fetch of this source for this piece, if it is still running; no fetched() follows. */
void task_drop_fetch(struct task *, const struct source *, uint32_t piece);
/* Registries were asked while the director was silent: lets each such stream end with the piece it
 * is in, and begins no other. True when none is running any more. */
bool task_leave_registries(struct task *);
void task_step_soon(struct task *);
/* Nobody waits for what a registry was not asked for: the task ends soon (FAILED), and what is here
 * stays to be resumed. One that is being verified, or is whole, ends as it would have. */
void task_give_up(struct task *);

#endif
