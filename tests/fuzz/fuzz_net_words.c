/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_net_words - ports, subnets and MAC addresses as clients write them. What is
 * taken is in bounds and, where it has a canonical form, stable. */
#include "isola/mac.h"
#include "isola/net.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void prefix(const char *text)
{
	char once[NET_PREFIX_TEXT], twice[NET_PREFIX_TEXT];
	struct net_prefix p, again;
	struct net_addr a;
	if (net_prefix_parse(text, &p, NULL) < 0)
		return;
	net_prefix_format(&p, once, sizeof(once));
	if (net_prefix_parse(once, &again, NULL) < 0 ||
	    strcmp(net_prefix_format(&again, twice, sizeof(twice)), once) != 0 ||
	    !net_prefix_overlap(&p, &again) || net_prefix_nth(&p, 0, &a) < 0 ||
	    !net_prefix_holds(&p, &a) || net_prefix_index(&p, &a) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[256];
	struct net_publish p;
	uint8_t mac[MAC_BYTES];
	char again[MAC_TEXT];
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	prefix(text);
	if (net_publish_parse(text, &p, NULL) == 0 &&
	    (!p.inside.first || p.inside.last < p.inside.first || p.host.last < p.host.first))
		abort();
	if (mac_parse(text, mac) == 0 &&
	    (mac[0] & 1 || strcasecmp(text, mac_format(mac, again, sizeof(again))) != 0))
		abort();
	return 0;
}
