/* SPDX-License-Identifier: Apache-2.0 */
/* trust - see trust.h. Runs in the network process. */
#include "trust.h"

#include <dirent.h>
#include <string.h>

#define FOLDER "/etc/ssl/certs"

/* "5ed36f99.0" */
static bool is_hash(const char *name)
{
	return strspn(name, "0123456789abcdef") == 8 && !strcmp(name + 8, ".0");
}

void trust_init(struct trust *t)
{
	DIR *dir = opendir(FOLDER);
	const struct dirent *e;
	t->folder = false;
	while (dir && !t->folder && (e = readdir(dir)))
		t->folder = is_hash(e->d_name);
	if (dir)
		(void)closedir(dir);
}

void trust_setup(const struct trust *t, const struct registry *r, CURL *easy)
{
	if (r->skip_verify) {
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (r->ca) {
		struct curl_blob blob = { r->ca, r->ca_size, CURL_BLOB_NOCOPY };
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	} else if (t->folder) {
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
		(void)curl_easy_setopt(easy, CURLOPT_CAPATH, FOLDER);
	}
}

bool trust_again(struct trust *t, CURLcode code)
{
	if (code != CURLE_PEER_FAILED_VERIFICATION || !t->folder)
		return false;
	t->folder = false;
	return true;
}
