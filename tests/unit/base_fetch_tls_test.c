/* Tests of TLS in base/fetch_easy.c, against `openssl s_server` with certificates made here. */
#include "tests/unit/base_fetch_run.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static char folder[] = "/tmp/base_fetch_tls_test.XXXXXX";
static char ca_file[100], wrong_ca_file[100], key_file[100];
static pid_t server;
static int server_port;
static FILE *server_out; /* kept open, or its first line would kill it */

/* The program's standard output comes through *out_fd when that is not NULL. */
static pid_t spawn(const char *const argv[], int *out_fd)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid;

    DT_ASSERT(pipe(ends) == 0 && posix_spawn_file_actions_init(&actions) == 0);
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    (void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_RDWR, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    (void)posix_spawn_file_actions_addclose(&actions, ends[0]);
    DT_ASSERT(posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ) == 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (out_fd != NULL)
        *out_fd = ends[0];
    else
        close(ends[0]);
    return pid;
}

/* A certificate that signs itself is its own CA. */
static void certificate_make(const char *key, const char *cert)
{
    const char *const argv[] = {"openssl",
                                "req",
                                "-x509",
                                "-newkey",
                                "ec",
                                "-pkeyopt",
                                "ec_paramgen_curve:P-256",
                                "-nodes",
                                "-days",
                                "2",
                                "-subj",
                                "/CN=test",
                                "-addext",
                                "subjectAltName=IP:127.0.0.1",
                                "-keyout",
                                key,
                                "-out",
                                cert,
                                NULL};
    pid_t pid = spawn(argv, NULL);
    int status;

    DT_ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void file_write(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    DT_ASSERT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Serves whole responses out of files in its folder, to one client at a time; says "ACCEPT
 * 127.0.0.1:port" when ready. */
static void server_start(void)
{
    const char *const argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
                                ca_file,   "-key",     key_file,  "-HTTP",       NULL};
    char line[200] = "";
    const char *colon;
    int fd;

    server = spawn(argv, &fd);
    server_out = fdopen(fd, "r");
    while (strncmp(line, "ACCEPT ", 7) != 0)
        DT_ASSERT(fgets(line, sizeof(line), server_out) != NULL);
    colon = strrchr(line, ':');
    DT_ASSERT(colon != NULL);
    server_port = (int)strtol(colon + 1, NULL, 10);
}

static int tls_setup(void **state)
{
    char downgrade[200];

    DT_ASSERT(mkdtemp(folder) != NULL);
    (void)snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
    (void)snprintf(wrong_ca_file, sizeof(wrong_ca_file), "%s/wrong.pem", folder);
    (void)snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", folder);
    certificate_make(key_file, wrong_ca_file);
    certificate_make(key_file, ca_file);
    DT_ASSERT(chdir(folder) == 0);
    (void)setup(state);
    file_write("whole", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde");
    (void)snprintf(downgrade, sizeof(downgrade),
                   "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n"
                   "Location: http://127.0.0.1:%d/whole?5\r\n\r\n",
                   origin.port);
    file_write("downgrade", downgrade);
    server_start();
    return 0;
}

static int tls_teardown(void **state)
{
    (void)kill(server, SIGTERM);
    (void)waitpid(server, NULL, 0);
    fclose(server_out);
    (void)unlink("whole");
    (void)unlink("downgrade");
    (void)unlink(key_file);
    (void)unlink(wrong_ca_file);
    (void)unlink(ca_file);
    (void)rmdir(folder);
    return teardown(state);
}

static void fetch_tls(struct probe *probe, const char *host, const char *ca)
{
    char url[200];

    (void)snprintf(url, sizeof(url), "https://%s:%d/whole", host, server_port);
    probe_init(probe, url);
    probe->opts.ca_file = ca;
    probe->is_unchecked = true;
    probe_run(probe);
    assert_int_equal(probe->n_dones, 1);
}

static void tls__own_ca_is_believed(void **state)
{
    struct probe probe;

    (void)state;
    for (int i = 0; i < 3; i++) { /* the later ones resume the session */
        fetch_tls(&probe, "127.0.0.1", ca_file);
        if (probe.err.code != 0)
            fail_msg("%s", probe.err.msg);
        assert_int_equal(probe.status, 200);
        assert_string_equal(probe.text, "abcde");
    }
}

static void refused(const char *host, const char *ca, const char *why)
{
    struct probe probe;

    fetch_tls(&probe, host, ca);
    assert_int_equal(probe.n_heads, 0);
    assert_int_equal(probe.err.code, DT_EPROTO);
    if (strstr(probe.err.msg, why) == NULL)
        fail_msg("%s", probe.err.msg);
}

static void tls__wrong_ca_wrong_name_and_missing_ca_are_refused_with_a_reason(void **state)
{
    (void)state;
    refused("127.0.0.1", wrong_ca_file, "certificate");
    refused("127.0.0.1", NULL, "certificate");
    refused("localhost", ca_file, "localhost");
    refused("127.0.0.1", "/nonexistent.pem", "/nonexistent.pem");
}

static void tls__verification_is_off_only_where_asked(void **state)
{
    struct probe probe;
    char url[200];

    (void)state;
    (void)snprintf(url, sizeof(url), "https://localhost:%d/whole", server_port);
    probe_init(&probe, url);
    probe.opts.insecure_tls = true;
    probe.is_unchecked = true;
    probe_run(&probe);
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.status, 200);
    /* Neither its connection nor its session serves one that verifies. */
    refused("localhost", wrong_ca_file, "certificate");
}

static void redirect(struct probe *probe, const char *url)
{
    probe_init(probe, url);
    probe->opts.ca_file = ca_file;
    probe->opts.follow_redirects = true;
    probe->is_unchecked = true;
    probe_run(probe);
}

static void tls__redirect_may_lead_to_https_but_not_back(void **state)
{
    struct probe probe;
    char url[200];

    (void)state;
    (void)snprintf(url, sizeof(url), "/redirect?https://127.0.0.1:%d/whole", server_port);
    redirect(&probe, url);
    assert_int_equal(probe.err.code, 0);
    assert_string_equal(probe.text, "abcde");
    (void)snprintf(url, sizeof(url), "/redirect?https://127.0.0.1:%d/downgrade", server_port);
    redirect(&probe, url); /* it began with http, so nothing is lost */
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.status, 200);
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/downgrade", server_port);
    redirect(&probe, url);
    assert_int_equal(probe.err.code, DT_EPROTO);
    assert_non_null(strstr(probe.err.msg, "https to http"));
    assert_int_equal(probe.n_heads, 0);
}

static void tls__plain_text_is_a_protocol_error(void **state)
{
    struct probe probe;
    char url[200];

    (void)state;
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/not-http", origin.port);
    probe_init(&probe, url);
    probe.opts.connect_timeout_ms = 200;
    probe_run(&probe);
    assert_true(probe.err.code == DT_EPROTO || probe.err.code == DT_ETIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls__own_ca_is_believed),
        cmocka_unit_test(tls__wrong_ca_wrong_name_and_missing_ca_are_refused_with_a_reason),
        cmocka_unit_test(tls__verification_is_off_only_where_asked),
        cmocka_unit_test(tls__redirect_may_lead_to_https_but_not_back),
        cmocka_unit_test(tls__plain_text_is_a_protocol_error),
    };
    return cmocka_run_group_tests(tests, tls_setup, tls_teardown);
}
