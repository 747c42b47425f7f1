/* Host names, off the request path: failure, a slow server, changed and dead addresses. The DNS server is ours, in a network
 * and with an /etc/resolv.conf that this process has for itself.
 * TEST SECONDS: 180 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* unshare */
#endif
#include "office.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "mms_address.h"
#include "mms_resolver.h"

#define MINE "nameserver 127.0.0.1\noptions timeout:2\n"

static struct {
	int fd;
	pthread_t thread;
	_Atomic int addresses[2]; /* last byte of 10.0.0.x; 0 = none */
	_Atomic int fails;        /* NXDOMAIN */
	_Atomic int silent;
	_Atomic int delay_ms;
	_Atomic int asked;
} dns;

static bool is_alone; /* in a network of our own */

static size_t answer_query(unsigned char *packet, size_t len)
{
	size_t end = 12;
	int count = 0;
	bool ipv4;

	while (end < len && packet[end] != 0) {
		end += packet[end] + 1u;
	}
	end += 5;
	ipv4 = packet[end - 3] == 1;
	packet[2] = 0x81;
	packet[3] = atomic_load(&dns.fails) ? 0x83 : 0x80;
	for (int i = 0; i < 2 && ipv4 && !atomic_load(&dns.fails); i++) {
		const int last = atomic_load(&dns.addresses[i]);
		const unsigned char record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, (unsigned char) last };

		if (last != 0) {
			memcpy(packet + end, record, sizeof(record));
			end += sizeof(record);
			count++;
		}
	}
	memset(packet + 6, 0, 6);
	packet[7] = (unsigned char) count;
	return end;
}

static void *serve_dns(void *argument)
{
	(void) argument;
	for (;;) {
		unsigned char packet[512];
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		const ssize_t got = recvfrom(dns.fd, packet, 400, 0, (struct sockaddr *) &from, &from_len);
		size_t len;

		if (got < 12) {
			return NULL;
		}
		atomic_fetch_add(&dns.asked, 1);
		if (atomic_load(&dns.silent)) {
			continue;
		}
		len = answer_query(packet, (size_t) got);
		nap_us(atomic_load(&dns.delay_ms) * INT64_C(1000));
		(void) sendto(dns.fd, packet, len, 0, (struct sockaddr *) &from, from_len);
	}
}

static bool go_alone(void)
{
	char path[] = "/tmp/resolv-XXXXXX";
	struct sockaddr_in address = address_of_port(53);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;
	bool mounted;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
		return false;
	}
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, MINE, strlen(MINE)), (ssize_t) strlen(MINE));
	assert_int_equal(fchmod(fd, 0644), 0);
	close(fd);
	mounted = mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
	unlink(path);
	dns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return mounted && ioctl(dns.fd, SIOCSIFFLAGS, &lo) == 0
			&& bind(dns.fd, (struct sockaddr *) &address, sizeof(address)) == 0
			&& pthread_create(&dns.thread, NULL, serve_dns, NULL) == 0;
}

static int set_up(void **state)
{
	(void) state;
	is_alone = go_alone();
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	if (is_alone) {
		shutdown(dns.fd, SHUT_RDWR);
		pthread_join(dns.thread, NULL);
	}
	return 0;
}

struct bureau {
	struct desk *desk;
	struct mms_resolver *resolver;
};

static void open_bureau(struct bureau *bureau)
{
	struct mms_settings settings;

	if (!is_alone) {
		skip();
	}
	atomic_store(&dns.addresses[0], 1);
	atomic_store(&dns.addresses[1], 0);
	atomic_store(&dns.fails, 0);
	atomic_store(&dns.silent, 0);
	atomic_store(&dns.delay_ms, 0);
	atomic_store(&dns.asked, 0);
	settings_from(&settings, "tcp://127.0.0.9:7000?name=n0 tcp://web2.test:7001?name=n1", "web1");
	bureau->desk = desk_open(host_with(&settings, RIG_MAILBOX));
	bureau->resolver = mms_resolver_new(&bureau->desk->office);
	assert_non_null(bureau->resolver);
}

static void close_bureau(struct bureau *bureau)
{
	mms_resolver_free(bureau->resolver);
	event_base_loop(bureau->desk->office.base, EVLOOP_NONBLOCK); /* what was under way is told that it is over */
	desk_close(bureau->desk);
}

/* Last byte of the address of web2, 0 = none yet. */
static int address_of_web2(const struct bureau *bureau)
{
	struct sockaddr_storage address;
	socklen_t len = 0;

	if (!mms_address_current(&bureau->desk->host->settings.nodes[1], &bureau->desk->host->cluster->nodes[1], &address, &len)) {
		return 0;
	}
	assert_int_equal(address.ss_family, AF_INET);
	assert_int_equal(ntohs(((struct sockaddr_in *) &address)->sin_port), 7001);
	return (int) (ntohl(((struct sockaddr_in *) &address)->sin_addr.s_addr) & 0xff);
}

/* A turn of the replicator's loop, its clock that much later; never long. */
static void turn(struct bureau *bureau, int64_t later_us)
{
	const int64_t before = now_us();

	desk_turn(bureau->desk);
	bureau->desk->office.now.us += later_us;
	mms_resolver_run(bureau->resolver);
	assert_true(now_us() - before < 1000000);
}

#define turn_until(bureau, condition) \
	do { \
		const int64_t turn_until_us = now_us() + 30000000; \
		while (!(condition)) { \
			if (now_us() > turn_until_us) { \
				fail_msg("turned in vain for %s", #condition); \
			} \
			turn(bureau, 0); \
		} \
	} while (0)

static void a_name_becomes_an_address_in_shared_memory(void **state)
{
	struct bureau bureau;

	(void) state;
	open_bureau(&bureau);
	assert_int_equal(address_of_web2(&bureau), 0);
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	close_bureau(&bureau);
}

static void a_failure_is_named_and_asked_again(void **state)
{
	char text[MMS_BREAKER_TEXT_SIZE] = "";
	struct mms_breaker_sh *breaker;
	struct bureau bureau;
	int asked;

	(void) state;
	open_bureau(&bureau);
	atomic_store(&dns.fails, 1);
	breaker = desk_breaker(bureau.desk, 1);
	turn_until(&bureau, mms_breaker_last_error(breaker, text, sizeof(text)).ms != 0);
	assert_non_null(strstr(text, "node n1 (tcp://web2.test:7001): host name: "));
	assert_false(mms_breaker_allows_write(breaker)); /* a node without an address is down: hints, and a line in the log */
	desk_link(bureau.desk, 1)->probing = true;
	mms_link_connect(desk_link(bureau.desk, 1));
	assert_false(desk_link(bureau.desk, 1)->probing); /* or the next probe would never come */
	assert_int_equal(desk_link(bureau.desk, 1)->state, MMS_LINK_DOWN);
	asked = atomic_load(&dns.asked);
	for (int i = 0; i < 50; i++) {
		turn(&bureau, 0);
	}
	assert_int_equal(atomic_load(&dns.asked), asked); /* not at once */
	assert_true(mms_resolver_next_us(bureau.resolver) - bureau.desk->office.now.us <= 2000000);
	atomic_store(&dns.fails, 0);
	turn(&bureau, 2100000);
	bureau.desk->office.now.us += 2100000;
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	close_bureau(&bureau);
}

static void a_failure_keeps_the_address_that_was(void **state)
{
	struct bureau bureau;
	int asked;

	(void) state;
	open_bureau(&bureau);
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	atomic_store(&dns.fails, 1);
	asked = atomic_load(&dns.asked);
	do { /* desk_turn() sets the clock: it is put ahead right before the look */
		desk_turn(bureau.desk);
		bureau.desk->office.now.us += 16000000;
		mms_resolver_run(bureau.resolver);
	} while (atomic_load(&dns.asked) == asked);
	for (int i = 0; i < 500; i++) {
		turn(&bureau, 0);
	}
	assert_int_equal(address_of_web2(&bureau), 1);
	assert_true(mms_breaker_allows_write(desk_breaker(bureau.desk, 1)));
	close_bureau(&bureau);
}

static void a_server_that_takes_seconds_holds_nothing_up(void **state)
{
	struct bureau bureau;

	(void) state;
	open_bureau(&bureau);
	atomic_store(&dns.delay_ms, 2500); /* A and AAAA one after the other: 5 s */
	turn_until(&bureau, address_of_web2(&bureau) == 1); /* and no turn of it took a second */
	close_bureau(&bureau);
}

static void a_changed_address_is_used_within_half_a_minute(void **state)
{
	struct bureau bureau;

	(void) state;
	open_bureau(&bureau);
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	atomic_store(&dns.addresses[0], 2);
	assert_in_range(mms_resolver_next_us(bureau.resolver) - bureau.desk->office.now.us, 1, 30000000);
	while (address_of_web2(&bureau) != 2) {
		turn(&bureau, 16000000);
	}
	close_bureau(&bureau);
}

static void give_us(const char *label, uint32_t last)
{
	struct ifreq alias = { .ifr_flags = 0 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + last) };

	(void) snprintf(alias.ifr_name, sizeof(alias.ifr_name), "%s", label);
	memcpy(&alias.ifr_addr, &address, sizeof(address));
	assert_int_equal(ioctl(dns.fd, SIOCSIFADDR, &alias), 0);
}

/* Both servers run, as where a node is moved and the old one kept for a way back. */
static void the_connection_to_an_old_address_is_not_kept(void **state)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(7001) };
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct bureau bureau;
	struct mms_link *link;

	(void) state;
	open_bureau(&bureau);
	link = desk_link(bureau.desk, 1);
	give_us("lo:1", 1);
	give_us("lo:2", 2);
	assert_int_equal(bind(listener, (struct sockaddr *) &any, sizeof(any)), 0);
	assert_int_equal(listen(listener, 4), 0);
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	for (int last = 2; last > 0; last--) {
		const int asked = atomic_load(&dns.asked);

		mms_link_connect(link);
		assert_int_equal(link->state, MMS_LINK_CONNECTING);
		link->deadline.us += 3600000000; /* nobody answers here */
		link->state = MMS_LINK_READY;
		while (atomic_load(&dns.asked) < asked + 4) {
			turn(&bureau, 16000000);
		}
		assert_int_equal(link->state, MMS_LINK_READY); /* it is the same still */
		atomic_store(&dns.addresses[0], last);
		while (link->state != MMS_LINK_DOWN) {
			turn(&bureau, 16000000);
		}
		assert_int_equal(address_of_web2(&bureau), last);
		assert_true(mms_breaker_allows_write(desk_breaker(bureau.desk, 1)));
	}
	close(listener);
	close_bureau(&bureau);
}

static void a_node_that_goes_down_is_asked_for_at_once(void **state)
{
	struct bureau bureau;

	(void) state;
	open_bureau(&bureau);
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	assert_true(mms_resolver_next_us(bureau.resolver) - bureau.desk->office.now.us > 10000000);
	host_open_breaker(bureau.desk->host, 1, MMS_FAULT_HARD);
	assert_true(mms_resolver_next_us(bureau.resolver) - bureau.desk->office.now.us <= 2000000);
	atomic_store(&dns.addresses[0], 2);
	turn(&bureau, 2100000);
	turn_until(&bureau, address_of_web2(&bureau) == 2);
	close_bureau(&bureau);
}

static void the_address_in_use_stays_while_the_name_has_it(void **state)
{
	struct bureau bureau;
	int asked;

	(void) state;
	open_bureau(&bureau);
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	atomic_store(&dns.addresses[0], 2); /* in another order, as servers like to answer */
	atomic_store(&dns.addresses[1], 1);
	asked = atomic_load(&dns.asked);
	while (atomic_load(&dns.asked) < asked + 6) {
		turn(&bureau, 16000000);
	}
	assert_int_equal(address_of_web2(&bureau), 1);
	close_bureau(&bureau);
}

static void the_next_address_is_tried_when_the_first_is_dead(void **state)
{
	struct bureau bureau;

	(void) state;
	open_bureau(&bureau);
	atomic_store(&dns.addresses[1], 2);
	turn_until(&bureau, address_of_web2(&bureau) == 1);
	host_open_breaker(bureau.desk->host, 1, MMS_FAULT_HARD);
	while (address_of_web2(&bureau) != 2) {
		turn(&bureau, 16000000);
	}
	while (address_of_web2(&bureau) != 1) { /* and round again, while the breaker is open */
		turn(&bureau, 16000000);
	}
	close_bureau(&bureau);
}

static void a_request_waits_for_names_once_and_within_its_budget(void **state)
{
	struct mms_settings settings;
	struct host *host;
	int64_t before;

	(void) state;
	settings_from(&settings, "tcp://web1.test:7000?name=n0 tcp://web2.test:7001?name=n1", "web1");
	settings.budget_ms = 100;
	host = host_with(&settings, RIG_MAILBOX);
	before = now_us();
	mms_client_await_names(host->client, host_deadline(host));
	assert_in_range(now_us() - before, 90000, 3000000);
	before = now_us();
	mms_client_await_names(host->client, host_deadline(host));
	assert_true(now_us() - before < 90000);
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_becomes_an_address_in_shared_memory),
		cmocka_unit_test(a_failure_is_named_and_asked_again),
		cmocka_unit_test(a_failure_keeps_the_address_that_was),
		cmocka_unit_test(a_server_that_takes_seconds_holds_nothing_up),
		cmocka_unit_test(a_changed_address_is_used_within_half_a_minute),
		cmocka_unit_test(the_connection_to_an_old_address_is_not_kept),
		cmocka_unit_test(a_node_that_goes_down_is_asked_for_at_once),
		cmocka_unit_test(the_address_in_use_stays_while_the_name_has_it),
		cmocka_unit_test(the_next_address_is_tried_when_the_first_is_dead),
		cmocka_unit_test(a_request_waits_for_names_once_and_within_its_budget),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
