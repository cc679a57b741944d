/*
 * tests/unit/supernode_sums_test.c - sums that outlive their task.
 */
#include "supernode/sums.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define PIECE 1024u

static struct dt_digest digest_of(uint32_t number)
{
    struct dt_digest digest = {.algo = DT_SHA256};
    memcpy(digest.raw, &number, sizeof(number));
    return digest;
}

static void keep(struct supernode_sums **sums, uint32_t number, uint32_t n)
{
    struct dt_digest digest = digest_of(number);
    struct wire_sum *list = dt_new_array(struct wire_sum, n);
    memset(list, (int)(number & 0xff), n * sizeof(*list));
    supernode_sums_keep(sums, &digest, PIECE, list, n);
    free(list);
}

static bool knows(const struct supernode_sums *sums, uint32_t number, uint32_t n, uint32_t piece)
{
    struct dt_digest digest = digest_of(number);
    struct wire_sum *list = dt_new_array(struct wire_sum, n);
    bool is_known = supernode_sums_recall(list, n, sums, &digest, piece);
    if (is_known)
        assert_int_equal(list[n - 1].bytes[0], number & 0xff);
    free(list);
    return is_known;
}

static void sums__are_known_again(void **state)
{
    (void)state;
    struct supernode_sums *sums = NULL;
    assert_false(knows(sums, 1, 4, PIECE));
    keep(&sums, 1, 4);
    keep(&sums, 2, 7);
    assert_true(knows(sums, 1, 4, PIECE));
    assert_true(knows(sums, 2, 7, PIECE));
    assert_false(knows(sums, 3, 4, PIECE));
    supernode_sums_free(&sums);
    assert_null(sums);
    supernode_sums_free(&sums);
}

static void sums__of_a_blob_cut_otherwise_are_not_these(void **state)
{
    (void)state;
    struct supernode_sums *sums = NULL;
    keep(&sums, 1, 4);
    assert_false(knows(sums, 1, 5, PIECE));
    assert_false(knows(sums, 1, 4, PIECE * 2));
    supernode_sums_free(&sums);
}

static void sums__replace_those_of_the_same_blob(void **state)
{
    (void)state;
    struct supernode_sums *sums = NULL;
    keep(&sums, 1, 4);
    keep(&sums, 1, 6);
    assert_false(knows(sums, 1, 4, PIECE));
    assert_true(knows(sums, 1, 6, PIECE));
    supernode_sums_free(&sums);
}

static void sums__forget_what_was_kept_longest_ago(void **state)
{
    (void)state;
    struct supernode_sums *sums = NULL;
    for (uint32_t number = 0; number < 4; number++)
        keep(&sums, number, SUPERNODE_SUMS_MAX / 4);
    keep(&sums, 0, SUPERNODE_SUMS_MAX / 4); /* again: now the youngest */
    keep(&sums, 9, 1);
    assert_true(knows(sums, 0, SUPERNODE_SUMS_MAX / 4, PIECE));
    assert_false(knows(sums, 1, SUPERNODE_SUMS_MAX / 4, PIECE));
    assert_true(knows(sums, 2, SUPERNODE_SUMS_MAX / 4, PIECE));
    assert_true(knows(sums, 9, 1, PIECE));
    keep(&sums, 10, SUPERNODE_SUMS_MAX + 1);
    assert_false(knows(sums, 10, SUPERNODE_SUMS_MAX + 1, PIECE));
    assert_true(knows(sums, 9, 1, PIECE));
    supernode_sums_free(&sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums__are_known_again),
        cmocka_unit_test(sums__of_a_blob_cut_otherwise_are_not_these),
        cmocka_unit_test(sums__replace_those_of_the_same_blob),
        cmocka_unit_test(sums__forget_what_was_kept_longest_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
