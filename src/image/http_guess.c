/* SPDX-License-Identifier: Apache-2.0 */
/* http_guess - a registry of this machine may or may not have TLS. In the clear it is asked
 * first: TLS costs more than all the rest of the question. Nothing secret is sent before an
 * answer, and whoever answers would get it without TLS, too. Runs in the network process. */
#include "http.h"

/* Of the registry itself: not a mirror, nor where somebody sends us. */
static bool is_guess(const struct transfer *t)
{
	const struct registry *r = t->h->r;
	return r->try_http && t->base == r->n_bases - 1 && !t->url && !t->start;
}

void http_guess(struct http *h)
{
	h->plain[h->r->n_bases - 1] = h->r->try_http && !h->r->wants_tls;
}

/* What a server with TLS makes of a request in the clear: "400" in the clear, an alert, or
 * just an end. */
static bool is_tls(const struct transfer *t, CURLcode code)
{
	return code == CURLE_OK ? t->status == 400
				: code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
					  code == CURLE_UNSUPPORTED_PROTOCOL ||
					  code == CURLE_WEIRD_SERVER_REPLY;
}

bool http_guessed_wrong(struct transfer *t, CURLcode code)
{
	struct http *h = t->h;
	if (!is_guess(t))
		return false;
	bool wrong = t->is_plain ? is_tls(t, code) : code == CURLE_SSL_CONNECT_ERROR;
	if (!wrong) {
		h->plain_known |= code == CURLE_OK;
		return false;
	}
	/* Another transfer has found out meanwhile. */
	if (t->is_plain != h->plain[t->base])
		return true;
	if (h->plain_known)
		return false;
	h->plain_known = !t->is_plain;
	h->plain[t->base] = !t->is_plain;
	return true;
}
