/* SPDX-License-Identifier: Apache-2.0 */
/* nft - running commands by libnftables. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <string.h>

static int context(struct net *n, struct err *err)
{
	if (n->nft)
		return 0;
	n->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!n->nft)
		return err_set(err, EOPNOTSUPP,
			       "cannot open nftables (use --network none or host)");
	(void)nft_ctx_buffer_output(n->nft);
	(void)nft_ctx_buffer_error(n->nft);
	return 0;
}

void kernel_nft_close(struct net *n)
{
	if (n->nft)
		nft_ctx_free(n->nft);
	n->nft = NULL;
}

int kernel_nft(struct net *n, const char *commands, char **ret_json, struct err *err)
{
	int rc = context(n, err);
	if (rc < 0)
		return rc;
	nft_ctx_output_set_flags(n->nft, ret_json ? NFT_CTX_OUTPUT_JSON : 0);
	errno = 0;
	rc = nft_run_cmd_from_buffer(n->nft, commands);
	int code = errno;
	const char *said = nft_ctx_get_error_buffer(n->nft);
	const char *out = nft_ctx_get_output_buffer(n->nft);
	if (rc != 0) {
		/* "Error: Could not process rule: No such file or directory" */
		const char *text = said && !strncmp(said, "Error: ", 7) ? said + 7
				   : said                               ? said
									: "";
		return err_set(err, code == EPERM ? EPERM : EIO, "nftables: %.*s%s",
			       (int)strcspn(text, "\n"), text,
			       code == EPERM ? " (use --network none or host)" : "");
	}
	if (ret_json && !(*ret_json = strdup(out ? out : "")))
		return err_set(err, ENOMEM, "out of memory");
	return 0;
}
