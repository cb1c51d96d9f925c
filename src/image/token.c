/* SPDX-License-Identifier: Apache-2.0 */
/* token - logs in: Basic, or a token of the realm that the registry names
 * (distribution, "Token Authentication"). Runs in the network process. */
#include "http.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES_MAX  (1024 * 1024)
#define TOKEN_TIMEOUT_S  30
#define TOKEN_VALUES_MAX 1000 /* in its JSON */

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct strbuf *b = arg;
	(void)one;
	if (b->len + n > TOKEN_BYTES_MAX)
		return 0;
	strbuf_add(b, data, n);
	return strbuf_ok(b) ? n : 0;
}

static int set(struct http *h, const char *scheme, const char *value, struct err *err)
{
	char *field = NULL;
	if (asprintf(&field, "Authorization: %s %s", scheme, value) < 0)
		return err_set(err, ENOMEM, "out of memory");
	for (const char *p = field; *p; p++)
		if ((unsigned char)*p < ' ') {
			free(field);
			return err_set(err, EINVAL, "a token of the registry has odd characters");
		}
	free(h->authorization);
	h->authorization = field;
	h->auth_stamp++;
	return 0;
}

static void add_field(CURL *easy, struct strbuf *b, const char *key, const char *value)
{
	char *text = value && *value ? curl_easy_escape(easy, value, 0) : NULL;
	if (text)
		strbuf_printf(b, "%s%s=%s", b->len ? "&" : "", key, text);
	curl_free(text);
}

static int take_token(struct http *h, const struct strbuf *body, struct err *err)
{
	cleanup_json json_object *o = NULL;
	int rc = json_parse_max(body->text ? body->text : "", body->len, "the answer of the log-in",
				TOKEN_VALUES_MAX, &o, err);
	if (rc < 0)
		return rc;
	const char *token = json_str_or(o, "token", "");
	const char *identity = json_str_or(o, "refresh_token", "");
	if (*identity && h->r->wants_identity) {
		free(h->identity);
		h->identity = strdup(identity);
	}
	if (!*token)
		token = json_str_or(o, "access_token", "");
	return *token ? set(h, "Bearer", token, err)
		      : err_set(err, EPROTO, "the log-in of %s gave no token", h->r->host);
}

static CURLcode ask(struct http *h, CURL *easy, const char *url, const char *form,
		    struct strbuf *body)
{
	curl_easy_reset(easy);
	strbuf_reset(body);
	http_setup(h, easy);
	(void)curl_easy_setopt(easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)TOKEN_TIMEOUT_S);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
	if (form) {
		(void)curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, form);
	} else if (h->r->user) {
		(void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		(void)curl_easy_setopt(easy, CURLOPT_USERNAME, h->r->user);
		(void)curl_easy_setopt(easy, CURLOPT_PASSWORD, h->r->password);
	}
	return curl_easy_perform(easy);
}

static int fetch(struct http *h, CURL *easy, const char *url, const char *form, struct err *err)
{
	cleanup_strbuf struct strbuf body = STRBUF_INIT;
	long status = 0;
	CURLcode code = ask(h, easy, url, form, &body);
	if (trust_again(&h->trust, code))
		code = ask(h, easy, url, form, &body);
	(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		return err_set(err, EIO, "cannot log in to %s: %s", h->r->host,
			       curl_easy_strerror(code));
	if (status == 401 || status == 403)
		return err_set(err, EACCES, "unauthorized: %s refuses %s", h->r->host,
			       h->r->user || h->r->identity ? "these credentials"
							    : "access without a log-in");
	if (status != 200)
		return err_set(err, EIO, "cannot log in to %s: its token server answers %ld",
			       h->r->host, status);
	return take_token(h, &body, err);
}

void http_add_source(struct http *h, const char *repo)
{
	for (size_t i = 0; i < h->n_sources; i++)
		if (!strcmp(h->sources[i], repo))
			return;
	if (h->n_sources == HTTP_SOURCES_MAX || !(h->sources[h->n_sources] = strdup(repo)))
		return;
	h->n_sources++;
	/* A token that does not allow it is of no use; a password stays what it is. */
	if (h->authorization && !strncmp(h->authorization, "Authorization: Bearer", 21)) {
		free(h->authorization);
		h->authorization = NULL;
		h->auth_stamp++;
	}
}

static void forget_sources(struct http *h)
{
	while (h->n_sources)
		free(h->sources[--h->n_sources]);
}

/* What the token shall be good for: several fields in a query, one in a form. */
static void add_scopes(struct http *h, CURL *easy, struct strbuf *b, const char *asked, bool form)
{
	cleanup_strbuf struct strbuf all = STRBUF_INIT;
	char own[sizeof(h->r->repo) + 64] = "";
	size_t n = (size_t)snprintf(own, sizeof(own), "repository:%s:", h->r->repo);
	/* The registry asks for what this request needs, the next one may need more. */
	if (*h->r->repo && (!*asked || !strncmp(asked, own, n))) {
		(void)snprintf(own + n, sizeof(own) - n, "%s", h->actions);
		asked = own;
	}
	for (size_t i = 0; i <= h->n_sources; i++) {
		char more[sizeof(own)];
		if (i)
			(void)snprintf(more, sizeof(more), "repository:%s:pull", h->sources[i - 1]);
		if (form)
			strbuf_printf(&all, "%s%s", i ? " " : "", i ? more : asked);
		else
			add_field(easy, b, "scope", i ? more : asked);
	}
	if (form)
		add_field(easy, b, "scope", all.text);
}

static int bearer(struct http *h, const char *base, const struct auth_challenge *c, struct err *err)
{
	cleanup_strbuf struct strbuf url = STRBUF_INIT, query = STRBUF_INIT;
	CURL *easy = curl_easy_init();
	if (!easy)
		return err_set(err, ENOMEM, "out of memory");
	bool refresh = h->r->identity;
	if (refresh) {
		add_field(easy, &query, "grant_type", "refresh_token");
		add_field(easy, &query, "refresh_token", h->r->identity);
	} else if (h->r->user) {
		add_field(easy, &query, "account", h->r->user);
	}
	if (refresh || h->r->wants_identity)
		add_field(easy, &query, "client_id", "isola");
	if (!refresh && h->r->wants_identity)
		add_field(easy, &query, "offline_token", "true");
	add_field(easy, &query, "service", c->service);
	add_scopes(h, easy, &query, c->scope, refresh);
	strbuf_printf(&url, "%s%s%s", c->realm,
		      refresh                 ? ""
		      : strchr(c->realm, '?') ? "&"
					      : "?",
		      refresh || !query.text ? "" : query.text);
	int rc = strbuf_ok(&url) && strbuf_ok(&query) ? 0 : err_set(err, ENOMEM, "out of memory");
	/* Credentials go in the clear only where the registry itself is spoken to so. */
	if (rc == 0 && strncasecmp(c->realm, "https://", 8) != 0 &&
	    (strncasecmp(c->realm, "http://", 7) != 0 || strncmp(base, "http://", 7) != 0))
		rc = err_set(err, EACCES, "the token server of %s is no https address: %.200s",
			     h->r->host, c->realm);
	if (rc == 0)
		rc = fetch(h, easy, url.text, refresh ? query.text : NULL, err);
	curl_easy_cleanup(easy);
	return rc;
}

int http_authorize(struct http *h, const char *base, const struct auth_challenge *challenge,
		   struct err *err)
{
	char *encoded = NULL, *both = NULL;
	if (challenge->scheme == AUTH_BEARER) {
		int got = bearer(h, base, challenge, err);
		if (got < 0 && h->n_sources) {
			/* Then nothing is mounted, but sent. */
			forget_sources(h);
			got = bearer(h, base, challenge, err);
		}
		return got;
	}
	if (!h->r->user)
		return err_set(err, EACCES, "unauthorized: %s wants a log-in", h->r->host);
	int rc = 0;
	if (asprintf(&both, "%s:%s", h->r->user, h->r->password) < 0)
		return err_set(err, ENOMEM, "out of memory");
	rc = auth_encode(both, &encoded, err);
	if (rc == 0)
		rc = set(h, "Basic", encoded, err);
	free(both);
	free(encoded);
	return rc;
}
