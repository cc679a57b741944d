/*
 * proxy/director_mode.h - where a task's bytes come from: the swarm, or registries. Pure.
 *
 *   JOINING -> SWARM <-> LOST -> RETURNING -> SWARM       any -> GONE
 *
 * Falling back is a change of mode and nothing else: the task goes on, with other sources. A new
 * mode or event: a row here and one in the table of director_mode.c, which the unit test walks.
 */
#ifndef DARTER_PROXY_DIRECTOR_MODE_H
#define DARTER_PROXY_DIRECTOR_MODE_H

#include <stdbool.h>

/*  mode, word in /v1/tasks, may registries be asked? */
#define DIRECTOR_MODES(X)                                                                          \
    X(DIRECTOR_JOINING, "joining", false)    /* the first answer is awaited */                     \
    X(DIRECTOR_SWARM, "swarm", false)        /* a supernode directs */                             \
    X(DIRECTOR_LOST, "lost", true)           /* no supernode answers */                            \
    X(DIRECTOR_RETURNING, "returning", true) /* one answers again; it does not direct yet */       \
    X(DIRECTOR_GONE, "gone", true)           /* not from the swarm, for the rest of the task */
enum director_mode {
#define X(name, word, may_ask) name,
    DIRECTOR_MODES(X)
#undef X
        DIRECTOR_MODE_END
};

#define DIRECTOR_EVENTS(X)                                                                         \
    X(DIRECTOR_PICKED)  /* a join was sent to a supernode */                                       \
    X(DIRECTOR_WAITING) /* it does not know the size yet */                                        \
    X(DIRECTOR_OPENED)  /* it hands out pieces */                                                  \
    X(DIRECTOR_PASSED)  /* it failed, and another one was joined in its place */                   \
    X(DIRECTOR_UNKNOWN) /* it forgot us; joined again at once */                                   \
    X(DIRECTOR_SILENT)  /* no answer, or none that makes sense */                                  \
    X(DIRECTOR_REFUSED) /* it said: not from here */                                               \
    X(DIRECTOR_STALLED) /* it answers, and nothing comes */
enum director_event {
#define X(name) name,
    DIRECTOR_EVENTS(X)
#undef X
        DIRECTOR_EVENT_END
};

const char *director_mode_word(enum director_mode);
bool director_mode_may_ask(enum director_mode);
enum director_mode director_mode_next(enum director_mode, enum director_event);

#endif
