/* Keys under which a record waits to be renamed (docs/protocol.md, "Keys"): within the prefix, and another for every write. */
#ifndef MMS_TMP_KEY_H
#define MMS_TMP_KEY_H

#include <stddef.h>
#include <stdint.h>

/* The tmp key of a write; its length. Writers must differ from all others that use the prefix (36 bits of a hash of it go into
 * the key), and count their writes. Out: room for the prefix and MMS_TMP_KEY_EXTRA. Should two ever share a key at the same
 * moment, one record may come to stand under the other's key, where its checksum does not fit. */
#define MMS_TMP_KEY_EXTRA 20
size_t mms_tmp_key(const char *prefix, uint64_t writer, uint64_t sequence, char *out);

#endif
