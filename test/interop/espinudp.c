/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux takes ESP out of UDP only at a socket that says so (udp(7), UDP_ENCAP), which is an IKE
 * daemon's affair. This opens one at port 4500 and sleeps. It brings no C library, so that it is
 * small enough to be handed to a guest in a shell script (x86-64).
 */
#include <linux/in.h>
#include <linux/udp.h>
#include <sys/syscall.h>

#define PORT 4500

static long call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

__attribute__((used)) void _start(void)
{
	struct sockaddr_in any = {.sin_family = 2 /* AF_INET */,
				  .sin_port = __builtin_bswap16(PORT)};
	int type = UDP_ENCAP_ESPINUDP;
	long fd = call(SYS_socket, 2, 2 /* SOCK_DGRAM */, IPPROTO_UDP, 0, 0);

	if (fd < 0 || call(SYS_bind, fd, (long)&any, sizeof(any), 0, 0) ||
	    call(SYS_setsockopt, fd, IPPROTO_UDP, UDP_ENCAP, (long)&type, sizeof(type)))
		call(SYS_exit, 1, 0, 0, 0, 0);
	for (;;)
		call(SYS_pause, 0, 0, 0, 0, 0);
}
