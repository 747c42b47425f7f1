/* Certificates, made by the openssl program in a folder of their own. Include after cmocka.h.
 *
 * ca.pem, other.pem: two CAs. node.pem: for node.lan and 127.0.0.1. expired.pem, future.pem: the same, at other times. client.pem:
 * a client's. name.key for each; locked.key is node.key with a passphrase. */
#ifndef MMS_TEST_CERTS_H
#define MMS_TEST_CERTS_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char certs[64];

static inline const char *cert(const char *name)
{
	static char paths[8][96];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", certs, name);
	return path;
}

static inline int certs_make(void)
{
	static const char script[] = "set -e; cd '%s'; exec >/dev/null 2>&1\n"
		"key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
		"printf 'subjectAltName=DNS:node.lan,IP:127.0.0.1\\n' >san\n"
		"printf '[ca]\\ndefault_ca=d\\n[d]\\nnew_certs_dir=.\\ndatabase=index\\nserial=serial\\ndefault_md=sha256\\npolicy=p\\n"
		"unique_subject=no\\n[p]\\ncommonName=supplied\\n' >conf\n"
		": >index; echo 01 >serial\n"
		"for ca in ca other; do openssl req -x509 $key -days 30 -keyout $ca.key -out $ca.pem -subj /CN=$ca; done\n"
		"sign() { openssl req $key -keyout $1.key -out $1.csr -subj /CN=$1; openssl ca -batch -config conf -cert ca.pem -keyfile "
		"ca.key -in $1.csr -out $1.pem -extfile san -notext -startdate $2 -enddate $3; }\n"
		"sign node 20200101000000Z 20400101000000Z; sign client 20200101000000Z 20400101000000Z\n"
		"sign expired 20200101000000Z 20210101000000Z; sign future 20390101000000Z 20400101000000Z\n"
		"openssl ec -in node.key -aes128 -passout pass:x -out locked.key\n";
	char command[2048];

	snprintf(certs, sizeof(certs), "/tmp/mms_unit_certs_XXXXXX");
	if (mkdtemp(certs) == NULL) {
		return -1;
	}
	snprintf(command, sizeof(command), script, certs);
	return system(command) == 0 ? 0 : -1;
}

static inline void certs_remove(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", certs);
	if (system(command) != 0) {
		fprintf(stderr, "%s is left\n", certs);
	}
}

#endif
