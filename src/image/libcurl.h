/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl - its calls, once it is loaded: by the network process and nobody else. With the
 * thirty libraries that it brings along it takes longer to load than all the rest of
 * isola-image, most of whose jobs speak to no registry; and a job that does goes on
 * meanwhile. To be included in place of <curl/curl.h>. */
#pragma once

#include "isola/err.h"

#include <curl/curl.h>

/* These are macros around the calls, which would go past the table. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define LIBCURL_CALLS(X)                                                                           \
	X(curl_easy_cleanup)                                                                       \
	X(curl_easy_escape)                                                                        \
	X(curl_easy_getinfo)                                                                       \
	X(curl_easy_init)                                                                          \
	X(curl_easy_perform)                                                                       \
	X(curl_easy_reset)                                                                         \
	X(curl_easy_setopt)                                                                        \
	X(curl_easy_strerror)                                                                      \
	X(curl_free)                                                                               \
	X(curl_global_init)                                                                        \
	X(curl_multi_add_handle)                                                                   \
	X(curl_multi_info_read)                                                                    \
	X(curl_multi_init)                                                                         \
	X(curl_multi_perform)                                                                      \
	X(curl_multi_poll)                                                                         \
	X(curl_multi_remove_handle)                                                                \
	X(curl_slist_append)                                                                       \
	X(curl_slist_free_all)                                                                     \
	X(curl_url)                                                                                \
	X(curl_url_cleanup)                                                                        \
	X(curl_url_get)                                                                            \
	X(curl_url_set)

struct libcurl {
#define LIBCURL_MEMBER(name) __typeof__(name) *name;
	LIBCURL_CALLS(LIBCURL_MEMBER)
#undef LIBCURL_MEMBER
};

extern struct libcurl libcurl;

/* Before any of them. -ENOENT when the host has none (libcurl.so.4). */
int libcurl_load(struct err *err);

#ifndef LIBCURL_TABLE
#define curl_easy_cleanup        libcurl.curl_easy_cleanup
#define curl_easy_escape         libcurl.curl_easy_escape
#define curl_easy_getinfo        libcurl.curl_easy_getinfo
#define curl_easy_init           libcurl.curl_easy_init
#define curl_easy_perform        libcurl.curl_easy_perform
#define curl_easy_reset          libcurl.curl_easy_reset
#define curl_easy_setopt         libcurl.curl_easy_setopt
#define curl_easy_strerror       libcurl.curl_easy_strerror
#define curl_free                libcurl.curl_free
#define curl_global_init         libcurl.curl_global_init
#define curl_multi_add_handle    libcurl.curl_multi_add_handle
#define curl_multi_info_read     libcurl.curl_multi_info_read
#define curl_multi_init          libcurl.curl_multi_init
#define curl_multi_perform       libcurl.curl_multi_perform
#define curl_multi_poll          libcurl.curl_multi_poll
#define curl_multi_remove_handle libcurl.curl_multi_remove_handle
#define curl_slist_append        libcurl.curl_slist_append
#define curl_slist_free_all      libcurl.curl_slist_free_all
#define curl_url                 libcurl.curl_url
#define curl_url_cleanup         libcurl.curl_url_cleanup
#define curl_url_get             libcurl.curl_url_get
#define curl_url_set             libcurl.curl_url_set
#endif
