/* SPDX-License-Identifier: Apache-2.0 */
/* http - see http.h and net.h: the loop of the network process and what becomes of each
 * answer.
 *
 *   try -> 2xx: body to the job -> end
 *    ^  -> 401: log in once, again     -> 3xx: follow; credentials stay with the registry
 *    +---- cut, stalled, 429, 5xx: later, from the byte reached (Range)
 *       -> nothing left to try at this base: the next one (mirrors come first) */
#include "http.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "isola/json.h"
#include "isola/num.h"
#include "confine.h"
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TRIES_MAX        5 /* without progress */
#define TRIES_ALL_MAX    100
#define REDIRECTS_MAX    8
#define AUTHS_MAX        8
#define CONNECT_MS       15000
#define SMALL_FACTOR     10 /* an answer that is no blob takes at most so many stall_seconds */
#define RETRY_FIRST_MS   250
#define RETRY_WAIT_MAX_S 60 /* of a Retry-After */
#define ERROR_TEXT_MAX   8192
#define ERROR_VALUES_MAX 1000

void http_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

void http_setup(const struct http *h, CURL *easy)
{
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "isola-image");
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)h->r->stall_s);
	trust_setup(&h->trust, h->r, easy);
}

/* ---- to the job ---- */

void http_say(const struct transfer *t, uint32_t type, const void *data, size_t size)
{
	struct net_header head = { t->id, type, (uint32_t)size };
	if (fd_write_all(t->h->data_fd, &head, sizeof(head)) < 0 ||
	    (size && fd_write_all(t->h->data_fd, data, size) < 0))
		_exit(0); /* the job has ended */
}

static void say_head(struct transfer *t)
{
	cleanup_json json_object *o = json_object_new_object();
	if (t->head_sent)
		return;
	t->head_sent = true;
	cleanup_free char *location = *t->location ? http_resolve(t, NULL) : NULL;
	http_clean(t->digest);
	http_clean(t->type);
	http_clean(t->written);
	json_add_i64(o, "status", t->status);
	json_add_str(o, "digest", t->digest);
	json_add_str(o, "type", t->type);
	json_add_str(o, "range", t->written);
	json_add_i64(o, "length", t->length);
	if (location) {
		http_clean(location);
		json_add_str(o, "location", location);
	}
	if (t->h->identity)
		json_add_str(o, "identity", t->h->identity);
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	http_say(t, NET_HEAD, text, strlen(text));
}

static void drop(struct transfer *t)
{
	struct http *h = t->h;
	for (struct transfer **p = &h->first; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	curl_slist_free_all(t->headers);
	curl_easy_cleanup(t->easy);
	free(t->method);
	free(t->path);
	free(t->accept);
	free(t->range);
	free(t->start);
	free(t->url);
	free(t->body_type);
	fd_close(&t->body_fd);
	strbuf_fini(&t->text);
	free(t);
}

static void fail(struct transfer *t, int code, const char *text)
{
	struct {
		int32_t code;
		char text[560];
	} e = { .code = code };
	(void)snprintf(e.text, sizeof(e.text), "%s", text);
	http_clean(e.text);
	http_say(t, NET_ERROR, &e, sizeof(e.code) + strlen(e.text));
	drop(t);
}

/* ---- one try ---- */

static void forget_head(struct transfer *t)
{
	*t->location = *t->challenge = *t->digest = *t->type = *t->written = '\0';
	t->range_from = t->length = -1;
	t->wait_s = 0;
}

static size_t on_header(char *data, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	const struct {
		const char *name;
		char *value;
		size_t size;
	} rows[] = {
		{ "location", t->location, sizeof(t->location) },
		{ "www-authenticate", t->challenge, sizeof(t->challenge) },
		{ "docker-content-digest", t->digest, sizeof(t->digest) },
		{ "content-type", t->type, sizeof(t->type) },
		{ "range", t->written, sizeof(t->written) },
	};
	const char *colon = memchr(data, ':', n);
	(void)one;
	if (n > 5 && !memcmp(data, "HTTP/", 5)) /* of a 100, or the answer's own */
		forget_head(t);
	if (!colon)
		return n;
	size_t len = (size_t)(colon - data);
	const char *value = colon + 1, *end = data + n;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
		end--;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strlen(rows[i].name) != len || strncasecmp(rows[i].name, data, len) != 0)
			continue;
		/* Several challenges are one list. */
		size_t have = rows[i].value == t->challenge ? strlen(t->challenge) : 0;
		(void)snprintf(rows[i].value + have, rows[i].size - have, "%s%.*s",
			       have ? ", " : "", (int)(end - value), value);
	}
	if (len == 13 && !strncasecmp(data, "content-range", 13) && end - value > 6 &&
	    !strncasecmp(value, "bytes ", 6))
		t->range_from = strtoll(value + 6, NULL, 10);
	if (len == 14 && !strncasecmp(data, "content-length", 14))
		t->length = strtoll(value, NULL, 10);
	if (len == 11 && !strncasecmp(data, "retry-after", 11))
		t->wait_s = strtoll(value, NULL, 10); /* 0 for the form with a date */
	return n;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t left = n;
	(void)one;
	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
	if (t->status != 200 && t->status != 206) {
		strbuf_add(&t->text, data, n);
		/* It may have no end. */
		t->enough = t->text.len >= ERROR_TEXT_MAX;
		return t->enough ? 0 : n;
	}
	if (t->status == 206 && t->range_from != (int64_t)t->got && !t->head_sent)
		return 0;
	say_head(t);
	if (t->skip) {
		size_t k = left < t->skip ? left : (size_t)t->skip;
		t->skip -= k;
		data += k;
		left -= k;
	}
	while (left) {
		size_t k = left < NET_PAYLOAD_MAX ? left : NET_PAYLOAD_MAX;
		http_say(t, NET_DATA, data, k);
		t->got += k;
		t->tries = 0;
		data += k;
		left -= k;
	}
	return n;
}

/* After the head of a second answer: it goes on where asked, or from the start. */
static size_t on_first_body(char *data, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
	if (t->status == 206 && t->range_from != (int64_t)t->got)
		return 0;
	t->skip = t->status == 200 ? t->got : 0;
	(void)curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	return on_body(data, one, n, arg);
}

static void add_header(struct transfer *t, const char *text)
{
	struct curl_slist *more = text ? curl_slist_append(t->headers, text) : NULL;
	if (more)
		t->headers = more;
}

static void base_of(const struct transfer *t, char *ret, size_t size)
{
	const char *base = t->h->r->bases[t->base];
	if (t->h->plain[t->base] && !strncmp(base, "https://", 8))
		(void)snprintf(ret, size, "http://%s", base + 8);
	else
		(void)snprintf(ret, size, "%s", base);
}

static bool is_own_base(const struct transfer *t)
{
	return t->base == t->h->r->n_bases - 1;
}

/* To the registry alone: not to where it redirects, nor to mirrors. */
static bool may_log_in(const struct transfer *t, const char *base)
{
	return !t->url && is_own_base(t) && (!t->start || http_same_origin(t->start, base));
}

static void begin(struct transfer *t)
{
	char url[8192], base[600];
	base_of(t, base, sizeof(base));
	const char *given = t->url ? t->url : t->start;
	(void)snprintf(url, sizeof(url), "%s%s", given ? given : base, given ? "" : t->path);
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	strbuf_reset(&t->text);
	t->status = 0;
	t->enough = false;
	forget_head(t);
	curl_easy_reset(t->easy);
	http_setup(t->h, t->easy);
	if (t->accept)
		add_header(t, t->accept);
	if (may_log_in(t, base))
		add_header(t, t->h->authorization);
	if (t->range)
		add_header(t, t->range);
	if (t->body_type)
		add_header(t, t->body_type);
	t->auth_stamp = t->h->auth_stamp;
	t->is_plain = t->h->plain[t->base];
	(void)curl_easy_setopt(t->easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	(void)curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_first_body);
	(void)curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	if (t->body_fd < 0 && !strstr(t->path, "/blobs/sha256:"))
		(void)curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS,
				       (long)CONNECT_MS + t->h->r->stall_s * SMALL_FACTOR * 1000L);
	if (!strcmp(t->method, "HEAD"))
		(void)curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
	else if (strcmp(t->method, "GET") != 0)
		http_send_setup(t);
	if (t->got)
		(void)curl_easy_setopt(t->easy, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->got);
	t->running = curl_multi_add_handle(t->h->multi, t->easy) == CURLM_OK;
	if (!t->running)
		fail(t, ENOMEM, "out of memory");
}

/* ---- what follows ---- */

static void next_base_or_fail(struct transfer *t, int code, const char *text)
{
	if (is_own_base(t) || t->got) {
		fail(t, code, text);
		return;
	}
	t->base++;
	t->tries = t->redirects = t->auths = 0;
	free(t->url);
	t->url = NULL;
	begin(t);
}

static void again(struct transfer *t, const char *why)
{
	char text[512];
	bool mirror = !is_own_base(t) && !t->got;
	if (t->once) {
		(void)snprintf(text, sizeof(text), "%s: %s", t->h->r->host, why);
		fail(t, EAGAIN, text);
		return;
	}
	if (t->tries >= (mirror ? 1 : TRIES_MAX) || t->tries_all >= TRIES_ALL_MAX) {
		(void)snprintf(text, sizeof(text), "%s: %s (tried %u times)", t->h->r->host, why,
			       t->tries_all + 1);
		next_base_or_fail(t, EIO, text);
		return;
	}
	int64_t wait_ms = (int64_t)RETRY_FIRST_MS << t->tries;
	if (wait_ms < t->wait_s * 1000)
		wait_ms = (t->wait_s < RETRY_WAIT_MAX_S ? t->wait_s : RETRY_WAIT_MAX_S) * 1000;
	t->again_ns = num_now_ns() + wait_ms * 1000000;
	t->tries++;
	t->tries_all++;
	free(t->url); /* it may be out of date */
	t->url = NULL;
	t->redirects = 0;
}

static void log_in(struct transfer *t)
{
	struct auth_challenge c = { 0 };
	struct err err = ERR_INIT;
	char base[600];
	base_of(t, base, sizeof(base));
	/* Another transfer has logged in meanwhile. */
	if (t->auth_stamp != t->h->auth_stamp && t->auths++ < AUTHS_MAX) {
		begin(t);
		return;
	}
	int rc = t->auths++ > 1 ? err_set(&err, EACCES, "unauthorized: %s refuses access to %s",
					  t->h->r->host, t->h->r->repo)
				: 0;
	if (rc == 0 && !is_own_base(t))
		rc = err_set(&err, EACCES, "a mirror wants a log-in");
	if (rc == 0)
		rc = auth_parse(t->challenge, &c, &err);
	if (rc == 0)
		rc = http_authorize(t->h, base, &c, &err);
	if (rc < 0)
		next_base_or_fail(t, err.code, err.text);
	else
		begin(t);
}

static void follow(struct transfer *t)
{
	struct err err = ERR_INIT;
	char *to = http_resolve(t, &err);
	if (to && ++t->redirects > REDIRECTS_MAX) {
		free(take_ptr(to));
		(void)err_set(&err, EPROTO, "%s redirects more than %d times", t->h->r->host,
			      REDIRECTS_MAX);
	}
	/* Only these keep the method (RFC 9110, 15.4). */
	if (to && strcmp(t->method, "GET") && strcmp(t->method, "HEAD") && t->status != 307 &&
	    t->status != 308) {
		free(take_ptr(to));
		(void)err_set(&err, EPROTO, "%s answers %ld to an upload", t->h->r->host,
			      t->status);
	}
	if (!to) {
		next_base_or_fail(t, err.code, err.text);
		return;
	}
	free(t->url);
	t->url = to;
	begin(t);
}

/* The message of distribution-spec's {"errors":[{"code","message"}]}, or none. */
static void refused(struct transfer *t)
{
	static const struct {
		long status;
		int code;
	} codes[] = {
		{ 401, EACCES }, { 403, EACCES }, { 404, ENOENT },
		{ 405, EROFS },  { 413, EFBIG },  { 416, ERANGE },
	};
	cleanup_json json_object *o = NULL;
	char text[512];
	if (t->text.text)
		(void)json_parse_max(t->text.text, t->text.len, "error", ERROR_VALUES_MAX, &o,
				     NULL);
	json_object *list = json_get(o, "errors");
	const char *message = json_str_or(
		json_len(list) ? json_object_array_get_idx(list, 0) : NULL, "message", "");
	int code = EIO;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].status == t->status)
			code = codes[i].code;
	if (!*message && !strncasecmp(t->type, "text/html", 9))
		message = "a page of HTML: is this a registry?";
	(void)snprintf(text, sizeof(text), "%s answers %ld%s%.200s", t->h->r->host, t->status,
		       *message ? ": " : "", message);
	next_base_or_fail(t, code, text);
}

static void finished(struct transfer *t, CURLcode code)
{
	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
	if (t->enough)
		code = CURLE_OK;
	/* The body ended where it was asked to go on. */
	if (code == CURLE_OK && t->status == 416 && t->got) {
		http_say(t, NET_END, NULL, 0);
		drop(t);
	} else if (http_guessed_wrong(t, code)) {
		begin(t);
	} else if (trust_again(&t->h->trust, code)) {
		begin(t);
	} else if (code == CURLE_PEER_FAILED_VERIFICATION) {
		next_base_or_fail(t, EACCES,
				  "the certificate of the registry is not trusted (ca_file or "
				  "skip_verify of the registries file)");
	} else if (code == CURLE_COULDNT_RESOLVE_HOST) {
		char text[700];
		(void)snprintf(
			text, sizeof(text),
			"%.200s: no such host%s%.200s%s. Is the name right (a registry comes "
			"first in it), and can this machine reach it? The registries file "
			"can name mirrors",
			t->h->r->host, *t->h->r->repo ? ", so \"" : "", t->h->r->repo,
			*t->h->r->repo ? "\" cannot be reached" : "");
		next_base_or_fail(t, EIO, text);
	} else if (code != CURLE_OK) {
		again(t, curl_easy_strerror(code));
	} else if (t->status == 401) {
		log_in(t);
	} else if (t->status >= 300 && t->status < 400) {
		follow(t);
	} else if (t->status == 429 || t->status == 408 || t->status >= 500) {
		char text[64];
		(void)snprintf(text, sizeof(text), "it answers %ld", t->status);
		again(t, text);
	} else if (t->status >= 400) {
		refused(t);
	} else {
		say_head(t);
		http_say(t, NET_END, NULL, 0);
		drop(t);
	}
}

/* ---- the loop ---- */

/* A header field, or NULL for one without a value. */
static char *new_field(const char *name, const char *value)
{
	char *field = NULL;
	if (value && asprintf(&field, "%s: %s", name, value) < 0)
		_exit(1);
	return field;
}

static void take_request(struct http *h, const char *text, size_t size, int body_fd)
{
	cleanup_json json_object *o = NULL;
	struct transfer *t = calloc(1, sizeof(*t));
	if (!t || json_parse(text, size, "request", &o, NULL) < 0)
		_exit(1);
	const char *url = json_str_or(o, "url", NULL), *source = json_str_or(o, "source", NULL);
	int64_t delay_ms = json_i64_or(o, "delay_ms", 0);
	t->h = h;
	t->id = (uint32_t)json_i64_or(o, "id", 0);
	t->method = strdup(json_str_or(o, "method", "GET"));
	t->path = strdup(json_str_or(o, "path", "/v2/"));
	t->start = url ? strdup(url) : NULL;
	t->accept = new_field("Accept", json_str_or(o, "accept", NULL));
	t->range = new_field("Content-Range", json_str_or(o, "range", NULL));
	t->body_type = new_field("Content-Type", json_str_or(o, "type", NULL));
	t->once = json_bool_or(o, "once", false);
	t->body_fd = body_fd;
	t->body_from = (uint64_t)json_i64_or(o, "body_from", 0);
	t->body_size = (uint64_t)json_i64_or(o, "body_size", 0);
	t->easy = curl_easy_init();
	if (!t->method || !t->path || !t->easy || (url && !t->start))
		_exit(1);
	if (source)
		http_add_source(h, source);
	t->next = h->first;
	h->first = t;
	if (delay_ms > 0)
		t->again_ns = num_now_ns() + delay_ms * 1000000;
	else
		begin(t);
}

static int start_due(struct http *h)
{
	int64_t now = num_now_ns(), wait_ns = 1000000000;
	for (struct transfer *t = h->first, *next; t; t = next) {
		next = t->next;
		if (!t->again_ns)
			continue;
		if (t->again_ns <= now) {
			t->again_ns = 0;
			begin(t);
			return 0; /* the list may have changed */
		}
		if (t->again_ns - now < wait_ns)
			wait_ns = t->again_ns - now;
	}
	return (int)(wait_ns / 1000000) + 1;
}

static void take_finished(struct http *h)
{
	CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct transfer *t = NULL;
		CURLcode code = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		(void)curl_multi_remove_handle(h->multi, m->easy_handle);
		t->running = false;
		finished(t, code);
	}
}

static void loop(struct http *h, int ctl_fd)
{
	static char text[64 * 1024];
	for (;;) {
		struct curl_waitfd w = { .fd = ctl_fd, .events = CURL_WAIT_POLLIN };
		int running = 0, n = 0, wait_ms = start_due(h);
		(void)curl_multi_perform(h->multi, &running);
		take_finished(h);
		(void)curl_multi_poll(h->multi, &w, 1, running && wait_ms > 100 ? 100 : wait_ms,
				      &n);
		struct pollfd p = { .fd = ctl_fd, .events = POLLIN };
		while (poll(&p, 1, 0) > 0) {
			int body_fd;
			ssize_t got = fd_receive_one(ctl_fd, text, sizeof(text), &body_fd, 0);
			if (got <= 0)
				return;
			take_request(h, text, (size_t)got, body_fd);
		}
	}
}

void net_main(const struct registry *r, const char *actions, int data_fd, int ctl_fd)
{
	struct http h = { .r = r, .actions = actions, .data_fd = data_fd };
	struct err err = ERR_INIT;
	pid_t parent = getppid();
	http_guess(&h);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGPIPE, SIG_IGN);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		_exit(1);
	if (libcurl_load(&err) < 0) {
		(void)fprintf(stderr, "isola-image: %s\n", err.text);
		_exit(1);
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(h.multi = curl_multi_init()))
		_exit(1);
	trust_init(&h.trust);
	if (confine_net(&err) < 0) {
		(void)fprintf(stderr, "isola-image: %s\n", err.text);
		_exit(1);
	}
	/* Behind the change of user, which clears it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	loop(&h, ctl_fd);
	_exit(0);
}
