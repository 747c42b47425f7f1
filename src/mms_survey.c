/* The survey. Its difficulty is to blame the right one. A host's own machine carries its local node, whose clock is as wrong as
 * the host's: there all others look wrong. So a host is named only when at least half of the nodes find it off; with two nodes
 * nobody can tell, and both are named. And one host may have several PHPs (php-fpm, scripts), with one id and in one place:
 * two hosts with one id are in two places. */
#include "mms_survey.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mms_identity.h"
#include "mms_refusal.h"

#define EVERY_US 5000000
#define SETTINGS_EVERY_US 60000000
#define REFUSED_US 600000000      /* after NOPERM: the server logs each of them */
#define ROUND_TRIP_MAX_US 200000  /* a slower answer says too little about the clock */
#define LATE_MAX 2                /* so often it is waited for; a node that is always late has no say */
#define FRESH_MS 20000            /* by the node's clock: older entries are of hosts that are gone */
#define FORGOTTEN_MS 3600000
#define OFFSET_MAX_MS (INT64_C(1) << 47) /* some thousand years: nobody's */
#define SUSPICION_US 60000000     /* a clock that was wrong stays under suspicion so long */
#define HOSTS_MAX 64

struct sighting {
	char host_id[MMS_HOST_ID_MAX + 1];
	int64_t offset_ms; /* its clock minus the node's */
};

struct outlook {
	struct mms_mono due, settings_due;
	struct mms_mono asked_at;
	struct mms_wall asked_wall;
	int64_t first_ms;                    /* by the node's clock: our first visit; 0 = none yet */
	uint32_t late;                       /* answers in a row that took too long to say what the time is */
	bool twin;                           /* our id was seen in another place */
	uint32_t count;
	struct sighting sightings[HOSTS_MAX]; /* fresh ones, our own among them */
};

struct mms_survey {
	struct mms_office *office;
	uint64_t place;
	struct mms_mono wrong_until;
	struct mms_mono spread_until;        /* before it, hosts' clocks count as being as far apart as they were */
	struct outlook outlooks[];           /* one per node */
};

static uint64_t place_of(const struct mms_office *office);
static void ask(struct mms_survey *survey, struct mms_link *link);
static void on_hosts(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_settings(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void enroll(struct mms_survey *survey, struct mms_link *link, int64_t now_ms, int64_t offset_ms);
static void read_entry(struct mms_survey *survey, struct mms_link *link, struct mms_slice field,
		struct mms_slice value, int64_t now_ms);
static void trust_nodes(struct mms_survey *survey);
static void measure_spread(struct mms_survey *survey);
static void judge_clocks(struct mms_survey *survey);
static void judge_twins(struct mms_survey *survey);

struct mms_survey *mms_survey_new(struct mms_office *office)
{
	struct mms_survey *survey = calloc(1, sizeof *survey + office->node_count * sizeof survey->outlooks[0]);

	if (survey != NULL) {
		survey->office = office;
		survey->place = place_of(office);
	}
	return survey;
}

void mms_survey_free(struct mms_survey *survey)
{
	free(survey);
}

void mms_survey_run(struct mms_survey *survey)
{
	if (survey == NULL || survey->office->last_words) {
		return;
	}
	for (unsigned i = 0; i < survey->office->node_count; i++) {
		struct mms_link *link = &survey->office->links[i];

		if (mms_link_ready(link) && mms_link_has_room(link, 2)) {
			ask(survey, link);
		}
	}
}

/* FNV-1a over what another host does not share: the boot of its kernel, its name, its local node. */
static uint64_t place_of(const struct mms_office *office)
{
	char text[512] = "", host[128] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, 64);
	uint64_t hash = UINT64_C(14695981039346656037);

	if (fd >= 0) {
		close(fd);
	}
	(void)gethostname(host, sizeof host - 1);
	len = len < 0 ? 0 : len;
	(void)snprintf(text + len, sizeof text - (size_t)len, " %s %s", host, office->settings->nodes[0].address);
	for (const char *at = text; *at != '\0'; at++) {
		hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
	}
	return hash;
}

static void ask(struct mms_survey *survey, struct mms_link *link)
{
	struct mms_office *office = survey->office;
	struct outlook *outlook = &survey->outlooks[link->index];
	char key[MMS_MARKER_KEY_MAX];
	struct mms_command command;

	if (office->now.us >= outlook->due.us) {
		outlook->due.us = office->now.us + EVERY_US;
		outlook->asked_at = mms_clock_mono();
		outlook->asked_wall = mms_clock_wall();
		mms_hlc_settle(&office->shm->anchor, outlook->asked_wall, mms_clock_boot());
		mms_command_init(&command);
		mms_command_time_and_hash(&command, (struct mms_slice){ key, mms_identity_hosts_key(office->settings, key,
				sizeof key) });
		(void)mms_link_request(link, &command, on_hosts, survey, 0);
	}
	if (office->now.us >= outlook->settings_due.us) {
		outlook->settings_due.us = office->now.us + SETTINGS_EVERY_US;
		mms_command_init(&command);
		mms_command_info_settings(&command);
		(void)mms_link_request(link, &command, on_settings, survey, 0);
	}
}

/* Decimal text of an element; -1 when it is none. */
static int64_t decimal(const struct mms_reply *array, size_t index)
{
	const struct mms_reply *element = mms_reply_element(array, index);
	uint64_t value;

	return element != NULL && mms_slice_decimal(mms_reply_text(element), INT64_MAX / 1000000, &value) ? (int64_t)value : -1;
}

static void add_sighting(struct outlook *outlook, const char *host_id, int64_t offset_ms)
{
	if (outlook->count < HOSTS_MAX) {
		struct sighting *sighting = &outlook->sightings[outlook->count++];

		mms_text_copy(sighting->host_id, sizeof sighting->host_id, mms_slice_of(host_id));
		sighting->offset_ms = offset_ms;
	}
}

static void on_hosts(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_survey *survey = context;
	struct outlook *outlook = &survey->outlooks[link->index];
	struct mms_mono now = mms_clock_mono();
	int64_t now_ms, offset_ms, round_trip_us = now.us - outlook->asked_at.us;

	(void)token;
	if (replies == NULL) {
		return;
	}
	if (mms_reply_type(replies[0]) != MMS_REPLY_ARRAY || mms_reply_type(replies[1]) != MMS_REPLY_ARRAY
			|| decimal(replies[0], 0) < 0 || decimal(replies[0], 1) < 0) {
		(void)mms_refusal_see(link, MMS_REFUSAL_HOSTS_READ, replies[mms_reply_type(replies[0]) == MMS_REPLY_ERROR ? 0 : 1]);
		outlook->due.us = now.us + REFUSED_US;
		return;
	}
	(void)mms_refusal_see(link, MMS_REFUSAL_HOSTS_READ, replies[0]);
	now_ms = decimal(replies[0], 0) * 1000 + decimal(replies[0], 1) / 1000;
	link->clock_ms = mms_clock_apart(now_ms, (outlook->asked_at.us + round_trip_us / 2) / 1000);
	link->clock_known = true;
	outlook->late = round_trip_us > ROUND_TRIP_MAX_US ? outlook->late + 1 : 0;
	if (outlook->late > 0) {
		return;
	}
	outlook->first_ms = outlook->first_ms == 0 ? now_ms : outlook->first_ms;
	outlook->count = 0;
	outlook->twin = false;
	offset_ms = outlook->asked_wall.ms + round_trip_us / 2000 - now_ms;
	add_sighting(outlook, survey->office->settings->host_id, offset_ms); /* first: there may be more than places */
	for (size_t i = 0; i + 1 < mms_reply_count(replies[1]); i += 2) {
		read_entry(survey, link, mms_reply_text(mms_reply_element(replies[1], i)),
				mms_reply_text(mms_reply_element(replies[1], i + 1)), now_ms);
	}
	enroll(survey, link, now_ms, offset_ms);
	trust_nodes(survey);
	measure_spread(survey);
	judge_clocks(survey);
	judge_twins(survey);
}

/* A node that takes no writes now hears of us later. */
static void ignore(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)link;
	(void)context;
	(void)token;
	(void)replies;
}

/* Field: "<host id>@<place>", value: "<when, by the node's clock> <offset>", both in ms. */
static void enroll(struct mms_survey *survey, struct mms_link *link, int64_t now_ms, int64_t offset_ms)
{
	const struct mms_settings *settings = survey->office->settings;
	char key[MMS_MARKER_KEY_MAX], field[128], value[64];
	struct mms_command command;

	(void)snprintf(field, sizeof field, "%s@%016" PRIx64, settings->host_id, survey->place);
	(void)snprintf(value, sizeof value, "%" PRId64 " %" PRId64, now_ms, offset_ms);
	mms_command_init(&command);
	mms_command_hash_set(&command, (struct mms_slice){ key, mms_identity_hosts_key(settings, key, sizeof key) },
			mms_slice_of(field), mms_slice_of(value), FORGOTTEN_MS);
	if (mms_breaker_allows_write(&mms_link_node(link)->breaker)) {
		(void)mms_link_request(link, &command, ignore, NULL, 0);
	}
}

static void forget(struct mms_survey *survey, struct mms_link *link, struct mms_slice field)
{
	char key[MMS_MARKER_KEY_MAX];
	struct mms_command command;

	mms_command_init(&command);
	mms_command_hash_delete(&command, (struct mms_slice){ key, mms_identity_hosts_key(survey->office->settings, key,
			sizeof key) }, field);
	(void)mms_link_request(link, &command, ignore, NULL, 0);
}

static void read_entry(struct mms_survey *survey, struct mms_link *link, struct mms_slice field,
		struct mms_slice value, int64_t now_ms)
{
	struct outlook *outlook = &survey->outlooks[link->index];
	char name[128], numbers[64];
	char *at;
	int64_t seen_ms, offset_ms;
	uint64_t place;

	mms_text_copy(name, sizeof name, field);
	mms_text_copy(numbers, sizeof numbers, value);
	at = strchr(name, '@');
	if (at == NULL || at - name > MMS_HOST_ID_MAX || sscanf(at, "@%16" SCNx64, &place) != 1
			|| sscanf(numbers, "%" SCNd64 " %" SCNd64, &seen_ms, &offset_ms) != 2
			|| offset_ms > OFFSET_MAX_MS || offset_ms < -OFFSET_MAX_MS
			|| mms_clock_apart(now_ms, seen_ms) > FORGOTTEN_MS || mms_clock_apart(seen_ms, now_ms) > FORGOTTEN_MS) {
		forget(survey, link, field);
		return;
	}
	*at = '\0';
	if (now_ms - seen_ms > FRESH_MS || (place == survey->place && strcmp(name, survey->office->settings->host_id) == 0)) {
		return;
	}
	add_sighting(outlook, name, offset_ms);
	/* Alive after us: no predecessor of ours in another place. */
	outlook->twin = outlook->twin || (seen_ms > outlook->first_ms && strcmp(name, survey->office->settings->host_id) == 0);
}

/* How far this host is off, by the nodes that find it so; 0 when fewer than half of those that know it do. */
static int64_t verdict_on(const struct mms_survey *survey, const char *host_id)
{
	int64_t limit_ms = survey->office->settings->max_clock_drift_ms, worst_ms = 0;
	unsigned known = 0, off = 0;

	for (unsigned i = 0; i < survey->office->node_count; i++) {
		for (uint32_t k = 0; k < survey->outlooks[i].count; k++) {
			const struct sighting *sighting = &survey->outlooks[i].sightings[k];

			if (strcmp(sighting->host_id, host_id) != 0) {
				continue;
			}
			known++;
			if (llabs(sighting->offset_ms) > limit_ms) {
				off++;
				worst_ms = llabs(sighting->offset_ms) > llabs(worst_ms) ? sighting->offset_ms : worst_ms;
			}
			break;
		}
	}
	return off > 0 && 2 * off >= known ? worst_ms : 0;
}

/* Our own sighting on this node, NULL when there is none now. */
static const struct sighting *own_sighting(const struct mms_survey *survey, unsigned node)
{
	const struct outlook *outlook = &survey->outlooks[node];

	for (uint32_t k = 0; mms_link_ready(&survey->office->links[node]) && k < outlook->count; k++) {
		if (strcmp(outlook->sightings[k].host_id, survey->office->settings->host_id) == 0) {
			return &outlook->sightings[k];
		}
	}
	return NULL;
}

/* A PHP that was started with a clock years ahead has nothing of its own to compare it with: most of all nodes have to say so. */
static void trust_nodes(struct mms_survey *survey)
{
	struct mms_office *office = survey->office;
	int64_t least_ms = INT64_MAX;
	unsigned leapt = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct sighting *own = own_sighting(survey, i);

		if (own != NULL && mms_hlc_leapt(own->offset_ms)) {
			leapt++;
			least_ms = own->offset_ms < least_ms ? own->offset_ms : least_ms;
		}
	}
	if (2 * leapt > office->node_count) {
		mms_hlc_settle(&office->shm->anchor, (struct mms_wall){ mms_clock_wall().ms - least_ms }, mms_clock_boot());
	}
}

/* How far hosts' clocks are apart, each compared with one and the same node's: what that says cancels out. */
static void measure_spread(struct mms_survey *survey)
{
	_Atomic int64_t *spread_ms = &survey->office->cluster->clock_spread_ms;
	int64_t widest_ms = 0;

	for (unsigned i = 0; i < survey->office->node_count; i++) {
		const struct outlook *outlook = &survey->outlooks[i];
		int64_t least_ms = INT64_MAX, most_ms = INT64_MIN;

		for (uint32_t k = 0; k < outlook->count; k++) {
			int64_t offset_ms = outlook->sightings[k].offset_ms;

			least_ms = offset_ms < least_ms ? offset_ms : least_ms;
			most_ms = offset_ms > most_ms ? offset_ms : most_ms;
		}
		if (outlook->count > 0 && mms_clock_apart(most_ms, least_ms) > widest_ms) {
			widest_ms = mms_clock_apart(most_ms, least_ms);
		}
	}
	/* What was stamped before a clock was put right is judged for a while yet. */
	if (widest_ms >= atomic_load(spread_ms) || survey->office->now.us > survey->spread_until.us) {
		atomic_store(spread_ms, widest_ms);
		survey->spread_until.us = survey->office->now.us + SUSPICION_US;
	}
}

/* Names this host's clock when its stamps do without it. */
static bool name_leap(const struct mms_survey *survey, struct mms_error *text)
{
	const struct mms_wall wall = mms_clock_wall();
	const int64_t ahead_ms = wall.ms - mms_hlc_now(&survey->office->shm->anchor).ms;
	size_t len = strlen(text->text);

	if (!mms_hlc_leapt(ahead_ms)) {
		return false;
	}
	(void)snprintf(text->text + len, sizeof text->text - len, " this host's (%s) leapt %.0f s ahead and is not followed",
			survey->office->settings->host_id, (double)ahead_ms / 1000.0);
	return true;
}

static void judge_clocks(struct mms_survey *survey)
{
	struct mms_note_sh *notice = &survey->office->cluster->notices[MMS_NOTICE_CLOCK];
	struct mms_error text = { "clocks are wrong, set them by NTP:" };
	bool any, waits = false;

	for (unsigned i = 0; i < survey->office->node_count; i++) {
		struct outlook *outlook = &survey->outlooks[i];

		if (!mms_link_ready(&survey->office->links[i]) || outlook->late > LATE_MAX) {
			outlook->count = 0; /* what it said is old */
		} else if (outlook->first_ms == 0 && outlook->due.us < survey->office->now.us + REFUSED_US / 2) {
			waits = true; /* one node alone, with a wrong clock of its own, would blame everybody */
		}
	}
	if (waits) {
		return;
	}
	any = name_leap(survey, &text);
	for (unsigned i = 0; i < survey->office->node_count; i++) {
		for (uint32_t k = 0; k < survey->outlooks[i].count; k++) {
			const struct sighting *sighting = &survey->outlooks[i].sightings[k];
			int64_t off_ms;
			char one[128];

			if (llabs(sighting->offset_ms) <= survey->office->settings->max_clock_drift_ms) {
				continue; /* whoever is off is found off by some node; a verdict is a look at all sightings */
			}
			off_ms = verdict_on(survey, sighting->host_id);
			(void)snprintf(one, sizeof one, " host %s is %.1f s %s", sighting->host_id, (double)llabs(off_ms) / 1000.0,
					off_ms > 0 ? "ahead" : "behind");
			if (off_ms != 0 && strstr(text.text, one) == NULL) {
				size_t len = strlen(text.text);

				(void)snprintf(text.text + len, sizeof text.text - len, "%s%s", any ? "," : "", one);
				any = true;
			}
		}
	}
	if (any) {
		survey->wrong_until.us = survey->office->now.us + SUSPICION_US;
		mms_note_state(notice, text.text, mms_clock_wall().ms);
	} else if (survey->office->now.us > survey->wrong_until.us) {
		mms_note_state(notice, NULL, 0);
	}
}

static void judge_twins(struct mms_survey *survey)
{
	struct mms_office *office = survey->office;
	struct mms_note_sh *notice = &office->cluster->notices[MMS_NOTICE_HOST_ID];
	struct mms_error text;

	for (unsigned i = 0; i < office->node_count; i++) {
		if (survey->outlooks[i].twin) {
			mms_error_set(&text, "another host uses host id %s too (both are on node %s): give each host its own "
					"mmsession.host_id, or what one of them must remember of a node is lost", office->settings->host_id,
					office->settings->nodes[i].name);
			mms_note_state(notice, text.text, mms_clock_wall().ms);
			return;
		}
	}
	mms_note_state(notice, NULL, 0);
}

/* What harm the server's settings do; "" = none. */
static void harm_of(struct mms_slice memory, struct mms_slice replication, char *out, size_t size)
{
	char role[32] = "", policy[32] = "", limit[32] = "0", master[128] = "";

	out[0] = '\0';
	(void)mms_identity_info_field(replication, "role:", role, sizeof role);
	(void)mms_identity_info_field(replication, "master_host:", master, sizeof master);
	(void)mms_identity_info_field(memory, "maxmemory:", limit, sizeof limit);
	if (strcmp(role, "slave") == 0) {
		(void)snprintf(out, size, "it is a replica of %s: mmsession does the copying; REPLICAOF NO ONE", master);
	} else if (strcmp(role, "active-replica") == 0) {
		(void)snprintf(out, size, "KeyDB's active-replica brings old sessions back: set active-replica no");
	} else if (mms_identity_info_field(memory, "maxmemory_policy:", policy, sizeof policy)
			&& strcmp(policy, "noeviction") != 0 && strcmp(limit, "0") != 0) {
		(void)snprintf(out, size, "maxmemory-policy %s throws out sessions and logouts: set noeviction", policy);
	}
}

static void on_settings(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	const struct mms_node_config *config = &link->office->settings->nodes[link->index];
	struct mms_note_sh *warning = &mms_link_node(link)->warning;
	struct mms_error text;
	char harm[256];

	(void)context;
	(void)token;
	if (replies == NULL || mms_reply_type(replies[0]) != MMS_REPLY_STRING
			|| mms_reply_type(replies[1]) != MMS_REPLY_STRING) {
		return;
	}
	harm_of(mms_reply_text(replies[0]), mms_reply_text(replies[1]), harm, sizeof harm);
	mms_error_set(&text, "node %s (%s): %s", config->name, config->address, harm);
	mms_note_state(warning, harm[0] != '\0' ? text.text : NULL, mms_clock_wall().ms);
}
