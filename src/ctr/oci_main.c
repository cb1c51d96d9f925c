/* SPDX-License-Identifier: Apache-2.0 */
/* isola-oci: an OCI runtime with runc's command line, for podman, containerd,
 * CRI-O and by hand. No daemon; each call does one thing and ends. */
#include "oci_cli.h"

int main(int argc, char **argv)
{
	return oci_main(argc, argv);
}
