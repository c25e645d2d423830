/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_PRELOAD_H
#define PW_PRELOAD_H

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "lib/pewter_netlink.h"

/**
 * libpewter-run.so: a program's AF_NETLINK sockets become connections to Pewter's API socket.
 * preload.c holds the functions that stand before libc's, preload_socket.c the connections.
 */

/** The function that ours hides. */
#define REAL(name)                                                                                 \
	({                                                                                         \
		static typeof(name) *real_##name;                                                  \
		if (!real_##name)                                                                  \
			real_##name = (typeof(name) *)dlsym(RTLD_NEXT, #name);                     \
		real_##name;                                                                       \
	})

/** What a redirected descriptor stands for. */
struct bulk;
struct netlink_socket {
	bool used;
	struct bulk *bulk; /* changes are sent by the bufferful; NULL: as they come */
	bool no_enobufs;   /* NETLINK_NO_ENOBUFS: does not want to hear of lost events */
	bool parked;       /* the daemon is gone: reads sleep until it is back */
	int partner;       /* parked: the other end of what the descriptor is now */
	ino_t partner_inode;
	uint32_t generation;      /* counts connections */
	_Atomic uint64_t awaited; /* preload_answer.c */
	uint32_t protocol;
	uint32_t groups[PW_NETLINK_GROUPS / 32];
};

/** Is this netlink protocol Pewter's in this program? */
bool preload_protocol(int protocol);

/** NULL for descriptors that are not ours. */
struct netlink_socket *preload_find(int fd);

/** A new connection in the place of socket(AF_NETLINK, type, protocol); -1 with errno. */
int preload_open(int type, uint32_t protocol);

/** The descriptor was closed, or is another one's duplicate. */
void preload_forget(int fd);
int preload_duplicate(int from, int to);

/** Events of a group, or no more. 0, or -1 with errno. */
int preload_subscribe(int fd, struct netlink_socket *s, uint32_t group, bool on);
bool preload_listens(const struct netlink_socket *s, uint32_t group);

/**
 * The connection as of @p generation was lost. Connects again, or else leaves a descriptor
 * that reads sleep on, and goes on trying.
 */
void preload_lost(int fd, struct netlink_socket *s, uint32_t generation);

/** Before a request: connects again at once where the connection was lost. */
bool preload_connected(int fd, struct netlink_socket *s);

/** A greeted connection of ours, blocking and close-on-exec; -1 with errno. */
int preload_dial(uint32_t protocol, uint32_t flags);

/* preload_answer.c: a request that the daemon did not live to answer. */

/** @p message is sent (NULL: it was not), its answer has come, the connection was lost before. */
void preload_answer_await(struct netlink_socket *s, const struct msghdr *message);
void preload_answer_arrived(struct netlink_socket *s, const struct msghdr *message, size_t size);
void preload_answer_lost(struct netlink_socket *s);
/** True: in @p message is the answer, *@p size is what recvmsg() returns. */
bool preload_answer_owed(struct netlink_socket *s, struct msghdr *message, int flags,
			 ssize_t *size);

/* preload_xfrm.c: what the program had installed, for a daemon that starts anew. */

/** The program's messages; @p arrived is false when they could not be sent. */
void preload_xfrm_sent(const struct msghdr *message, bool arrived);
/** Over a connection of our own. */
void preload_xfrm_restore(int fd);
/** True: in @p message is news of SAs that went with a daemon, *@p size bytes. */
bool preload_xfrm_expired(const struct msghdr *message, int flags, ssize_t *size);

/* preload_bulk.c. NULL when bulk is not wanted, or no memory is there. */
struct bulk *preload_bulk_new(int fd);
/** Waits until all that was deferred is answered: another socket is about to ask. */
void preload_bulk_settle(void);
/** True: the message was taken, *@p size is what sendmsg() returns. */
bool preload_bulk_send(int fd, struct bulk *bulk, const struct msghdr *message, ssize_t *size);
/** True: an answer was there, *@p size is what recvmsg() returns. */
bool preload_bulk_receive(struct bulk *bulk, struct msghdr *message, int flags, ssize_t *size);
/** Sends the rest and frees @p bulk. Ends the process when something failed and it is too late to
 * tell it. */
void preload_bulk_close(int fd, struct bulk *bulk);

/* preload_heap.c. The next buffer of an answer's size that the program allocates is lent. */
void preload_heap_lend(bool on);

/** What Pewter says of an interface, by name, or by index where @p name is "". */
struct interface_facts {
	char name[16];
	uint32_t index, flags, mtu, txqlen;
};
/** 0, or -1 with errno (ENODEV where there is none). */
int preload_interface(struct interface_facts *facts);

/* preload_tunnel.c. SIOCGETTUNNEL and its like, on a fallback device (sit0) or the tunnel's. */
struct ifreq;
int preload_tunnel(unsigned long request, struct ifreq *ifr);

#endif
