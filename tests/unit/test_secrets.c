/* Buffers that carried the nodes' password are overwritten: memory that is given back, a stack above all, may be shown to
 * others by any fault to come. explicit_bzero() and the reader of the password file are called through here, so each buffer
 * is known that was filled and each that was wiped. test_conn.c and test_output.c look at memory that is freed.
 * TEST WRAP: explicit_bzero __explicit_bzero_chk mms_config_read_password */
#include "office.h"

#include "mms_config.h"
#include "mms_replicator.h"

#define WORD "hunter2"
#define WIPED_MAX 64
#define KEPT 1024 /* of what a wiped buffer began with */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* replicators wipe too */
static struct {
	const char *at;
	size_t len;
	char bytes[KEPT];
} wiped[WIPED_MAX];
static unsigned wiped_count;
static struct {
	const char *at;
	unsigned wiped_before;
} filled[WIPED_MAX]; /* where passwords were read to */
static unsigned filled_count;
static char path[128];

void __real_explicit_bzero(void *at, size_t len);
void __wrap_explicit_bzero(void *at, size_t len);
void __wrap___explicit_bzero_chk(void *at, size_t len, size_t size);
enum mms_status __real_mms_config_read_password(const char *file, char out[MMS_SECRET_MAX + 1], struct mms_error *error);
enum mms_status __wrap_mms_config_read_password(const char *file, char out[MMS_SECRET_MAX + 1], struct mms_error *error);

void __wrap_explicit_bzero(void *at, size_t len)
{
	pthread_mutex_lock(&lock);
	if (wiped_count < WIPED_MAX) {
		wiped[wiped_count].at = at;
		wiped[wiped_count].len = len;
		memcpy(wiped[wiped_count].bytes, at, len < KEPT ? len : KEPT);
		wiped_count++;
	}
	pthread_mutex_unlock(&lock);
	__real_explicit_bzero(at, len);
}

/* The same in a build with _FORTIFY_SOURCE. */
void __wrap___explicit_bzero_chk(void *at, size_t len, size_t size)
{
	(void) size;
	__wrap_explicit_bzero(at, len);
}

enum mms_status __wrap_mms_config_read_password(const char *file, char out[MMS_SECRET_MAX + 1], struct mms_error *error)
{
	const enum mms_status status = __real_mms_config_read_password(file, out, error);

	pthread_mutex_lock(&lock);
	if (filled_count < WIPED_MAX && status == MMS_OK && out[0] != '\0') {
		filled[filled_count].at = out;
		filled[filled_count++].wiped_before = wiped_count;
	}
	pthread_mutex_unlock(&lock);
	return status;
}

static void forget_all(void)
{
	assert_true(wiped_count < WIPED_MAX && filled_count < WIPED_MAX);
	wiped_count = filled_count = 0;
}

/* Was a buffer wiped that began with these bytes, all of them; one that begins there (NULL: anywhere)? Of all wiped, the first
 * so many don't count. */
static bool was_wiped(unsigned first, const char *at, const char *bytes, size_t len)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (unsigned index = first; index < wiped_count; index++) {
		found = found || ((at == NULL || wiped[index].at == at) && wiped[index].len >= len
				&& memcmp(wiped[index].bytes, bytes, len) == 0);
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static void assert_all_filled_were_wiped(unsigned expected)
{
	assert_int_equal(filled_count, expected);
	for (unsigned index = 0; index < filled_count; index++) {
		assert_true(was_wiped(filled[index].wiped_before, filled[index].at, WORD, strlen(WORD)));
	}
}

static void write_file(const char *content, size_t len)
{
	int fd;

	snprintf(path, sizeof(path), "%s/password", rig_servers[0].directory);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), len);
	close(fd);
}

/* Also of a file that is refused: it is no less the password because a line behind it is wrong. */
static void what_stood_in_the_file_is_wiped(void **state)
{
	static char big[MMS_SECRET_MAX + 100];
	const struct { const char *content; size_t len; enum mms_status expected; } cases[] = {
		{WORD, strlen(WORD), MMS_OK}, {WORD "\n# of all nodes\n", strlen(WORD) + 16, MMS_OK},
		{"\n" WORD, strlen(WORD) + 1, MMS_ERR_CONFIG}, {WORD "\0x", strlen(WORD) + 2, MMS_ERR_CONFIG},
		{big, sizeof(big), MMS_ERR_CONFIG}};
	char out[MMS_SECRET_MAX + 1];

	(void) state;
	memset(big, 'x', sizeof(big));
	memcpy(big, WORD, strlen(WORD));
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		const size_t len = cases[index].len, read_len = len <= MMS_SECRET_MAX ? len : MMS_SECRET_MAX + 1;

		write_file(cases[index].content, len);
		forget_all();
		assert_int_equal(mms_config_read_password(path, out, NULL), cases[index].expected);
		assert_true(was_wiped(0, NULL, cases[index].content, read_len));
		assert_false(was_wiped(0, out, "", 0)); /* that is the caller's */
	}
	unlink(path);
}

/* It stands in the connection's queue then, and nothing of that has been sent, so nothing was wiped there. */
static void the_command_that_authenticates_is_wiped(void **state)
{
	static const char without[] = "*2\r\n$4\r\nAUTH\r\n$7\r\n" WORD "\r\n", with[] = "*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$7\r\n" WORD "\r\n";
	struct sockaddr_un address = address_of_path(rig_servers[0].socket_path);
	struct mms_error error;

	(void) state;
	for (unsigned round = 0; round < 2; round++) {
		const char *expected = round == 0 ? without : with;
		const struct mms_conn_options options = { .node_name = "n0", .node_address = "unix", .user = slice(round == 0 ? "" : "joe"),
			.password = slice(WORD), .max_reply_bytes = 1 << 20, .max_output_bytes = 1 << 20 };
		struct mms_conn *conn = mms_conn_new(&options);

		assert_non_null(conn);
		forget_all();
		assert_int_equal(mms_conn_open(conn, (struct sockaddr *) &address, sizeof(address), &error), MMS_OK);
		assert_true(mms_conn_queued_bytes(conn) > strlen(expected));
		assert_true(was_wiped(0, NULL, expected, strlen(expected)));
		mms_conn_free(conn);
	}
}

/* The node says that it wants a password, or another one: the file may have a new one by now. */
static void a_password_that_a_link_reads_anew_is_wiped_where_it_was_read_to(void **state)
{
	struct fake *fake;
	struct host *host;
	struct desk *desk;

	(void) state;
	rig_fresh();
	write_file(WORD, strlen(WORD));
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	snprintf(host->cluster->settings.password_file, sizeof(host->cluster->settings.password_file), "%s", path);
	desk = desk_open(host);
	fake_says(fake, "SCRIPT", "-NOAUTH Authentication required.\r\n", -1);
	mms_link_connect(desk_link(desk, 0));
	desk_await(desk, desk_link(desk, 0)->state == MMS_LINK_DOWN);
	assert_int_equal(mms_conn_refusal(desk_link(desk, 0)->conn), MMS_CLASS_AUTH);
	forget_all();
	mms_link_connect(desk_link(desk, 0));
	assert_string_equal(desk->office.password, WORD);
	assert_all_filled_were_wiped(1);
	assert_true(filled[0].at != desk->office.password); /* a file that can't be read takes nothing away */
	desk_close(desk);
	fake_free(fake);
	unlink(path);
}

static void a_client_wipes_what_it_read_anew_and_at_its_end_what_it_had(void **state)
{
	struct mms_settings settings;
	struct host *host;

	(void) state;
	rig_fresh();
	write_file(WORD " one", strlen(WORD) + 4);
	settings_default(&settings, 1, "web1");
	snprintf(settings.password_file, sizeof(settings.password_file), "%s", path);
	forget_all();
	host = host_with(&settings, RIG_MAILBOX);
	assert_false(mms_client_refresh_password(host->client));
	write_file(WORD " two", strlen(WORD) + 4);
	assert_true(mms_client_refresh_password(host->client));
	host_free(host);
	assert_all_filled_were_wiped(3);
	unlink(path);
}

static void a_replicator_wipes_its_password_when_it_leaves_office(void **state)
{
	struct mms_descriptors *descriptors = calloc(1, sizeof(*descriptors));
	struct mms_replicator_host in = { .descriptors = descriptors };
	struct mms_replicator *replicator;
	struct mms_settings settings;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	write_file(WORD, strlen(WORD));
	fake = fake_start(0);
	fake_says(fake, "AUTH", "+OK\r\n", -1);
	settings_with_fake(&settings, 1, 0, fake);
	snprintf(settings.password_file, sizeof(settings.password_file), "%s", path);
	host = host_with(&settings, RIG_MAILBOX);
	in.shm = host->shm;
	in.shape = &host->shape;
	forget_all();
	replicator = mms_replicator_start(&in, host->cluster, &host->cluster->settings, NULL);
	assert_non_null(replicator);
	await(atomic_load(&host->cluster->nodes[0].node_id) != 0);
	assert_true(mms_replicator_stop(replicator, 0, false));
	assert_all_filled_were_wiped(1);
	host_free(host);
	free(descriptors);
	fake_free(fake);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_stood_in_the_file_is_wiped),
		cmocka_unit_test(the_command_that_authenticates_is_wiped),
		cmocka_unit_test(a_password_that_a_link_reads_anew_is_wiped_where_it_was_read_to),
		cmocka_unit_test(a_client_wipes_what_it_read_anew_and_at_its_end_what_it_had),
		cmocka_unit_test(a_replicator_wipes_its_password_when_it_leaves_office),
	};

	return rig_run(tests);
}
