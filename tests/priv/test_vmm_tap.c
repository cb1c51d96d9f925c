/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_tap - virtio-net over a real tap interface, in a network namespace of its own: what
 * the kernel offers, what it answers, what it refuses. */
#include "rig.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/net_backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(n) (1ULL << (n))
#define QUEUE  32
#define NEEDS  VIRTIO_CONFIG_S_NEEDS_RESET
#define TX     0x200000
#define RX     0x400000
#define HOST   "10.77.0.1"
#define GUEST  "10.77.0.2"
#define FEATURES                                                                                   \
	(BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |      \
	 BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4))

extern const struct device_type device_net;

struct fixture {
	struct rig rig;
	struct device *dev;
	struct guestq q[5];
};

static void set_up_interface(const char *name)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	struct sockaddr_in *addr = (struct sockaddr_in *)&ifr.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	addr->sin_family = AF_INET;
	assert_int_equal(inet_pton(AF_INET, HOST, &addr->sin_addr), 1);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &ifr), 0);
	assert_int_equal(inet_pton(AF_INET, "255.255.255.0", &addr->sin_addr), 1);
	assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &ifr), 0);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	(void)close(fd);
}

static void start(struct fixture *f, unsigned int n_queues, uint64_t more)
{
	gpa_t at = 0x10000;
	for (unsigned int i = 0; i < n_queues; i++)
		at = guestq_init(&f->q[i], &f->rig, at, QUEUE);
	for (unsigned int i = 0; i < QUEUE; i++) {
		const struct guestbuf buf = { RX + 4096ULL * i, 4096 };
		(void)guestq_add(&f->q[0], &buf, 0, 1);
	}
	assert_int_equal(rig_start(&f->rig, 0, FEATURES | more, f->q, n_queues) & NEEDS, 0);
	rig_turn(&f->rig);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 16ULL << 20);
	json_object *conf =
		json_tokener_parse("{\"id\":\"net0\",\"tap\":{\"path\":\"/sys/class/net/ivt0\"}}");
	assert_int_equal(device_net.check(conf, &err), 0);
	assert_int_equal(device_net.make(&f->rig.vm, conf, &f->dev, &err), 0);
	json_object_put(conf);
	set_up_interface("ivt0");
	start(f, 2, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_net.free(f->dev);
	rig_fini(&f->rig);
	free(f);
	return 0;
}

static int64_t stat_of(struct fixture *f, const char *name)
{
	json_object *o = device_net.stats(f->dev);
	int64_t n = json_i64_or(o, name, -1);
	json_object_put(o);
	return n;
}

static void guest_sends(struct fixture *f, const struct virtio_net_hdr_v1 *hdr, const void *frame,
			uint32_t size)
{
	const struct guestbuf bufs[] = { { TX, sizeof(*hdr) }, { TX + sizeof(*hdr), size } };
	uint32_t id, len;
	rig_put(&f->rig, TX, hdr, sizeof(*hdr));
	rig_put(&f->rig, TX + sizeof(*hdr), frame, size);
	(void)guestq_add(&f->q[1], bufs, 2, 0);
	rig_kick(&f->rig, 0, 1);
	assert_true(guestq_used(&f->q[1], &id, &len));
}

struct search {
	struct fixture *f;
	uint16_t proto;
	bool found;
	uint8_t frame[4096];
};

/* Looks through what came in for a frame of a kind. */
static bool has_frame(void *arg)
{
	struct search *s = arg;
	uint32_t id, len;
	while (!s->found && guestq_used(&s->f->q[0], &id, &len)) {
		struct vring_desc desc;
		uint16_t proto;
		rig_get(&s->f->rig, s->f->q[0].desc + sizeof(desc) * id, &desc, sizeof(desc));
		rig_get(&s->f->rig, desc.addr, s->frame, len);
		memcpy(&proto, s->frame + sizeof(struct virtio_net_hdr_v1) + 12, 2);
		s->found = ntohs(proto) == s->proto;
	}
	return s->found;
}

/* Who has the host's address? The kernel answers through the tap. */
static void arp__host_answers(void **state)
{
	struct fixture *f = *state;
	const struct virtio_net_hdr_v1 hdr = { .flags = 0 };
	uint8_t arp[42] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6,
			    0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0, 0, 0, 9 };
	assert_int_equal(inet_pton(AF_INET, GUEST, arp + 28), 1);
	assert_int_equal(inet_pton(AF_INET, HOST, arp + 38), 1);
	guest_sends(f, &hdr, arp, sizeof(arp));
	struct search s = { .f = f, .proto = ETH_P_ARP };
	rig_wait(&f->rig, has_frame, &s, 3000);
	assert_memory_equal(s.frame + sizeof(hdr), arp + 6, 6);
	assert_int_equal(stat_of(f, "tx_refused"), 0);
}

/* A segment of 8,000 bytes goes out in one piece; one whose header lies is refused by
 * the kernel and lost, and the queue goes on. */
static void segments__large_and_lying(void **state)
{
	static uint8_t frame[8054];
	struct fixture *f = *state;
	struct ethhdr eth = { .h_proto = htons(ETH_P_IP) };
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };
	struct tcphdr tcp = { .doff = 5 };
	struct virtio_net_hdr_v1 hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1400,
		.csum_start = 34,
		.csum_offset = 16,
	};
	ip.tot_len = htons(sizeof(frame) - 14);
	memcpy(frame, &eth, sizeof(eth));
	memcpy(frame + 14, &ip, sizeof(ip));
	memcpy(frame + 34, &tcp, sizeof(tcp));
	guest_sends(f, &hdr, frame, sizeof(frame));
	assert_int_equal(stat_of(f, "tx_frames"), 1);
	assert_int_equal(stat_of(f, "tx_refused"), 0);
	hdr.csum_start = 60000;
	guest_sends(f, &hdr, frame, sizeof(frame));
	hdr.csum_start = 34;
	hdr.gso_size = 0;
	guest_sends(f, &hdr, frame, sizeof(frame));
	assert_int_equal(stat_of(f, "tx_refused"), 2);
	hdr.gso_size = 1400;
	guest_sends(f, &hdr, frame, sizeof(frame));
	assert_int_equal(stat_of(f, "tx_frames"), 2);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
}

static void interface__gone(void **state)
{
	struct fixture *f = *state;
	/* its namespace is not: deleting the link is what an operator could do */
	assert_int_equal(system("ip link del ivt0 2>/dev/null"), 0);
	rig_turn(&f->rig);
	const struct virtio_net_hdr_v1 hdr = { .flags = 0 };
	uint8_t frame[60] = "";
	guest_sends(f, &hdr, frame, sizeof(frame));
	rig_turn(&f->rig);
	json_object *o = device_net.stats(f->dev);
	assert_false(json_bool_or(o, "link_up", true));
	json_object_put(o);
	guest_sends(f, &hdr, frame, sizeof(frame));
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
}

static void queues__two_attached_as_the_guest_asks(void **state)
{
	struct err err = ERR_INIT;
	struct net_backend *b = NULL;
	int fds[2];
	(void)state;
	assert_int_equal(net_tap_open("ivt2", 2, fds, &err), 0);
	assert_int_equal(net_tap_new(fds, 2, true, &b, &err), 0);
	assert_int_equal(fds[0], -1);
	assert_true(b->features & BIT(VIRTIO_NET_F_GUEST_TSO4));
	assert_true(b->features & BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
	assert_true(b->features & BIT(VIRTIO_NET_F_MRG_RXBUF));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(b->type->set_pairs(b, 2), 0);
		assert_int_equal(b->type->set_pairs(b, 2), 0);
		assert_int_equal(b->type->set_pairs(b, 1), 0);
	}
	b->type->free(b);
	assert_int_equal(net_tap_open("ivt2", 1, fds, &err), 0);
	assert_int_equal(net_tap_new(fds, 1, false, &b, &err), 0);
	assert_false(b->features & BIT(VIRTIO_NET_F_CSUM));
	b->type->free(b);
}

/* Each thing that is missing is named. */
static void descriptors__wrong_ones_are_refused(void **state)
{
	static const struct {
		short flags;
		unsigned int n;
		const char *word;
	} bad[] = {
		{ IFF_TAP | IFF_NO_PI, 1, "IFF_VNET_HDR" },
		{ IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, 1, "IFF_TAP" },
		{ IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 2, "IFF_MULTI_QUEUE" },
		{ 0, 1, "no tap" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		struct net_backend *b = NULL;
		struct ifreq ifr = { .ifr_flags = bad[i].flags };
		int fds[2] = { open("/dev/net/tun", O_RDWR | O_CLOEXEC), -1 };
		(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "ivt3");
		if (bad[i].flags)
			assert_int_equal(ioctl(fds[0], TUNSETIFF, &ifr), 0);
		if (bad[i].n > 1)
			fds[1] = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
		assert_true(net_tap_new(fds, bad[i].n, true, &b, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].word));
		assert_int_equal(fds[0], -1); /* taken all the same */
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(arp__host_answers),
		CASE(segments__large_and_lying),
		CASE(interface__gone),
		cmocka_unit_test(queues__two_attached_as_the_guest_asks),
		cmocka_unit_test(descriptors__wrong_ones_are_refused),
	};
	if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
		printf("1..0 # SKIP needs the right to make a network namespace, and /dev/net/tun\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
