/*
 * tests/unit/supernode_options_test.c - what darter-supernode is told, from flags and file.
 */
#include "supernode/options.h"

#include "tests/unit/options_kit.h"

#include "base/units.h"
#include "base/wire/wire.h"

#define KEY "--cluster-key-file /etc/darter/cluster.key "

static void options__only_a_key_has_to_be_given(void **state)
{
    (void)state;
    struct supernode_options options;
    loads(&options, "", KEY "--cache-dir /tmp/none");
    assert_string_equal(options.listen, "0.0.0.0:65010");
    assert_string_equal(options.process.admin_listen, "127.0.0.1:65011");
    assert_string_equal(options.site, "default");
    assert_true(wire_name_is_valid(options.name));
    assert_non_null(strstr(options.name, "-65010"));
    assert_int_equal(options.process.upstreams.n, 1);
    assert_string_equal(options.process.upstreams.list[0].name, "docker.io");
    assert_int_equal(options.process.cache_max_bytes, 100 * GIB);
    assert_int_equal(options.limit_up_bytes, 0);
    assert_int_equal(options.transfer.streams_per_blob, 4);
    supernode_options_fini(&options);
    is_refused("", "", "cluster-key-file: needs a value");
}

static void options__the_file_and_flags_say_the_same_things(void **state)
{
    (void)state;
    struct supernode_options options;
    loads(&options,
          "site: ams1\nname: ams1-a\ncluster-key-file: /k\ntask-limit: 1GiB\nlimit-up: "
          "10MiB\nlimit-down: 11MiB\n"
          "upstreams:\n- name: test.local\n  endpoints:\n  - url: http://127.0.0.1:5000\n",
          "--site ams2 --node-limit-up 5MiB --node-limit-down 6MiB");
    assert_string_equal(options.site, "ams2");
    assert_string_equal(options.name, "ams1-a");
    assert_int_equal(options.task_limit_bytes, GIB);
    assert_int_equal(options.limit_up_bytes, 10 * MIB);
    assert_int_equal(options.limit_down_bytes, 11 * MIB);
    assert_int_equal(options.node_limit_up_bytes, 5 * MIB);
    assert_int_equal(options.node_limit_down_bytes, 6 * MIB);
    assert_string_equal(options.process.upstreams.list[0].name, "test.local");
    supernode_options_fini(&options);
}

static void options__what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *flags, *word;
    } rows[] = {
        {KEY "--site ams/1", "site: \"ams/1\" is no name"},
        {KEY "--name a,b", "name: \"a,b\" is no name"},
        {KEY "--site=", "site: needs a value"},
        {KEY "--listen nowhere", "listen: "},
        {KEY "--listen unix:/run/x", "use IP:PORT"},
        {KEY "--listen 127.0.0.1:65011", "use another port"},
        {KEY "--admin-listen 0.0.0.0:65011", "needs admin-token-file"},
        {KEY "--admin-listen x", "admin-listen: "},
        {KEY "--cache-max 1KiB", "cache-max: "},
        {KEY "--max-uploads 0", "max-uploads: 0 is out of bounds"},
        {KEY "--limit-up 2000TiB", "limit-up: "},
        {KEY "--task-limit 100", "task-limit: 100 bytes per second are too few"},
        {KEY "--limit-down 2000TiB", "limit-down: "},
        {KEY "--task-limit 2000TiB", "task-limit: "},
        {KEY "--node-limit-up 2000TiB", "node-limit-up: "},
        {KEY "--node-limit-down 2000TiB", "node-limit-down: "},
        {KEY "--streams-per-blob 99", "streams-per-blob: "},
        {KEY "--stall-timeout 1ms", "stall-timeout: 1ms is out of bounds"},
        {KEY "--loops 1000", "loops: "},
        {KEY "--workers 1000", "workers: "},
        {KEY "--max-connections 0", "max-connections: "},
        {KEY "--drain 30d", "drain: "},
        {KEY "--log-level loud", "log-level: "},
        {KEY "--log-format xml", "log-format: \"xml\" is not known"},
        {KEY "--upstream nonsense", "upstream: "},
        {KEY "--peer-supernode x", "peer-supernode: "},
        {KEY "--peer-supernode http://b:1/x", "has a path"},
        {KEY "--peer-supernode http://b:1 --peer-supernode http://B:1/", "is named twice"},
        {KEY "--peer-listen x", "unknown option '--peer-listen'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        is_refused("", rows[i].flags, rows[i].word);
}

static void count(void *arg, const char *text)
{
    assert_true(text[0] != '\0');
    ++*(unsigned *)arg;
}

static void options__probable_mistakes_are_warned_of(void **state)
{
    (void)state;
    struct supernode_options options;
    unsigned n = 0;
    loads(&options, "", KEY);
    supernode_options_warnings(&options, count, &n);
    assert_int_equal(n, 0);
    supernode_options_fini(&options);
    char *file = dt_asprintf("upstreams:\n- name: test.local\n  own-credentials: true\n"
                             "  endpoints:\n  - url: https://127.0.0.1:5000\n"
                             "    insecure: true\n    username: reader\n"
                             "    password-file: %s\n",
                             password_path);
    write_file(password_path, "secret\n");
    loads(&options, file, KEY "--listen 127.0.0.1:65010");
    free(file);
    supernode_options_warnings(&options, count, &n);
    assert_int_equal(n, 3);
    supernode_options_fini(&options);
}

static void options__the_printed_sample_can_be_loaded(void **state)
{
    (void)state;
    struct dt_text sample = {0};
    struct supernode_options options;
    dt_config_print_sample(&supernode_config_spec, &sample);
    loads(&options, dt_text_str(&sample), KEY);
    supernode_options_fini(&options);
    dt_text_fini(&sample);
}

static int load_it(void *options, int argc, char **argv, struct dt_err *err)
{
    return supernode_options_load(options, argc, argv, err);
}

int main(void)
{
    kit.program = "darter-supernode";
    kit.size = sizeof(struct supernode_options);
    kit.load = load_it;
    _Static_assert(offsetof(struct supernode_options, process) == 0, "as the kit has it");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options__only_a_key_has_to_be_given),
        cmocka_unit_test(options__the_file_and_flags_say_the_same_things),
        cmocka_unit_test(options__what_makes_no_sense_is_refused),
        cmocka_unit_test(options__probable_mistakes_are_warned_of),
        cmocka_unit_test(options__the_printed_sample_can_be_loaded),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
