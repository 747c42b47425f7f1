/* Read repair. The difficulty is to repair no more than was seen: a young copy is on its way anyway, a foreign key is left
 * alone, and a damaged copy may have been replaced since by a newer good one. */
#include "mms_mend.h"

#include <string.h>

#include "mms_command.h"
#include "mms_hlc.h"
#include "mms_watch.h"

/* A copy younger than this is probably on its way to the others in its writer's mailbox: no repair. */
#define MIN_AGE_MS 1000

struct mending {
	struct mms_fanout *fanout;
	const struct mms_question *question;
	const struct mms_answer *answer;
	uint64_t ttl_ms;
};

static uint64_t nodes_with(const struct mms_client *client, const struct mms_copy *copies, enum mms_verdict verdict);
static bool is_left_to_write_back(const struct mms_client *client, const struct mms_answer *answer);
static void replace_damaged(struct mending *mending, unsigned node);
static void replace_newer(struct mending *mending, unsigned node);
static void post(struct mending *mending, uint64_t lacking);

void mms_mend_nodes(struct mms_fanout *fanout, const struct mms_question *question, const struct mms_copy *copies,
		const struct mms_answer *answer)
{
	struct mms_client *client = fanout->client;
	uint64_t lacking = answer->answered_mask & ~answer->holders_mask, damaged;
	struct mending mending = { fanout, question, answer, 0 };

	if ((answer->found != MMS_FOUND_RECORD && answer->found != MMS_FOUND_TOMBSTONE) || lacking == 0) {
		return;
	}
	if (answer->found == MMS_FOUND_TOMBSTONE) {
		mending.ttl_ms = (uint64_t)answer->header.lifetime_s * 1000 + MMS_TOMBSTONE_GRACE_MS;
	} else if (answer->pttl_ms > 0) {
		mending.ttl_ms = (uint64_t)answer->pttl_ms;
	} else {
		return;
	}
	damaged = nodes_with(client, copies, MMS_VERDICT_DAMAGED);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((damaged >> i & 1) != 0) {
			replace_damaged(&mending, i);
		}
	}
	lacking &= ~(damaged | nodes_with(client, copies, MMS_VERDICT_FOREIGN));
	if (lacking != 0 && !is_left_to_write_back(client, answer)) {
		post(&mending, lacking);
	}
}

static uint64_t nodes_with(const struct mms_client *client, const struct mms_copy *copies, enum mms_verdict verdict)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		mask |= copies[i].verdict == verdict ? UINT64_C(1) << i : 0;
	}
	return mask;
}

static bool is_left_to_write_back(const struct mms_client *client, const struct mms_answer *answer)
{
	return client->settings.read_mode == MMS_READ_QUORUM
			&& mms_count_bits(answer->holders_mask) < mms_config_quorum(&client->settings);
}

/* A damaged copy may carry any version, so the merge order can't judge it: it is replaced only if it still is, byte by
 * byte, what was found damaged (rule a). Rare enough to be done here and now. */
static void replace_damaged(struct mending *mending, unsigned node)
{
	struct mms_client *client = mending->fanout->client;
	const struct mms_answer *answer = mending->answer;
	char tmp_key[MMS_TMP_KEY_MAX], found[MMS_RECORD_HEADER_SIZE];
	struct mms_slice tmp = { tmp_key, mms_client_tmp_key(client, tmp_key) };
	struct mms_slice expected = mms_reply_text(mending->fanout->slots[node].replies[0]);
	struct mms_record_header header;
	struct mms_command command;

	if (expected.len == 0 || !mms_client_can_write(client, node)) {
		return;
	}
	if (mms_hlc_decode(expected, mending->question->key, mending->question->now, &header) == MMS_RECORD_GOOD
			&& mms_version_compare(&header.version, &answer->header.version) > 0) {
		if (!header.version.tombstone) {
			replace_newer(mending, node);
		}
		return;
	}
	if (expected.len > MMS_RECORD_HEADER_SIZE) {
		expected.len = MMS_RECORD_HEADER_SIZE;
	}
	memcpy(found, expected.ptr, expected.len);
	expected.ptr = found;
	mms_command_init(&command);
	mms_command_put(&command, mending->question->key, tmp, answer->header_bytes, answer->payload, mending->ttl_ms, expected);
	if (mms_fanout_ask(mending->fanout, node, &command, mms_client_wait_us(client))) {
		mms_fanout_wait(mending->fanout, UINT64_C(1) << node);
		mms_client_count(client, MMS_METRIC_read_repairs);
	}
}

/* Only its payload is damaged, and nobody is known to have that version sound. Left alone, it would refuse all later writes as
 * older. A sound copy of it may stand there by now, with the very same header: the whole value is compared, which a WATCH
 * does. Should that version turn up later, it wins. */
static void replace_newer(struct mending *mending, unsigned node)
{
	struct mms_client *client = mending->fanout->client;
	const struct mms_answer *answer = mending->answer;
	struct mms_record_header header;
	struct mms_watching watching;
	struct mms_command command;
	struct mms_slice payload;

	mms_watch_lead(client, &watching, node, mending->question->key, &command);
	mms_command_read_whole(&command, mending->question->key);
	if (watching.node < 0 || !mms_fanout_ask(mending->fanout, node, &command, mms_client_wait_us(client))) {
		return;
	}
	mms_fanout_wait(mending->fanout, UINT64_C(1) << node);
	mms_watch_note(mending->fanout, &watching, &command, mending->question->key);
	if (watching.node < 0 || !client->watches[node].standing || mms_record_decode_whole(
			mms_reply_text(mending->fanout->slots[node].replies[0]), mending->question->key, &header, &payload)
			!= MMS_RECORD_DAMAGED) {
		return;
	}
	mms_watch_use(client, node);
	mms_command_init(&command);
	mms_command_put_watched(&command, mending->question->key, answer->header_bytes, answer->payload, mending->ttl_ms);
	if (mms_fanout_ask(mending->fanout, node, &command, mms_client_wait_us(client))) {
		mms_fanout_wait(mending->fanout, UINT64_C(1) << node);
		mms_client_count(client, MMS_METRIC_read_repairs);
	}
}

/* Through the mailbox to those that lack it. */
static void post(struct mending *mending, uint64_t lacking)
{
	struct mms_client *client = mending->fanout->client;
	const struct mms_answer *answer = mending->answer;
	struct mms_mono now = mms_clock_mono();
	struct mms_mono until = { now.us + (int64_t)mending->ttl_ms * 1000 };
	struct mms_ticket ticket;
	struct mms_parcel parcel = {
		.kind = MMS_PARCEL_PUT,
		.key = mending->question->key,
		.header = answer->header_bytes,
		.payload = answer->payload,
		.ttl_ms = mending->ttl_ms,
		.have_mask = mms_client_all_mask(client) & ~lacking,
		.settled = true,
	};

	if (mending->question->now.ms - (int64_t)mms_hlc_ms(answer->header.version.hlc) < MIN_AGE_MS) {
		return;
	}
	if (mms_mailbox_push(&client->cluster->mailbox, &parcel, now, &ticket)) {
		mms_client_count(client, MMS_METRIC_read_repairs);
		mms_shm_wake(client->cluster);
	} else {
		/* Too large for the ring, or no room: the replicator fetches it itself. */
		mms_client_count(client, mms_hints_add(&client->cluster->hints, mending->question->key, answer->header_bytes,
				lacking, until, now) ? MMS_METRIC_hints_made : MMS_METRIC_hint_overflows);
		mms_shm_kick(client->cluster);
	}
}
