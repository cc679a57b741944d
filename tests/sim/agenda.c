/*
 * tests/sim/agenda.c - what happens when: a binary heap.
 */
#include "tests/sim/agenda.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (!(b->at < a->at) && a->order < b->order);
}

void sim_agenda_add(struct sim_agenda *agenda, struct sim_event event)
{
    if (agenda->n == agenda->room) {
        agenda->room = agenda->room > 0 ? agenda->room * 2 : 64;
        agenda->events = dt_realloc(agenda->events, agenda->room * sizeof(event));
    }
    event.order = agenda->n_written++;
    uint32_t place = agenda->n++;
    while (place > 0 && is_before(&event, &agenda->events[(place - 1) / 2])) {
        agenda->events[place] = agenda->events[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    agenda->events[place] = event;
}

double sim_agenda_next(const struct sim_agenda *agenda)
{
    return agenda->n > 0 ? agenda->events[0].at : HUGE_VAL;
}

struct sim_event sim_agenda_take(struct sim_agenda *agenda)
{
    DT_ASSERT(agenda->n > 0);
    struct sim_event first = agenda->events[0], last = agenda->events[--agenda->n];
    uint32_t place = 0;
    for (uint32_t child; (child = 2 * place + 1) < agenda->n; place = child) {
        if (child + 1 < agenda->n && is_before(&agenda->events[child + 1], &agenda->events[child]))
            child++;
        if (!is_before(&agenda->events[child], &last))
            break;
        agenda->events[place] = agenda->events[child];
    }
    agenda->events[place] = last;
    return first;
}

void sim_agenda_fini(struct sim_agenda *agenda)
{
    for (uint32_t i = 0; i < agenda->n; i++)
        free(agenda->events[i].load);
    dt_free(&agenda->events);
    *agenda = (struct sim_agenda){0};
}
