/*
 * tests/unit/proxy_options_test.c - what darter-proxy is told, from flags, file and environment.
 */
#include "proxy/options.h"

#include "tests/unit/options_kit.h"

#include "base/units.h"
#include "base/wire/wire.h"

static void options__docker_hub_is_mirrored_when_nothing_is_named(void **state)
{
    (void)state;
    struct proxy_options options;
    loads(&options, "", "");
    assert_int_equal(options.process.upstreams.n, 1);
    assert_string_equal(options.process.upstreams.list[0].name, "docker.io");
    assert_string_equal(options.process.upstreams.list[0].endpoints[0].url,
                        "https://registry-1.docker.io");
    assert_string_equal(options.default_upstream, "docker.io");
    assert_string_equal(options.listen, "127.0.0.1:65001");
    assert_int_equal(options.process.cache_max_bytes, 20 * GIB);
    assert_int_equal(options.transfer.head_deadline_ms, 20000);
    proxy_options_fini(&options);
}

static void options__the_list_of_upstreams_is_read_in_order(void **state)
{
    (void)state;
    struct proxy_options options;
    loads(&options,
          "upstreams:\n"
          "  - name: Harbor.Example:5000\n"
          "    revalidate: 60s\n"
          "    touch: 1h\n"
          "    endpoints:\n"
          "      - url: https://harbor.example:5000\n"
          "        ca-file: /etc/ca.pem\n"
          "        insecure: true\n"
          "      - https://standby.example\n"
          "  - name: quay.io\n"
          "    endpoints: [https://quay.io]\n",
          "");
    assert_int_equal(options.process.upstreams.n, 2);
    const struct reg_upstream *first = &options.process.upstreams.list[0];
    assert_string_equal(first->name, "harbor.example:5000");
    assert_int_equal(first->revalidate_ms, 60000);
    assert_int_equal(first->touch_ms, 3600000);
    assert_int_equal(first->n_endpoints, 2);
    assert_string_equal(first->endpoints[0].ca_file, "/etc/ca.pem");
    assert_true(first->endpoints[0].insecure_tls);
    assert_string_equal(first->endpoints[1].url, "https://standby.example");
    assert_int_equal(first->endpoints[1].index, 1);
    assert_false(first->endpoints[1].insecure_tls);
    assert_string_equal(options.default_upstream, "harbor.example:5000");
    proxy_options_fini(&options);
}

static void options__a_flag_replaces_the_upstream_of_its_name(void **state)
{
    (void)state;
    struct proxy_options options;
    loads(&options,
          "upstreams:\n"
          "  - {name: a.test, endpoints: [https://old.test]}\n"
          "  - {name: b.test, endpoints: [https://b.test]}\n",
          "--upstream a.test=http://new.test,http://standby.test --upstream c.test=http://c.test "
          "--default-upstream C.TEST");
    assert_int_equal(options.process.upstreams.n, 3);
    assert_string_equal(options.process.upstreams.list[0].name, "a.test");
    assert_int_equal(options.process.upstreams.list[0].n_endpoints, 2);
    assert_string_equal(options.process.upstreams.list[0].endpoints[0].url, "http://new.test");
    assert_string_equal(options.process.upstreams.list[1].endpoints[0].url, "https://b.test");
    assert_string_equal(options.process.upstreams.list[2].name, "c.test");
    assert_string_equal(options.default_upstream, "c.test");
    proxy_options_fini(&options);
}

static void options__accounts_are_read_from_their_files(void **state)
{
    (void)state;
    struct proxy_options options;
    char *file = dt_asprintf("upstreams:\n"
                             "  - name: a.test\n"
                             "    own-credentials: true\n"
                             "    endpoints:\n"
                             "      - {url: https://a.test, username: robot, password-file: %s}\n",
                             password_path);
    write_file(password_path, "secret-word\nsecond line\n");
    loads(&options, file, "");
    const struct reg_endpoint *endpoint = &options.process.upstreams.list[0].endpoints[0];
    assert_true(options.process.upstreams.list[0].own_credentials);
    assert_true(endpoint->has_credentials);
    assert_string_equal(endpoint->credentials.username, "robot");
    assert_string_equal(endpoint->credentials.password, "secret-word");
    proxy_options_fini(&options);
    free(file);
}

static void options__dockers_config_is_read_under_the_endpoints_host(void **state)
{
    (void)state;
    struct proxy_options options;
    write_file(password_path, "{\"auths\":{"
                              "\"a.test:5000\":{\"username\":\"ann\",\"password\":\"one\"},"
                              "\"https://index.docker.io/v1/\":{\"username\":\"bob\","
                              "\"password\":\"two\"}}}");
    char *file = dt_asprintf("upstreams:\n"
                             "  - name: a\n"
                             "    endpoints: [{url: \"https://a.test:5000\", docker-config: %s}]\n"
                             "  - name: docker.io\n"
                             "    endpoints: [{url: \"https://registry-1.docker.io\","
                             " docker-config: %s}]\n",
                             password_path, password_path);
    loads(&options, file, "");
    assert_string_equal(options.process.upstreams.list[0].endpoints[0].credentials.username, "ann");
    assert_string_equal(options.process.upstreams.list[1].endpoints[0].credentials.username, "bob");
    proxy_options_fini(&options);
    free(file);
}

static void options__wrong_lists_are_refused_with_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *file, *word;
    } rows[] = {
        {"upstreams: 7\n", "a list"},
        {"upstreams: [7]\n", "a name and endpoints"},
        {"upstreams:\n  - endpoints: [https://a.test]\n", "needs a name"},
        {"upstreams:\n  - name: a.test\n", "needs a list of endpoints"},
        {"upstreams:\n  - {name: a.test, endpoints: []}\n", "needs a list of endpoints"},
        {"upstreams:\n  - {name: \"a b\", endpoints: [https://a.test]}\n", "not a registry's name"},
        {"upstreams:\n  - {name: \"\", endpoints: [https://a.test]}\n", "1 to"},
        {"upstreams:\n  - {name: a.test, endpoints: [ftp://a.test]}\n", "line 2"},
        {"upstreams:\n  - {name: a.test, endpoints: [{ca-file: /x}]}\n", "needs a url"},
        {"upstreams:\n  - {name: a.test, endpoints: [[x]]}\n", "an endpoint is a url"},
        {"upstreams:\n  - {name: a.test, colour: red, endpoints: [https://a.test]}\n", "colour"},
        {"upstreams:\n  - {name: [a], endpoints: [https://a.test]}\n", "single value"},
        {"upstreams:\n  - {name: a.test, touch: often, endpoints: [https://a.test]}\n", "often"},
        {"upstreams:\n  - {name: a.test, revalidate: soon, endpoints: [https://a.test]}\n", "soon"},
        {"upstreams:\n  - {name: a.test, own-credentials: maybe, endpoints: [https://a.test]}\n",
         "maybe"},
        {"upstreams:\n  - {name: a.test, own-credentials: true, endpoints: [https://a.test]}\n",
         "has no account"},
        {"upstreams:\n  - {name: a.test, endpoints: [{url: https://a.test, username: x}]}\n",
         "password-file"},
        {"upstreams:\n  - {name: a.test, endpoints: [{url: https://a.test, insecure: 1}]}\n",
         "insecure"},
        {"upstreams:\n  - {name: a.test, endpoints: [{url: https://a.test, username: x,"
         " password-file: /x, docker-config: /y}]}\n",
         "either"},
        {"upstreams:\n  - {name: a.test, endpoints: [{url: https://a.test,"
         " docker-config: /none/here}]}\n",
         "/none/here"},
        {"upstreams:\n  - {name: a.test, endpoints: [https://a.test]}\n"
         "  - {name: A.test, endpoints: [https://a.test]}\n",
         "named twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        is_refused(rows[i].file, "", rows[i].word);
}

static void options__what_does_not_go_together_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *flags, *word;
    } rows[] = {
        {"--tls-cert /x", "tls-key"},
        {"--tls-key /x", "tls-cert"},
        {"--admin-listen 0.0.0.0:65003", "admin-token-file"},
        {"--admin-listen nowhere", "admin-listen"},
        {"--listen 1.2.3.4", "listen"},
        {"--listen=", "listen"},
        {"--peer-listen x", "peer-listen"},
        {"--listen 127.0.0.1:1 --admin-listen 127.0.0.1:1", "another port"},
        {"--cache-max 1KiB", "cache-max"},
        {"--loops 100000", "loops"},
        {"--workers 100000", "workers"},
        {"--max-connections 0", "max-connections"},
        {"--streams-per-blob 0", "streams-per-blob"},
        {"--head-deadline 1ms", "head-deadline"},
        {"--stall-timeout 0s", "stall-timeout"},
        {"--tag-budget 0s", "tag-budget"},
        {"--drain 100d", "drain"},
        {"--log-level loud", "log-level"},
        {"--log-format xml", "log-format"},
        {"--upstream x", "upstream"},
        {"--upstream a,b=https://a.test", "upstream"},
        {"--default-upstream none.test", "none.test"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        is_refused("", rows[i].flags, rows[i].word);
}

static void options__an_open_admin_port_is_fine_with_a_token(void **state)
{
    (void)state;
    struct proxy_options options;
    loads(&options, "", "--admin-listen 0.0.0.0:65003 --admin-token-file /etc/token");
    proxy_options_fini(&options);
    loads(&options, "", "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"); /* any free port */
    proxy_options_fini(&options);
}

static void options__the_cache_goes_where_the_state_is(void **state)
{
    (void)state;
    struct proxy_options options;
    setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    loads(&options, "", "");
    assert_string_equal(options.process.cache_dir, "/var/lib/one/cache");
    proxy_options_fini(&options);
    loads(&options, "", "--cache-dir /srv/cache");
    assert_string_equal(options.process.cache_dir, "/srv/cache");
    proxy_options_fini(&options);
    unsetenv("STATE_DIRECTORY");
    if (geteuid() == 0) {
        loads(&options, "", "");
        assert_string_equal(options.process.cache_dir, "/var/lib/darter/cache");
        proxy_options_fini(&options);
    }
}

static void collect(void *arg, const char *text)
{
    dt_text_addf(arg, "%s\n", text);
}

static void options__probable_mistakes_are_warned_of(void **state)
{
    (void)state;
    struct proxy_options options;
    struct dt_text said = {0};
    loads(&options, "", "");
    proxy_options_warnings(&options, collect, &said);
    assert_string_equal(dt_text_str(&said), "");
    proxy_options_fini(&options);

    write_file(password_path, "secret-word\n");
    char *file = dt_asprintf("upstreams:\n"
                             "  - name: a.test\n"
                             "    own-credentials: true\n"
                             "    endpoints:\n"
                             "      - {url: \"http://a.test\", username: robot,"
                             " password-file: %s, insecure: true}\n",
                             password_path);
    loads(&options, file,
          "--listen 0.0.0.0:1 --head-deadline 40s --tag-fresh 2s --tag-stale 1s"
          " --cluster-key-file /key --peer-listen 127.0.0.1:1");
    proxy_options_warnings(&options, collect, &said);
    static const char *const words[] = {"without TLS",         "own-credentials", "not checked",
                                        "travels unencrypted", "head-deadline",   "tag-stale",
                                        "peer-listen"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        assert_non_null(strstr(dt_text_str(&said), words[i]));
    assert_null(strstr(dt_text_str(&said), "secret-word"));
    proxy_options_fini(&options);
    dt_text_fini(&said);
    free(file);
}

static void options__the_printed_sample_can_be_loaded(void **state)
{
    (void)state;
    struct proxy_options options, plain;
    struct dt_text sample = {0};
    dt_config_print_sample(&proxy_config_spec, &sample);
    loads(&options, dt_text_str(&sample), "");
    loads(&plain, "", "");
    assert_int_equal(options.process.upstreams.n, plain.process.upstreams.n);
    assert_string_equal(options.process.upstreams.list[0].name,
                        plain.process.upstreams.list[0].name);
    assert_string_equal(options.process.upstreams.list[0].endpoints[0].url,
                        plain.process.upstreams.list[0].endpoints[0].url);
    proxy_options_fini(&options);
    proxy_options_fini(&plain);
    dt_text_fini(&sample);
}

/* ---- the swarm ---- */

static void options__a_node_of_a_swarm_has_a_key_and_supernodes(void **state)
{
    (void)state;
    struct proxy_options options;
    loads(&options,
          "cluster-key-file: /k\nsupernode: [\"http://sn1:65010\", \"https://[::1]:65010/\"]\n"
          "site: dc-1\n",
          "--rack r.7 --node-name n_1 --advertise 2001:db8::7 --supernode-ca /ca.pem");
    assert_int_equal(options.supernodes.n, 2);
    assert_string_equal(options.supernodes.items[0], "http://sn1:65010");
    assert_string_equal(options.supernodes.items[1], "https://[::1]:65010");
    assert_string_equal(options.site, "dc-1");
    assert_string_equal(options.rack, "r.7");
    assert_string_equal(options.node_name, "n_1");
    assert_string_equal(options.advertise, "2001:db8::7");
    assert_string_equal(options.cluster_key_file, "/k");
    assert_string_equal(options.supernode_ca, "/ca.pem");
    proxy_options_fini(&options);
}

static void options__without_any_there_is_no_swarm(void **state)
{
    (void)state;
    struct proxy_options options;
    loads(&options, "", "");
    assert_int_equal(options.supernodes.n, 0);
    assert_null(options.cluster_key_file);
    assert_string_equal(options.site, "default");
    assert_null(options.rack);
    assert_true(wire_name_is_valid(options.node_name));
    proxy_options_fini(&options);
}

static void options__what_makes_no_swarm_is_refused(void **state)
{
    (void)state;
    is_refused("", "--supernode http://sn1:65010", "cluster-key-file");
    is_refused("", "--cluster-key-file /k --supernode sn1:65010", "supernode");
    is_refused("", "--cluster-key-file /k --supernode ftp://sn1", "supernode");
    is_refused("", "--cluster-key-file /k --supernode http://sn1/path", "path");
    is_refused("", "--cluster-key-file /k --supernode http://sn1 --supernode http://SN1:80",
               "twice");
    is_refused("", "--site a/b", "site");
    is_refused("", "--site=", "site");
    is_refused("", "--rack r$7", "rack");
    is_refused("node-name: \"two words\"\n", "", "node-name");
    is_refused("", "--advertise node.example", "advertise");
    is_refused("", "--advertise 192.0.2.1:65002", "advertise");
    is_refused("", "--cluster-key-file /k --peer-listen unix:/run/x", "peer-listen");
    struct dt_text many = {0};
    dt_text_add(&many, "cluster-key-file: /k\nsupernode:\n");
    for (unsigned i = 0; i <= PROXY_SUPERNODES_MAX; i++)
        dt_text_addf(&many, "  - http://sn%u\n", i);
    is_refused(dt_text_str(&many), "", "at most");
    dt_text_fini(&many);
}

static int load_it(void *options, int argc, char **argv, struct dt_err *err)
{
    return proxy_options_load(options, argc, argv, err);
}

int main(void)
{
    kit.program = "darter-proxy";
    kit.size = sizeof(struct proxy_options);
    kit.load = load_it;
    _Static_assert(offsetof(struct proxy_options, process) == 0, "as the kit has it");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options__a_node_of_a_swarm_has_a_key_and_supernodes),
        cmocka_unit_test(options__without_any_there_is_no_swarm),
        cmocka_unit_test(options__what_makes_no_swarm_is_refused),
        cmocka_unit_test(options__docker_hub_is_mirrored_when_nothing_is_named),
        cmocka_unit_test(options__the_list_of_upstreams_is_read_in_order),
        cmocka_unit_test(options__a_flag_replaces_the_upstream_of_its_name),
        cmocka_unit_test(options__accounts_are_read_from_their_files),
        cmocka_unit_test(options__dockers_config_is_read_under_the_endpoints_host),
        cmocka_unit_test(options__wrong_lists_are_refused_with_line_and_reason),
        cmocka_unit_test(options__what_does_not_go_together_is_refused),
        cmocka_unit_test(options__an_open_admin_port_is_fine_with_a_token),
        cmocka_unit_test(options__the_cache_goes_where_the_state_is),
        cmocka_unit_test(options__probable_mistakes_are_warned_of),
        cmocka_unit_test(options__the_printed_sample_can_be_loaded),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
