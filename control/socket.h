/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_SOCKET_H
#define PW_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/** The API socket: where it is, and who may connect. */

#define PW_SOCKET_PATH    "/run/pewter/pewter.sock"
#define PW_SOCKET_GROUP   "pewter"
#define PW_SOCKET_CLIENTS 4096 /* at most; fewer where the limit of open files is lower */

/** User or group ids besides root, the daemon's own user and the group "pewter". */
struct pw_id_list {
	uint32_t *ids;
	size_t count;
};

struct pw_socket_options {
	const char *path; /* NULL: PW_SOCKET_PATH */
	struct pw_id_list uids;
	struct pw_id_list gids;
};

/**
 * Listens, in a directory that is made if need be. A socket that a dead daemon left is
 * replaced. Mode 0660 and the group "pewter" where it exists; with lists of further users the
 * file is open to all, and the lists decide. @p options must outlive the socket.
 * Returns 0, -EADDRINUSE (another daemon listens there) or -errno, with one sentence in @p error.
 */
int pw_socket_open(const struct pw_socket_options *options, char *error, size_t size);

/** Closes the clients and removes the socket. */
void pw_socket_close(void);

#endif
