/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dataplane/worker.h"
#include "drivers/port_internal.h"
#include "drivers/steer.h"
#include "lib/log.h"

/**
 * AF_XDP through DPDK's net_af_xdp, which loads our steering program itself. Every failure
 * that can be foreseen is found out before that driver runs: it says only -1, and it cannot
 * close what it failed to open.
 */

/* net_af_xdp fills a queue's ring with this many buffers, and may have as many under way. */
#define BUFFERS_A_QUEUE 2048
#define PROBE_CHUNKS    64
#define PROBE_RING      64

/* A closed socket gives its queue back a moment later, from a kernel work queue. */
#define SETTLE_MICROSECONDS 100000
#define SETTLE_TRIES        10

struct xdp_private {
	int program_file;
};

/* Sockets that net_af_xdp opened for a port, and forgets to close. */
struct xdp_socket {
	LIST_ENTRY(xdp_socket) entry;
	const struct pw_port_device *owner;
	int queue; /* -1: of none that was set up */
	int fd;
	ino_t inode;
};
static LIST_HEAD(, xdp_socket) sockets = LIST_HEAD_INITIALIZER(sockets);

/* One object of the pool after the other, in one piece of memory: a UMEM is such a thing. */
static bool pool_is_umem(struct rte_mempool *pool)
{
	const struct rte_mempool_memhdr *memory = STAILQ_FIRST(&pool->mem_list);
	size_t object = rte_mempool_calc_obj_size(pool->elt_size, pool->flags, NULL);

	return pool->nb_mem_chunks == 1 && memory &&
	       memory->len < (pool->populated_size + 1) * object + getpagesize() &&
	       object <= (size_t)getpagesize();
}

static int probe_rings(int fd, void *memory, size_t chunk, size_t bytes)
{
	struct xdp_umem_reg registration = {
		.addr = (uintptr_t)memory,
		.len = bytes,
		.chunk_size = chunk,
		.flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG,
	};
	static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING,
				    XDP_TX_RING};
	int entries = PROBE_RING;

	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof(registration)) < 0)
		return -errno;
	for (size_t i = 0; i < RTE_DIM(rings); i++)
		if (setsockopt(fd, SOL_XDP, rings[i], &entries, sizeof(entries)) < 0)
			return -errno;
	return 0;
}

/*
 * Could a socket be had on this queue, and would the device read and write the buffers itself?
 * Without @p bind_it the second question is not asked, and the queue stays untouched: the kernel
 * lets go of a queue only some time after its socket was closed. 0 or -errno.
 */
static int probe_queue(uint32_t ifindex, uint16_t queue, size_t chunk, bool bind_it,
		       bool *zero_copy)
{
	size_t bytes = RTE_ALIGN(chunk * PROBE_CHUNKS, (size_t)getpagesize());
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_USE_NEED_WAKEUP,
		.sxdp_ifindex = ifindex,
		.sxdp_queue_id = queue,
	};
	struct xdp_options options = {0};
	socklen_t length = sizeof(options);
	void *memory;
	int result;
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	result = probe_rings(fd, memory, chunk, bytes);
	if (!result && bind_it && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		result = -errno;
	*zero_copy = !result && bind_it &&
		     getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &length) == 0 &&
		     (options.flags & XDP_OPTIONS_ZEROCOPY);
	close(fd);
	munmap(memory, bytes);
	return result;
}

/* Zero-copy only where every queue can, which on a veth none can. */
static int probe(struct pw_port_device *device, bool *copy, char *error, size_t size)
{
	bool is_veth = pw_netdev_is_veth(device->netdev.name);
	size_t chunk = rte_mempool_calc_obj_size(pw_mbuf_pool->elt_size, pw_mbuf_pool->flags, NULL);
	const char *name = device->netdev.name;

	*copy = false;
	for (uint16_t queue = 0; queue < device->queues; queue++) {
		bool zero_copy = false;
		const char *why;
		int result = -EBUSY;

		for (int try = 0; try < SETTLE_TRIES && result == -EBUSY; try++) {
			if (try > 0)
				usleep(SETTLE_MICROSECONDS);
			result = probe_queue(device->netdev.index, queue, chunk, !is_veth,
					     &zero_copy);
		}
		if (!result) {
			*copy = *copy || !zero_copy;
			continue;
		}
		why = strerror(-result);
		if (result == -EAFNOSUPPORT)
			why = "this kernel has no AF_XDP";
		else if (result == -EPERM)
			why = "not permitted (it needs CAP_NET_RAW)";
		else if (result == -EBUSY)
			why = "another program has an AF_XDP socket there";
		else if (result == -ENOBUFS || result == -ENOMEM)
			why = "not enough memory may be locked (see ulimit -l)";
		return pw_port_refuse(result, error, size, "AF_XDP on %s, queue %u: %s", name,
				      queue, why);
	}
	if (!is_veth)
		usleep(SETTLE_MICROSECONDS);
	return 0;
}

static int pool_check(const struct pw_port_device *device, char *error, size_t size)
{
	unsigned int wanted = device->queues * BUFFERS_A_QUEUE + BUFFERS_A_QUEUE;

	if (!pool_is_umem(pw_mbuf_pool))
		return pw_port_refuse(-ENOTSUP, error, size,
				      "AF_XDP on %s: packet buffers are not one piece of memory",
				      device->netdev.name);
	if (rte_mempool_avail_count(pw_mbuf_pool) < wanted)
		return pw_port_refuse(-ENOBUFS, error, size,
				      "AF_XDP on %s with %u queues takes %u packet buffers, %u are "
				      "free (more buffers, or fewer queues by ethtool -L)",
				      device->netdev.name, device->queues, wanted,
				      rte_mempool_avail_count(pw_mbuf_pool));
	return 0;
}

static int xdp_prepare(struct pw_port_device *device, bool *copy, char *error, size_t size)
{
	const char *name = device->netdev.name;
	int result;

	device->queues = pw_netdev_queues(name);
	if (device->queues > PW_STEER_QUEUES)
		return pw_port_refuse(-ENOTSUP, error, size,
				      "%s has %u queues, AF_XDP ports have at most %u", name,
				      device->queues, PW_STEER_QUEUES);
	result = pool_check(device, error, size);
	if (!result)
		result = pw_steer_xdp_clear(device->netdev.index, name, error, size);
	if (!result)
		result = pw_steer_xdp_try(device->netdev.index, name, error, size);
	if (!result)
		result = probe(device, copy, error, size);
	/* XDP does not see a tag that hardware took off: a VLAN's frames would be untagged. */
	if (!result && pw_netdev_offloads_off(&device->netdev, PW_NETDEV_RXVLAN))
		result = pw_port_refuse(-ENOTSUP, error, size,
					"%s strips VLAN tags and cannot be kept from it", name);
	return result;
}

static int xdp_create(struct pw_port_device *device, char *error, size_t size)
{
	const char *name = device->port.spec.argument;
	struct xdp_private *private;
	char arguments[256];
	bool copy = false;
	int result;

	result = pw_netdev_open(&device->netdev, name, error, size);
	if (result)
		return result;
	device->fallback = true;
	private = rte_zmalloc("af_xdp", sizeof(*private), 0);
	if (!private)
		return pw_port_refuse(-ENOMEM, error, size, "%s: out of memory", name);
	device->private = private;
	private->program_file = -1;
	result = xdp_prepare(device, &copy, error, size);
	if (result)
		return result;
	private->program_file = pw_steer_xdp_file();
	if (private->program_file < 0)
		return pw_port_refuse(private->program_file, error, size,
				      "%s: the steering program cannot be written: %s", name,
				      strerror(-private->program_file));
	device->frame_room = rte_pktmbuf_data_room_size(pw_mbuf_pool) - RTE_PKTMBUF_HEADROOM -
			     XDP_PACKET_HEADROOM;
	memcpy(device->port.mac, device->netdev.mac, sizeof(device->port.mac));
	/* In copy mode an idle queue is asked by looking at its ring; busy polling would cost a
	 * system call each time. */
	snprintf(arguments, sizeof(arguments),
		 "iface=%s,queue_count=%u,xdp_prog=/proc/self/fd/%d,force_copy=%d%s", name,
		 device->queues, private->program_file, copy, copy ? ",busy_budget=0" : "");
	result = pw_ethdev_create(device, "net_af_xdp", arguments);
	if (result)
		return pw_port_refuse(result, error, size, "AF_XDP on %s: %s", name,
				      strerror(-result));
	/* After a queue that failed it would write to memory it has freed; its program and its
	 * sockets are taken away all the same. */
	device->unsafe = true;
	pw_debug("%s: AF_XDP, %u queues%s", name, device->queues, copy ? ", copying" : "");
	return 0;
}

static bool socket_known(int fd)
{
	const struct xdp_socket *one;

	LIST_FOREACH (one, &sockets, entry)
		if (one->fd == fd)
			return true;
	return false;
}

/* Every AF_XDP socket of this process that no other port owns is this one's. */
static void sockets_note(const struct pw_port_device *device, int queue)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		int fd = atoi(entry->d_name);
		socklen_t length = sizeof(int);
		struct xdp_socket *noted;
		struct stat status;
		int domain;

		if (entry->d_name[0] == '.')
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ||
		    domain != AF_XDP || socket_known(fd) || fstat(fd, &status) < 0)
			continue;
		noted = malloc(sizeof(*noted));
		if (!noted)
			break;
		*noted = (struct xdp_socket){
			.owner = device, .queue = queue, .fd = fd, .inode = status.st_ino};
		LIST_INSERT_HEAD(&sockets, noted, entry);
	}
	if (directory)
		closedir(directory);
}

/* net_af_xdp keeps the socket to itself, but makes it when it sets up the queue. */
static void xdp_queue_made(struct pw_port_device *device, uint16_t queue)
{
	sockets_note(device, queue);
}

static int xdp_rx_fd(const struct pw_port_device *device, uint16_t queue)
{
	const struct xdp_socket *one;
	int fd = PW_RX_LOOK;

	LIST_FOREACH (one, &sockets, entry) {
		if (one->owner != device || one->queue != queue)
			continue;
		if (fd >= 0)
			return PW_RX_LOOK; /* which of them it receives from is not known */
		fd = one->fd;
	}
	return fd;
}

static void sockets_close(const struct pw_port_device *device)
{
	struct xdp_socket *one = LIST_FIRST(&sockets);

	while (one) {
		struct xdp_socket *next = LIST_NEXT(one, entry);
		struct stat status;

		if (one->owner == device) {
			/* Closed by the driver after all, and the number used again? */
			if (fstat(one->fd, &status) == 0 && status.st_ino == one->inode)
				close(one->fd);
			LIST_REMOVE(one, entry);
			free(one);
		}
		one = next;
	}
}

static int xdp_start(struct pw_port_device *device, char *error, size_t size)
{
	struct xdp_private *private = device->private;
	const char *name = device->netdev.name;
	int result;

	close(private->program_file);
	private->program_file = -1;
	result = pw_steer_xdp_find(&device->steer, device->netdev.index);
	if (!result)
		result = pw_steer_begin(&device->steer, name, device->port.mac);
	if (result)
		return pw_port_refuse(result, error, size,
				      "%s: the steering program's maps are not there: %s", name,
				      strerror(-result));
	device->port.face = PW_FACE_NATIVE;
	device->port.face_ifindex = device->netdev.index;
	snprintf(device->port.face_name, sizeof(device->port.face_name), "%s", name);
	return 0;
}

static void xdp_destroy(struct pw_port_device *device)
{
	struct xdp_private *private = device->private;

	if (device->netdev.lock > 0)
		pw_steer_xdp_detach(device->netdev.index);
	pw_steer_end(&device->steer);
	if (private) {
		sockets_note(device, -1); /* of an opening that failed half way */
		sockets_close(device);
	}
	if (private && private->program_file >= 0)
		close(private->program_file);
	rte_free(private);
	device->private = NULL;
	pw_netdev_close(&device->netdev);
}

const struct pw_port_ops pw_port_af_xdp_ops = {
	.name = "af_xdp",
	.check = pw_native_check,
	.create = xdp_create,
	.queue_made = xdp_queue_made,
	.start = xdp_start,
	.rx_fd = xdp_rx_fd,
	.destroy = xdp_destroy,
	.set_mtu = pw_native_set_mtu,
	.carrier = pw_native_carrier,
};
