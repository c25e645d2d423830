/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of Pewter's API in C: adds one VPN route and says what the daemon answered.
 *
 *   cc -o client client.c -lmnl
 *   ./client /run/pewter/pewter.sock 10 10.3.0.0/24 310 10.255.0.3 gre1
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <linux/rtnetlink.h>

static int api_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror(path);
		exit(1);
	}
	return fd;
}

/** Sends a request, waits for its acknowledgement. 0 or -errno, with the daemon's words. */
static int api_call(int fd, const struct nlmsghdr *request, const char **why)
{
	static char buffer[8192];
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
	const struct nlmsgerr *error;
	const struct nlattr *attribute;
	ssize_t size;

	*why = "";
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	do {
		size = recv(fd, buffer, sizeof(buffer), 0);
		if (size <= 0)
			return size ? -errno : -ECONNRESET;
	} while (nlh->nlmsg_type != NLMSG_ERROR || nlh->nlmsg_seq != request->nlmsg_seq);
	error = mnl_nlmsg_get_payload(nlh);
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_for_each(attribute, nlh,
				  sizeof(*error)) if (mnl_attr_get_type(attribute) ==
						      NLMSGERR_ATTR_MSG) *why =
			mnl_attr_get_str(attribute);
	return error->error;
}

/** The index of a link by name: RTM_GETLINK, answered by RTM_NEWLINK. */
static int link_index(int fd, const char *name)
{
	char buffer[8192];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	if (send(fd, nlh, nlh->nlmsg_len, 0) < 0 || recv(fd, buffer, sizeof(buffer), 0) <= 0)
		return 0;
	return nlh->nlmsg_type == RTM_NEWLINK ? info->ifi_index : 0;
}

int main(int argc, char **argv)
{
	char buffer[MNL_NLMSG_HDRLEN + 256] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(nlh, sizeof(*route));
	struct in_addr prefix, remote;
	struct nlattr *nest;
	char *length;
	const char *why;
	int fd, ret, link;

	if (argc != 7 || !(length = strchr(argv[3], '/')))
		return fprintf(stderr, "usage: client SOCKET TABLE PREFIX/LEN LABEL PE TUNNEL\n"),
		       2;
	*length++ = 0;
	if (inet_pton(AF_INET, argv[3], &prefix) != 1 || inet_pton(AF_INET, argv[5], &remote) != 1)
		return fprintf(stderr, "PREFIX and PE are IPv4 addresses\n"), 2;
	fd = api_connect(argv[1]);
	link = link_index(fd, argv[6]);
	if (!link)
		return fprintf(stderr, "no link %s\n", argv[6]), 1;

	nlh->nlmsg_type = RTM_NEWROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	nlh->nlmsg_seq = 1;
	route->rtm_family = AF_INET;
	route->rtm_dst_len = (unsigned char)atoi(length);
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(nlh, RTA_TABLE, (uint32_t)atoi(argv[2]));
	mnl_attr_put(nlh, RTA_DST, 4, &prefix);
	mnl_attr_put(nlh, RTA_GATEWAY, 4, &remote);
	mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)link);
	mnl_attr_put_u16(nlh, RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS);
	nest = mnl_attr_nest_start(nlh, RTA_ENCAP);
	mnl_attr_put_u32(
		nlh, MPLS_IPTUNNEL_DST,
		htonl((uint32_t)atoi(argv[4]) << MPLS_LS_LABEL_SHIFT | 1 << MPLS_LS_S_SHIFT));
	mnl_attr_nest_end(nlh, nest);

	ret = api_call(fd, nlh, &why);
	if (ret)
		fprintf(stderr, "refused: %s%s%s\n", why, *why ? ": " : "", strerror(-ret));
	close(fd);
	return ret ? 1 : 0;
}
