/*
 * supernode_seed_test.c - the sum of a piece in a file is what the wire says it is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "supernode/seed.h"

#define FILE_BYTES (3 * SEED_CHUNK_BYTES + 1000)

static int make_file(char **out_bytes)
{
    char *bytes = dt_calloc(1, FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    int fd = memfd_create("seed", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, FILE_BYTES), FILE_BYTES);
    *out_bytes = bytes;
    return fd;
}

static void seed_sum__is_the_sum_of_the_wire(void **state)
{
    (void)state;
    static const struct {
        uint64_t off;
        uint32_t len;
    } PIECES[] = {
        {0, 1}, {0, SEED_CHUNK_BYTES}, {17, SEED_CHUNK_BYTES + 1}, {0, FILE_BYTES}, {1000, 5},
    };
    char *bytes;
    int fd = make_file(&bytes);
    for (size_t i = 0; i < sizeof(PIECES) / sizeof(PIECES[0]); i++) {
        struct wire_sum expected, sum;
        wire_sum_of(&expected, bytes + PIECES[i].off, PIECES[i].len);
        assert_int_equal(supernode_seed_sum(&sum, NULL, fd, PIECES[i].off, PIECES[i].len), 0);
        assert_true(wire_sum_equal(&sum, &expected));
    }
    free(bytes);
    dt_close(&fd);
}

static void seed_sum__of_what_is_not_there_fails(void **state)
{
    (void)state;
    char *bytes;
    struct wire_sum sum;
    int fd = make_file(&bytes);
    assert_true(supernode_seed_sum(&sum, NULL, fd, FILE_BYTES - 10, 11) < 0);
    assert_true(supernode_seed_sum(&sum, NULL, -1, 0, 1) < 0);
    free(bytes);
    dt_close(&fd);
}

static void seed_sum__keeps_the_bytes_it_is_of(void **state)
{
    (void)state;
    char *bytes;
    struct wire_sum expected, sum;
    int fd = make_file(&bytes);
    uint8_t *kept = dt_calloc(1, FILE_BYTES);
    wire_sum_of(&expected, bytes + 10, FILE_BYTES - 10);
    assert_int_equal(supernode_seed_sum(&sum, kept, fd, 10, FILE_BYTES - 10), 0);
    assert_true(wire_sum_equal(&sum, &expected));
    assert_memory_equal(kept, bytes + 10, FILE_BYTES - 10);
    assert_true(supernode_seed_sum(&sum, kept, fd, FILE_BYTES - 10, 11) < 0);
    free(kept);
    free(bytes);
    dt_close(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_sum__is_the_sum_of_the_wire),
        cmocka_unit_test(seed_sum__of_what_is_not_there_fails),
        cmocka_unit_test(seed_sum__keeps_the_bytes_it_is_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
