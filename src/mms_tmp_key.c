/* The difficulty is that a name must be short (it goes with every write) and still no other writer's: a writer is a hash of many
 * things, of which 36 well mixed bits are kept, and its own writes it counts. */
#include "mms_tmp_key.h"

#include <string.h>

#define WRITER_DIGITS 6 /* of 6 bits each */

static uint64_t mixed(uint64_t value);
static char *digits_of_64(char *out, uint64_t value, unsigned digits);

size_t mms_tmp_key(const char *prefix, uint64_t writer, uint64_t sequence, char *out)
{
	size_t len = strlen(prefix);
	char *end = out + len;

	memcpy(out, prefix, len);
	memcpy(end, ":t", 2);
	end = digits_of_64(end + 2, mixed(writer) >> 28, WRITER_DIGITS);
	end = digits_of_64(end, sequence, 0);
	*end = '\0';
	return (size_t) (end - out);
}

/* Every bit of value in every bit of the result (splitmix64, Steele et al. 2014); different values have different results. */
static uint64_t mixed(uint64_t value)
{
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

/* The lowest `digits` digits of six bits each, or as many as the value has (0); returns where the next character goes. */
static char *digits_of_64(char *out, uint64_t value, unsigned digits)
{
	if (digits == 0) {
		for (uint64_t rest = value; digits == 0 || rest > 0; rest >>= 6) {
			digits++;
		}
	}
	for (unsigned i = digits; i > 0; i--) {
		out[i - 1] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"[value & 63];
		value >>= 6;
	}
	return out + digits;
}
