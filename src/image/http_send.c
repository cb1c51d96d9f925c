/* SPDX-License-Identifier: Apache-2.0 */
/* http_send - what goes up: a piece of a file that the job handed over, and where the
 * registry wants it. Runs in the network process, which sees no file but these. */
#include "http.h"

#include "isola/num.h"
#include "net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TELL_NS       100000000
#define DIGEST_FACTOR 10 /* a registry may look at what it got for so many stall_seconds */

static void tell(struct transfer *t, bool always)
{
	int64_t now = num_now_ns();
	uint64_t at = t->body_from + t->body_at;
	if (!always && now - t->told_ns < TELL_NS)
		return;
	t->told_ns = now;
	http_say(t, NET_SENT, &at, sizeof(at));
}

static size_t on_read(char *buf, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	uint64_t left = t->body_size - t->body_at;
	n *= one;
	ssize_t got = pread(t->body_fd, buf, left < n ? (size_t)left : n,
			    (off_t)(t->body_from + t->body_at));
	if (got < 0 || (got == 0 && left > 0))
		return CURL_READFUNC_ABORT;
	t->body_at += (uint64_t)got;
	if (t->body_at == t->body_size)
		(void)curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME,
				       (long)t->h->r->stall_s * DIGEST_FACTOR);
	tell(t, t->body_at == t->body_size);
	return (size_t)got;
}

/* curl asks when a kept connection turned out to be closed. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;
	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->body_size)
		return CURL_SEEKFUNC_FAIL;
	t->body_at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

void http_send_setup(struct transfer *t)
{
	t->body_at = 0;
	if (t->body_fd >= 0) {
		(void)curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
		(void)curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
		(void)curl_easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, on_seek);
		(void)curl_easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
		(void)curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->body_size);
	} else {
		(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, "");
		(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, 0L);
	}
	(void)curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, t->method);
}

/* ---- addresses ---- */

static char *part(CURLU *u, CURLUPart what, unsigned int flags)
{
	char *text = NULL;
	return curl_url_get(u, what, &text, flags) == CURLUE_OK ? text : NULL;
}

char *http_resolve(const struct transfer *t, struct err *err)
{
	char *now = NULL, *ret = NULL;
	CURLU *u = curl_url();
	(void)curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &now);
	bool plain = now && !strncasecmp(now, "http:", 5);
	bool good = u && now && *t->location &&
		    curl_url_set(u, CURLUPART_URL, now, 0) == CURLUE_OK &&
		    curl_url_set(u, CURLUPART_URL, t->location, 0) == CURLUE_OK;
	char *to = good ? part(u, CURLUPART_URL, 0) : NULL;
	char *scheme = good ? part(u, CURLUPART_SCHEME, 0) : NULL;
	if (!to || !scheme)
		(void)err_set(err, EPROTO, "%s redirects to nowhere", t->h->r->host);
	else if (strcmp(scheme, "https") != 0 && !(plain && !strcmp(scheme, "http")))
		(void)err_set(err, EPROTO, "%s redirects to %.200s, which is not https",
			      t->h->r->host, to);
	else if (!(ret = strdup(to)))
		(void)err_set(err, ENOMEM, "out of memory");
	curl_free(to);
	curl_free(scheme);
	curl_url_cleanup(u);
	return ret;
}

bool http_same_origin(const char *a, const char *b)
{
	static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT };
	CURLU *u = curl_url(), *v = curl_url();
	bool same = u && v && curl_url_set(u, CURLUPART_URL, a, 0) == CURLUE_OK &&
		    curl_url_set(v, CURLUPART_URL, b, 0) == CURLUE_OK;
	for (size_t i = 0; same && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *x = part(u, parts[i], CURLU_DEFAULT_PORT);
		char *y = part(v, parts[i], CURLU_DEFAULT_PORT);
		same = x && y && !strcasecmp(x, y);
		curl_free(x);
		curl_free(y);
	}
	curl_url_cleanup(u);
	curl_url_cleanup(v);
	return same;
}
