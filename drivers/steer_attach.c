/* SPDX-License-Identifier: BSD-3-Clause */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/port_internal.h"
#include "drivers/steer.h"
#include "lib/log.h"

#define MAPS_MAX 8

/* What the kernel said in words (netlink's extended ack), which libbpf only logs. */
static char kernel_words[256];

static int steer_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	static const char mark[] = "Kernel error message: ";
	const char *words;
	char line[512];
	size_t length;

	/* What matters comes back as an error code and is said in our own words. */
	vsnprintf(line, sizeof(line), format, arguments);
	length = strcspn(line, "\n");
	line[length] = '\0';
	words = strstr(line, mark);
	if (words)
		snprintf(kernel_words, sizeof(kernel_words), "%s", words + strlen(mark));
	else if (level != LIBBPF_DEBUG)
		pw_debug("%s", line);
	return length;
}

int pw_steer_xdp_file(void)
{
	int fd = memfd_create(PW_STEER_PROGRAM, MFD_CLOEXEC);

	libbpf_set_print(steer_log);
	if (fd < 0)
		return -errno;
	if (write(fd, pw_steer_xdp, pw_steer_xdp_size) != (ssize_t)pw_steer_xdp_size) {
		close(fd);
		return -EIO;
	}
	return fd;
}

/* The name of a loaded program; "" when it cannot be read. */
static void program_name(uint32_t id, char name[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	name[0] = '\0';
	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0)
		memcpy(name, info.name, BPF_OBJ_NAME_LEN);
	close(fd);
}

bool pw_steer_program_is_ours(uint32_t id, char name[PW_STEER_NAME_SIZE])
{
	program_name(id, name);
	return strcmp(name, PW_STEER_PROGRAM) == 0;
}

int pw_steer_xdp_clear(uint32_t ifindex, const char *interface, char *error, size_t size)
{
	char name[BPF_OBJ_NAME_LEN];
	uint32_t id = 0;
	int result = bpf_xdp_query_id(ifindex, 0, &id);

	pw_steer_tc_clear(ifindex);
	if (result < 0)
		return pw_port_refuse(result, error, size, "%s: XDP cannot be asked about: %s",
				      interface, strerror(-result));
	if (id == 0)
		return 0;
	if (!pw_steer_program_is_ours(id, name))
		return pw_port_refuse(-EBUSY, error, size,
				      "%s has an XDP program of another owner (id %u, name \"%s\")",
				      interface, id, name);
	pw_info("%s: replacing the steering program of a pewterd that is gone", interface);
	result = bpf_xdp_detach(ifindex, 0, NULL);
	if (result < 0)
		return pw_port_refuse(result, error, size,
				      "%s: the old steering program cannot be removed: %s",
				      interface, strerror(-result));
	return 0;
}

void pw_steer_xdp_detach(uint32_t ifindex)
{
	char name[BPF_OBJ_NAME_LEN];
	uint32_t id = 0;

	if (bpf_xdp_query_id(ifindex, 0, &id) == 0 && id != 0 && pw_steer_program_is_ours(id, name))
		bpf_xdp_detach(ifindex, 0, NULL);
}

static int load_refuse(int result, char *error, size_t size)
{
	return pw_port_refuse(result, error, size, "the steering program cannot be loaded: %s%s",
			      strerror(-result),
			      result == -EPERM ? " (it needs CAP_BPF and CAP_NET_ADMIN)" : "");
}

int pw_steer_xdp_try(uint32_t ifindex, const char *name, char *error, size_t size)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = PW_STEER_PROGRAM);
	struct bpf_object *object;
	int program, result;

	libbpf_set_print(steer_log);
	object = bpf_object__open_mem(pw_steer_xdp, pw_steer_xdp_size, &options);
	if (!object)
		return load_refuse(-errno, error, size);
	result = bpf_object__load(object);
	if (result) {
		bpf_object__close(object);
		return load_refuse(result, error, size);
	}
	program = bpf_program__fd(bpf_object__find_program_by_name(object, PW_STEER_PROGRAM));
	kernel_words[0] = '\0';
	result = bpf_xdp_attach(ifindex, program, XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
	if (result == 0)
		result = bpf_xdp_detach(ifindex, 0, NULL);
	bpf_object__close(object);
	if (result)
		return pw_port_refuse(result, error, size, "%s takes no XDP program: %s", name,
				      kernel_words[0] ? kernel_words : strerror(-result));
	return 0;
}

/*
 * The descriptor of a BPF object that this process has open. (Asking the kernel for one by id
 * would need CAP_SYS_ADMIN.)
 */
static int own_descriptor(const char *kind, uint32_t id)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	int found = -ENOENT;

	if (!directory)
		return -errno;
	while (found < 0 && (entry = readdir(directory))) {
		union {
			struct bpf_prog_info program;
			struct bpf_map_info map;
		} info = {0};
		uint32_t length = sizeof(info);
		char target[64];
		int fd = atoi(entry->d_name);
		ssize_t end =
			readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		target[end < 0 ? 0 : end] = '\0';
		if (strcmp(target, kind) != 0)
			continue;
		/* Both kinds of information begin with type and id. */
		if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.map.id == id)
			found = fd;
	}
	closedir(directory);
	return found;
}

int pw_steer_xdp_find(struct pw_steer *steer, uint32_t ifindex)
{
	struct pw_steer found = {.config = -1, .local4 = -1, .local6 = -1, .vlans = -1, .xsks = -1};
	const struct {
		const char *name;
		int *fd;
	} wanted[] = {
		{PW_STEER_CONFIG, &found.config}, {PW_STEER_LOCAL4, &found.local4},
		{PW_STEER_LOCAL6, &found.local6}, {PW_STEER_VLANS, &found.vlans},
		{PW_STEER_XSKS, &found.xsks},
	};
	uint32_t maps[MAPS_MAX] = {0};
	struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)maps};
	uint32_t length = sizeof(info);
	uint32_t id = 0;
	int result = bpf_xdp_query_id(ifindex, 0, &id);

	if (result < 0)
		return result;
	found.program = own_descriptor("anon_inode:bpf-prog", id);
	if (found.program < 0)
		return found.program;
	if (bpf_obj_get_info_by_fd(found.program, &info, &length) < 0)
		return -errno;
	for (uint32_t i = 0; i < RTE_MIN(info.nr_map_ids, (uint32_t)MAPS_MAX); i++) {
		int fd = own_descriptor("anon_inode:bpf-map", maps[i]);
		struct bpf_map_info map = {0};

		length = sizeof(map);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &map, &length) < 0)
			continue;
		for (size_t j = 0; j < RTE_DIM(wanted); j++)
			if (strcmp(map.name, wanted[j].name) == 0)
				*wanted[j].fd = fd;
	}
	for (size_t j = 0; j < RTE_DIM(wanted); j++)
		if (*wanted[j].fd < 0)
			return -ENOENT;
	*steer = found;
	steer->loaded = true;
	return 0;
}

int pw_steer_skb_load(struct pw_steer *steer, char *error, size_t size)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = PW_STEER_PROGRAM);
	struct bpf_object *object;
	int result;

	libbpf_set_print(steer_log);
	object = bpf_object__open_mem(pw_steer_skb, pw_steer_skb_size, &options);
	if (!object)
		return pw_port_refuse(-errno, error, size, "the steering program is unreadable: %s",
				      strerror(errno));
	result = bpf_object__load(object);
	if (result) {
		bpf_object__close(object);
		return load_refuse(result, error, size);
	}
	*steer = (struct pw_steer){
		.loaded = true,
		.object = object,
		.config = bpf_object__find_map_fd_by_name(object, PW_STEER_CONFIG),
		.local4 = bpf_object__find_map_fd_by_name(object, PW_STEER_LOCAL4),
		.local6 = bpf_object__find_map_fd_by_name(object, PW_STEER_LOCAL6),
		.vlans = bpf_object__find_map_fd_by_name(object, PW_STEER_VLANS),
		.program = -1,
		.xsks = -1,
	};
	return 0;
}
