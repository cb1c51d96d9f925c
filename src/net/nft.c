/* SPDX-License-Identifier: Apache-2.0 */
/* nft - running commands by libnftables. Thread pool.
 *
 * The library waits for the kernel by select(2), whose sets end at FD_SETSIZE (1024): with
 * a socket beyond, the process is aborted. An isolad with some hundred containers has that
 * many files, so a low number is kept for the socket, and looked at before it is used. */
#include "kernel.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>

#define TRIES 3 /* another thread may take the number */

void kernel_nft_keep_low(struct net *n)
{
	if (n->low_fd < 0)
		n->low_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (n->low_fd >= FD_SETSIZE)
		fd_close(&n->low_fd);
}

/* There is one socket of that protocol, the library's. */
static bool has_low_socket(void)
{
	for (int fd = 0; fd < FD_SETSIZE; fd++) {
		int domain = 0, protocol = 0;
		socklen_t size = sizeof(domain);
		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
		    domain != AF_NETLINK)
			continue;
		size = sizeof(protocol);
		if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
		    protocol == NETLINK_NETFILTER)
			return true;
	}
	return false;
}

static int context(struct net *n, struct err *err)
{
	if (n->nft)
		return 0;
	for (int i = 0; !n->nft && i < TRIES; i++) {
		fd_close(&n->low_fd);
		n->nft = nft_ctx_new(NFT_CTX_DEFAULT);
		if (!n->nft)
			return err_set(err, EOPNOTSUPP,
				       "cannot open nftables (use --network none or host)");
		if (has_low_socket())
			break;
		kernel_nft_close(n);
	}
	if (!n->nft)
		return err_set(err, EMFILE,
			       "cannot open nftables: isolad has more than %d files open",
			       FD_SETSIZE);
	(void)nft_ctx_buffer_output(n->nft);
	(void)nft_ctx_buffer_error(n->nft);
	return 0;
}

void kernel_nft_close(struct net *n)
{
	if (n->nft)
		nft_ctx_free(n->nft);
	n->nft = NULL;
	kernel_nft_keep_low(n);
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
