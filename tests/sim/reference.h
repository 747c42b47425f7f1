/* Records and their order, written a second time, from docs/protocol.md alone: what the library is compared with. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFERENCE_HEADER 80

struct reference_version {
	uint64_t incarnation, hlc, writer, sequence;
	bool tombstone, blind;
	uint32_t lifetime_s, payload_len, generation;
};

/* False for what is no record of format 1. Checksums are not looked at. */
bool reference_decode(const char *bytes, size_t len, struct reference_version *out);
/* What it was based on: HLC, writer and sequence. False when on nothing. */
bool reference_base(const char *header, struct reference_version *out);
/* <0, 0, >0 as a is older, equal, newer. */
int reference_compare(const struct reference_version *a, const struct reference_version *b);
/* out: 100 bytes. */
void reference_format(const struct reference_version *version, char out[100]);

#endif
