/*
 * tests/unit/proxy_director_mode_test.c - whose turn it is: the swarm's, or the registries'.
 */
#include "proxy/director_mode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void mode__registries_wait_while_a_supernode_may_direct(void **state)
{
    (void)state;
    assert_false(director_mode_may_ask(DIRECTOR_JOINING));
    assert_false(director_mode_may_ask(DIRECTOR_SWARM));
    assert_true(director_mode_may_ask(DIRECTOR_LOST));
    assert_true(director_mode_may_ask(DIRECTOR_RETURNING));
    assert_true(director_mode_may_ask(DIRECTOR_GONE));
    assert_string_equal(director_mode_word(DIRECTOR_SWARM), "swarm");
}

/* A story: events in their order, and the mode after each. */
struct step {
    enum director_event event;
    enum director_mode mode;
};
static void walk(const struct step *steps, size_t n)
{
    enum director_mode mode = DIRECTOR_JOINING;
    for (size_t i = 0; i < n; i++) {
        mode = director_mode_next(mode, steps[i].event);
        assert_int_equal(mode, steps[i].mode);
    }
}
#define WALK(...)                                                                                  \
    do {                                                                                           \
        const struct step steps[] = {__VA_ARGS__};                                                 \
        walk(steps, sizeof steps / sizeof steps[0]);                                               \
    } while (0)

static void mode__a_lost_supernode_is_followed_by_a_return(void **state)
{
    (void)state;
    WALK({DIRECTOR_PICKED, DIRECTOR_JOINING}, {DIRECTOR_WAITING, DIRECTOR_JOINING},
         {DIRECTOR_OPENED, DIRECTOR_SWARM}, {DIRECTOR_SILENT, DIRECTOR_LOST},
         {DIRECTOR_PICKED, DIRECTOR_RETURNING}, {DIRECTOR_WAITING, DIRECTOR_RETURNING},
         {DIRECTOR_OPENED, DIRECTOR_SWARM});
}

static void mode__without_any_supernode_registries_are_asked_at_once(void **state)
{
    (void)state;
    WALK({DIRECTOR_SILENT, DIRECTOR_LOST}, {DIRECTOR_SILENT, DIRECTOR_LOST},
         {DIRECTOR_PICKED, DIRECTOR_RETURNING}, {DIRECTOR_SILENT, DIRECTOR_LOST});
}

static void mode__another_supernode_in_its_place_keeps_registries_waiting(void **state)
{
    (void)state;
    WALK({DIRECTOR_PASSED, DIRECTOR_JOINING}, {DIRECTOR_OPENED, DIRECTOR_SWARM},
         {DIRECTOR_PASSED, DIRECTOR_SWARM}, {DIRECTOR_SILENT, DIRECTOR_LOST});
}

static void mode__a_forgotten_session_changes_nothing(void **state)
{
    (void)state;
    WALK({DIRECTOR_UNKNOWN, DIRECTOR_JOINING}, {DIRECTOR_OPENED, DIRECTOR_SWARM},
         {DIRECTOR_UNKNOWN, DIRECTOR_SWARM}, {DIRECTOR_OPENED, DIRECTOR_SWARM});
}

static void mode__a_supernode_without_progress_is_left_for_good(void **state)
{
    (void)state;
    WALK({DIRECTOR_STALLED, DIRECTOR_GONE}, {DIRECTOR_OPENED, DIRECTOR_GONE});
}

static void mode__gone_is_for_good(void **state)
{
    (void)state;
    for (int mode = 0; mode < DIRECTOR_MODE_END; mode++)
        assert_int_equal(director_mode_next((enum director_mode)mode, DIRECTOR_REFUSED),
                         DIRECTOR_GONE);
    for (int event = 0; event < DIRECTOR_EVENT_END; event++)
        assert_int_equal(director_mode_next(DIRECTOR_GONE, (enum director_event)event),
                         DIRECTOR_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mode__registries_wait_while_a_supernode_may_direct),
        cmocka_unit_test(mode__a_lost_supernode_is_followed_by_a_return),
        cmocka_unit_test(mode__without_any_supernode_registries_are_asked_at_once),
        cmocka_unit_test(mode__another_supernode_in_its_place_keeps_registries_waiting),
        cmocka_unit_test(mode__a_forgotten_session_changes_nothing),
        cmocka_unit_test(mode__a_supernode_without_progress_is_left_for_good),
        cmocka_unit_test(mode__gone_is_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
