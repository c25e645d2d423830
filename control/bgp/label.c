/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/label.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/bgp/message.h"
#include "lib/log.h"

struct entry {
	char vrf[IFNAMSIZ];
	uint32_t label;
};

static struct entry *entries;
static unsigned int entry_count;
static char path[256];
static bool changed, known;

static struct entry *entry_find(const char *vrf)
{
	for (unsigned int i = 0; i < entry_count; i++)
		if (strcmp(entries[i].vrf, vrf) == 0)
			return &entries[i];
	return NULL;
}

static const struct entry *entry_with(uint32_t label)
{
	for (unsigned int i = 0; i < entry_count; i++)
		if (entries[i].label == label)
			return &entries[i];
	return NULL;
}

static struct entry *entry_add(const char *vrf)
{
	struct entry *larger = reallocarray(entries, entry_count + 1, sizeof(*entries));

	if (!larger)
		return NULL;
	entries = larger;
	memset(&entries[entry_count], 0, sizeof(*entries));
	snprintf(entries[entry_count].vrf, sizeof(entries->vrf), "%s", vrf);
	return &entries[entry_count++];
}

int bgp_labels_load(const char *file)
{
	char line[128], vrf[IFNAMSIZ];
	unsigned int label, number = 0;
	struct entry *entry;
	struct stat status;
	FILE *stream;

	snprintf(path, sizeof(path), "%s", file);
	stream = fopen(path, "re");
	if (!stream) {
		if (errno == ENOENT)
			return 0;
		pw_error("%s: %s", path, strerror(errno));
		return -errno;
	}
	if (fstat(fileno(stream), &status) || !S_ISREG(status.st_mode)) {
		pw_error("%s: not a regular file", path);
		fclose(stream);
		return -EINVAL;
	}
	while (fgets(line, sizeof(line), stream)) {
		number++;
		if (*line == '#' || *line == '\n')
			continue;
		/* A line that is damaged costs one VRF its label, not the PE its service. */
		if (sscanf(line, "vrf %15s label %u", vrf, &label) != 2 ||
		    label < BGP_LABEL_FIRST || label > BGP_LABEL_MAX || entry_find(vrf) ||
		    entry_with(label)) {
			pw_warning("%s:%u: not understood, ignored", path, number);
			continue;
		}
		entry = entry_add(vrf);
		if (entry)
			entry->label = label;
		known = true;
	}
	fclose(stream);
	return 0;
}

uint32_t bgp_label_take(const char *vrf, uint32_t fixed, uint32_t first, uint32_t last)
{
	struct entry *entry = entry_find(vrf);
	uint32_t label;

	if (fixed)
		return fixed;
	if (entry && entry->label >= first && entry->label <= last)
		return entry->label;
	for (label = first; label <= last && entry_with(label); label++)
		;
	if (label > last)
		return 0;
	if (!entry)
		entry = entry_add(vrf);
	if (!entry)
		return 0;
	entry->label = label;
	changed = true;
	return label;
}

static int write_all(const char *name)
{
	FILE *stream = fopen(name, "we");
	int ret = 0;

	if (!stream)
		return -errno;
	fprintf(stream, "# The labels of this PE's VRFs, kept by pewter-bgp.\n");
	for (unsigned int i = 0; i < entry_count; i++)
		fprintf(stream, "vrf %s label %u\n", entries[i].vrf, entries[i].label);
	if (fflush(stream) || fsync(fileno(stream)) || ferror(stream))
		ret = errno ? -errno : -EIO;
	if (fclose(stream) && !ret)
		ret = -errno;
	return ret;
}

static void sync_folder(const char *name)
{
	char copy[sizeof(path)];
	int fd;

	snprintf(copy, sizeof(copy), "%s", name);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

void bgp_labels_save(void)
{
	char name[sizeof(path) + 8], copy[sizeof(path)];
	int ret;

	if (!changed || !*path)
		return;
	snprintf(copy, sizeof(copy), "%s", path);
	mkdir(dirname(copy), 0755); /* where it is there already this fails, and well so */
	snprintf(name, sizeof(name), "%s.new", path);
	ret = write_all(name);
	if (!ret && rename(name, path))
		ret = -errno;
	if (ret) {
		pw_error("%s: %s: labels may change with the next start", name, strerror(-ret));
		return;
	}
	sync_folder(path);
	changed = false;
}

bool bgp_labels_known(void)
{
	return known;
}

void bgp_labels_free(void)
{
	free(entries);
	entries = NULL;
	entry_count = 0;
	changed = known = false;
}
