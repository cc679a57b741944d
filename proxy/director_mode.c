/*
 * proxy/director_mode.c - where a task's bytes come from: the table of modes and events.
 *
 * While joining and in the swarm, registries are not asked: origin is asked once per site, by a
 * supernode. Coming back, they are asked until pieces are really handed out.
 */
#include "proxy/director_mode.h"

#include "base/err.h"

static const struct {
    const char *word;
    bool may_ask;
} modes[] = {
#define X(name, word, may_ask) [name] = {word, may_ask},
    DIRECTOR_MODES(X)
#undef X
};

const char *director_mode_word(enum director_mode mode)
{
    DT_ASSERT(mode < DIRECTOR_MODE_END);
    return modes[mode].word;
}

bool director_mode_may_ask(enum director_mode mode)
{
    DT_ASSERT(mode < DIRECTOR_MODE_END);
    return modes[mode].may_ask;
}

#define J DIRECTOR_JOINING
#define S DIRECTOR_SWARM
#define L DIRECTOR_LOST
#define R DIRECTOR_RETURNING
#define G DIRECTOR_GONE
/* clang-format off */
static const unsigned char next[DIRECTOR_MODE_END][DIRECTOR_EVENT_END] = {
    /*                       picked waiting opened passed unknown silent refused stalled */
    [DIRECTOR_JOINING]   = { J,     J,      S,     J,     J,      L,     G,      G },
    [DIRECTOR_SWARM]     = { S,     S,      S,     S,     S,      L,     G,      G },
    [DIRECTOR_LOST]      = { R,     L,      L,     L,     L,      L,     G,      L },
    [DIRECTOR_RETURNING] = { R,     R,      S,     R,     R,      L,     G,      G },
    [DIRECTOR_GONE]      = { G,     G,      G,     G,     G,      G,     G,      G },
};
/* clang-format on */

enum director_mode director_mode_next(enum director_mode mode, enum director_event event)
{
    DT_ASSERT(mode < DIRECTOR_MODE_END && event < DIRECTOR_EVENT_END);
    return (enum director_mode)next[mode][event];
}
