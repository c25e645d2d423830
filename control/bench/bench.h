/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_BENCH_H
#define PW_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * pewter-bench: the daemon's own graph, tables and message handlers in one process, fed by a
 * port that hands out packets from memory.
 *
 *   main.c        options, the order of things
 *   options.c     command line -> rows
 *   daemon.c      the daemon's parts, up and down
 *   message.c     netlink messages as `ip` would send them
 *   site.c        what is configured: VRFs, routes, labels, peers
 *   security.c    SAs and policies, for one algorithm at a time
 *   policies.c    policies of the customers' VRFs, for one row at a time
 *   packet.c      the packets of a row
 *   sealed.c      those that arrive as ESP, sealed ahead
 *   measure.c     one repetition, on the workers
 *   floor.c       the cryptography alone
 *   churn.c       forwarding while routes change
 *   lookup.c      the routing table against rte_lpm and rte_fib
 *   arithmetic.c  minima, medians, spread, noise
 *   report.c      table, JSON, CSV
 *   goals.c       what it should cost at most
 *   compare.c     against the JSON of another run
 *   plot.c        SVG
 */

enum pw_bench_work {
	PW_BENCH_IMPOSE,   /* customer -> core */
	PW_BENCH_DISPOSE,  /* core -> customer */
	PW_BENCH_TRANSIT,  /* customer -> customer of the same VRF */
	PW_BENCH_POLICY_1, /* the same past the VRF's policies, so many each way */
	PW_BENCH_POLICY_100,
	PW_BENCH_POLICY_10000,
	PW_BENCH_IMPOSE_ESP,
	PW_BENCH_ESP_DISPOSE,
	PW_BENCH_TUNNEL_IMPOSE,  /* off-net site -> core, ESP both times */
	PW_BENCH_DISPOSE_TUNNEL, /* core -> off-net site, the same */
	PW_BENCH_LOOKUP,         /* longest prefix match alone; Pewter's table */
	PW_BENCH_LOOKUP_LPM,
	PW_BENCH_LOOKUP_FIB,
	PW_BENCH_WORKS,
};
extern const char *const pw_bench_work_names[PW_BENCH_WORKS];

static inline bool pw_bench_is_lookup(enum pw_bench_work work)
{
	return work >= PW_BENCH_LOOKUP;
}

static inline bool pw_bench_is_sealed(enum pw_bench_work work)
{
	return work == PW_BENCH_IMPOSE_ESP || work == PW_BENCH_ESP_DISPOSE ||
	       work == PW_BENCH_TUNNEL_IMPOSE || work == PW_BENCH_DISPOSE_TUNNEL;
}

/** Packets come from off-net sites, by ESP in tunnel mode. */
static inline bool pw_bench_from_tunnel(enum pw_bench_work work)
{
	return work == PW_BENCH_TUNNEL_IMPOSE;
}

/** Packets go to them. */
static inline bool pw_bench_to_tunnel(enum pw_bench_work work)
{
	return work == PW_BENCH_DISPOSE_TUNNEL;
}

static inline bool pw_bench_is_tunnel(enum pw_bench_work work)
{
	return pw_bench_from_tunnel(work) || pw_bench_to_tunnel(work);
}

/** Packets come as ESP. */
static inline bool pw_bench_is_opened(enum pw_bench_work work)
{
	return work == PW_BENCH_ESP_DISPOSE || pw_bench_is_tunnel(work);
}

/** Policies of the customers' VRFs each way; 0: no policies. */
static inline uint32_t pw_bench_policies(enum pw_bench_work work)
{
	switch (work) {
	case PW_BENCH_POLICY_1:
		return 1;
	case PW_BENCH_POLICY_100:
		return 100;
	case PW_BENCH_POLICY_10000:
		return 10000;
	default:
		return 0;
	}
}

/** Packets stay among customers. */
static inline bool pw_bench_is_transit(enum pw_bench_work work)
{
	return work == PW_BENCH_TRANSIT || pw_bench_policies(work);
}

/** Packets come by the core port. */
static inline bool pw_bench_is_inward(enum pw_bench_work work)
{
	return work == PW_BENCH_DISPOSE || pw_bench_is_opened(work);
}

/** Packets leave by the core port. */
static inline bool pw_bench_is_outward(enum pw_bench_work work)
{
	return work == PW_BENCH_IMPOSE || work == PW_BENCH_IMPOSE_ESP || pw_bench_is_tunnel(work);
}

#define PW_BENCH_STAGES  24
#define PW_BENCH_WORKERS 8
#define PW_BENCH_IMIX    0 /* as a size */
#define PW_BENCH_BURST   64

/** What one repetition measured; cycles are TSC cycles a packet. */
struct pw_bench_sample {
	double whole;
	double stages; /* all of them, without the bench port's own work */
	double receive, transmit;
	double stage[PW_BENCH_STAGES]; /* by position in the graph */
	double fill;                   /* packets a call of a stage */
	double mpps;                   /* of all workers together */
	double floor;                  /* the cryptography alone, with one key */
	double floor_keys;             /* with the row's keys, where they are many */
};

struct pw_crypto_suite;

struct pw_bench_row {
	enum pw_bench_work work;
	uint16_t size; /* bytes of the customer's IP packet, or PW_BENCH_IMIX */
	uint32_t routes;
	uint32_t peers;                      /* remote PEs, or off-net sites */
	const struct pw_crypto_suite *suite; /* NULL: in clear */
	uint16_t workers;
	bool own; /* each worker has remote PEs, so SAs, of its own; else they share all */
	struct pw_bench_sample *samples;
	unsigned int kept, capacity;
	unsigned int discarded; /* preempted */
	uint32_t used;          /* most packets that a repetition took of those sealed ahead */
	bool absent;            /* DPDK's table is not to be had at this size */
};

/** Minimum, quartiles, median of one quantity over the repetitions. */
struct pw_bench_spread {
	double min, low, median, high, max;
};

/** What is reported of a row. */
struct pw_bench_result {
	struct pw_bench_spread cycles, whole;
	struct pw_bench_spread floor, floor_keys; /* all zero where there is none */
	double ratio;                             /* least cycles to least floor; or 0 */
	struct pw_bench_sample best; /* the repetition with the fewest cycles in the stages */
	double mpps;                 /* median of the repetitions */
	double gbps;                 /* of customers' IP packets */
};

/** What prefixes are like. */
enum pw_bench_table {
	PW_BENCH_RANDOM,   /* /24 all over the place */
	PW_BENCH_DENSE,    /* one /24 after the other */
	PW_BENCH_INTERNET, /* lengths as in the Internet's table; lookup rows only */
};

struct pw_bench_options {
	unsigned int works; /* bit set of enum pw_bench_work */
	uint16_t sizes[16];
	unsigned int size_count;
	uint32_t routes[8];
	unsigned int route_count;
	uint32_t peers[4];
	unsigned int peer_count;
	const struct pw_crypto_suite *suites[8];
	unsigned int suite_count;
	uint16_t workers[4];
	unsigned int worker_count;
	bool shared, own;   /* SAs, of several workers */
	unsigned int given; /* bit set of lists that were chosen, not left to the default */
	uint16_t workers_max;
	uint16_t cpus[PW_BENCH_WORKERS];
	bool cpus_given;
	unsigned int repetitions;
	unsigned int microseconds; /* of one repetition */
	unsigned int seconds;      /* of all of them, 0 = without end */
	unsigned int churn;        /* changes of routes a second to measure beside; 0: do not */
	enum pw_bench_table table;
	bool no_huge;
	bool strict, quiet;
	const char *json, *csv, *plots, *compare, *frames;
};

/* ---- options.c --------------------------------------------------------------------------- */

/** 0: run; 1: --help or --version was answered; 2: one line on stderr says what is wrong. */
int pw_bench_options_parse(int argc, char **argv, struct pw_bench_options *options);

/** Makes the rows, those of an algorithm together. The number, or -ENOMEM. */
int pw_bench_rows_make(const struct pw_bench_options *options, struct pw_bench_row **rows);
void pw_bench_rows_free(struct pw_bench_row *rows, int count);

/* ---- arithmetic.c ------------------------------------------------------------------------ */

/** Simple IMIX: 7 packets of 64 bytes, 4 of 576, 1 of 1500, well mixed. */
#define PW_BENCH_IMIX_PERIOD 12
extern const uint16_t pw_bench_imix[PW_BENCH_IMIX_PERIOD];

/** Another number below 2^@p bits (at most 31), a different one for each @p x below that. */
uint32_t pw_bench_mix(uint32_t x, unsigned int bits);

/** Mean bytes of a packet of a row's size. */
double pw_bench_size_mean(uint16_t size);

/** Sorts @p values. @p count at least 1. */
struct pw_bench_spread pw_bench_spread(double *values, unsigned int count);

/** False when no repetition was left. */
bool pw_bench_result(const struct pw_bench_row *row, struct pw_bench_result *result);

/** How two measurements of a row compare. */
enum pw_bench_verdict { PW_BENCH_SAME, PW_BENCH_FASTER, PW_BENCH_SLOWER };

/**
 * A change counts when the minima and the medians agree on its direction and both differ by
 * more than @p band percent: a shared machine moves each of them alone.
 */
enum pw_bench_verdict pw_bench_verdict(double old_min, double old_median, double new_min,
				       double new_median, double band);

/**
 * The noise band in percent: what separates minimum and median of the run that is noisier, and
 * never less than 2.
 */
double pw_bench_band(double min_a, double median_a, double min_b, double median_b);

/* ---- daemon.c ---------------------------------------------------------------------------- */

struct pw_bench_lane;
extern struct pw_bench_lane *pw_bench_lanes; /* one a worker */
extern uint16_t pw_bench_port_ce, pw_bench_port_core;

/** Brings up EAL, tables, workers, two bench ports. 0 or -errno, having said why. */
int pw_bench_daemon_start(const struct pw_bench_options *options);
void pw_bench_daemon_stop(void);

/** What the event loop does after a round: resolve, publish, reclaim. */
void pw_bench_daemon_round(void);

/* ---- message.c: each handled at once; 0 or -errno, having said why ------------------------ */

struct nlmsghdr;

/** A message in the one buffer (PW_BENCH_MESSAGE bytes), and its fixed part, zero. */
#define PW_BENCH_MESSAGE 1024
struct nlmsghdr *pw_bench_message(uint16_t type, uint16_t flags, size_t header, void **payload);
int pw_bench_message_handle(uint32_t protocol, const struct nlmsghdr *nlh, const char *what,
			    const char *name);

int pw_bench_vrf(const char *name, uint32_t table);
int pw_bench_vlan(const char *name, uint32_t parent, uint16_t id);
int pw_bench_gre(const char *name, uint32_t local);
int pw_bench_xfrm(const char *name, uint32_t if_id);
int pw_bench_link_set(uint32_t link, uint32_t master, uint32_t mtu);
int pw_bench_address(uint32_t link, uint32_t address, uint8_t length);
int pw_bench_neighbour(uint32_t link, uint32_t address, const uint8_t *mac, size_t size);
int pw_bench_route(uint32_t table, uint32_t prefix, uint8_t length, uint32_t gateway,
		   uint32_t link);
int pw_bench_route_encap(uint32_t table, uint32_t prefix, uint8_t length, uint32_t gateway,
			 uint32_t link, uint32_t label);
int pw_bench_route_delete(uint32_t table, uint32_t prefix, uint8_t length);
int pw_bench_label(uint32_t label, uint32_t vrf_link);

/* ---- site.c ------------------------------------------------------------------------------ */

/** Addresses, in host order. */
#define PW_BENCH_PE        0x0aff0001u /* 10.255.0.1, where tunnels end */
#define PW_BENCH_CORE      0xc0000201u /* 192.0.2.1/30 and its neighbour */
#define PW_BENCH_CORE_NEXT 0xc0000202u
#define PW_BENCH_PEERS     0x0a400000u /* 10.64.0.0/10, the remote PEs */
#define PW_BENCH_SITES     0x0b000000u /* 11.0.0.0/8, where off-net sites' tunnels end */
#define PW_BENCH_OFF_NET   0x40000000u /* 64.0.0.0/2, a /24 of it inside each of them */
#define PW_BENCH_IF_ID     42          /* of the IPsec interface of all of them */
#define PW_BENCH_CE        0x0a000001u /* 10.0.0.1/30 in every VRF, and the customer's router */
#define PW_BENCH_CE_NEXT   0x0a000002u
/** Where remote PEs are many, each VRF's routes lead to so many of them. */
#define PW_BENCH_PEERS_A_VRF 48
extern const uint8_t pw_bench_mac_core[6], pw_bench_mac_ce[6];

/** A set of VRFs with the same kind of routes. */
struct pw_bench_site {
	bool local; /* routes to the customer's router, else to remote PEs */
	uint32_t routes, vrfs, peers;
	uint16_t vlan;  /* of its first VRF; 0 = its one VRF is the port's, untagged */
	uint32_t table; /* of its first VRF */
	bool built;
	double seconds; /* that the routes took */
	size_t memory;  /* bytes that their tables took */
};

/** How many remote PEs a row's packets go to or come from; or off-net sites. */
uint32_t pw_bench_row_peers(const struct pw_bench_row *row);

/** The site whose traffic a row is, built by pw_bench_sites_build(). */
const struct pw_bench_site *pw_bench_site_of(const struct pw_bench_row *row);

/** Builds what the rows need. 0 or -errno, having said why. */
int pw_bench_sites_build(const struct pw_bench_options *options, struct pw_bench_row *rows,
			 int count);

/** The monotonic clock. */
double pw_bench_seconds(void);

/** What was built, in words. */
void pw_bench_sites_print(FILE *out);

/** The /24 prefix (host order), remote PE and label of route @p j of the site's VRF @p v. */
uint32_t pw_bench_site_prefix(const struct pw_bench_site *site, uint32_t v, uint32_t j);
uint32_t pw_bench_site_peer(const struct pw_bench_site *site, uint32_t v, uint32_t j);
uint32_t pw_bench_site_label(uint32_t v);

/** A route like that of the given number, to a part of its prefix. 0 or -errno, having said why. */
int pw_bench_site_route(const struct pw_bench_site *site, uint32_t v, uint32_t j, uint32_t prefix,
			uint8_t length);
uint32_t pw_bench_site_own_label(const struct pw_bench_site *site, uint32_t v);

/* ---- security.c -------------------------------------------------------------------------- */

struct pw_sa;

/** "gcm128" and the like, or the suite's own name; NULL without one. */
const char *pw_bench_algorithm_name(const struct pw_crypto_suite *suite);
/** NULL when there is none of that name. */
const struct pw_crypto_suite *pw_bench_algorithm_find(const char *name);

/**
 * Seals what goes between this PE and @p peers remote ones, and refuses it in clear, and has a
 * tunnel from and to each of @p tunnels off-net sites; NULL undoes that. Afterwards nothing else is
 * protected. 0 or -errno, having said why.
 */
int pw_bench_security_set(const struct pw_crypto_suite *suite, uint32_t peers, uint32_t tunnels);

/** The SA to the @p peer th (from 0) of those that the work's packets go to, that is set now. */
const struct pw_sa *pw_bench_sa_out(enum pw_bench_work work, uint32_t peer);

/** The SA from the @p peer th of those that the work's packets come from. */
const struct pw_sa *pw_bench_sa_in(enum pw_bench_work work, uint32_t peer);

/** The next number of that one that no packet has had. */
uint64_t pw_bench_sa_number(enum pw_bench_work work, uint32_t peer);

#define PW_BENCH_WINDOW 1024 /* of inward SAs */

/** A line of JSON: a sealed frame of a row and the keys to open it with. */
void pw_bench_frame_print(FILE *out, const struct pw_bench_row *row, const uint8_t *frame,
			  size_t length);

/* ---- policies.c -------------------------------------------------------------------------- */

/** The VRFs of the row's site have the row's policies, and no others have any. 0 or -errno. */
int pw_bench_policies_set(const struct pw_bench_row *row);

/* ---- packet.c ---------------------------------------------------------------------------- */

struct rte_mbuf;

/** Makes a row's packets, without end and with no two in the same order. */
struct pw_bench_stream {
	const struct pw_bench_site *site;
	enum pw_bench_work work;
	const struct pw_crypto_suite *suite;
	uint32_t peers, peer_step, peer_first; /* which of the remote PEs: every step th */
	uint8_t header[128];                   /* up to the payload; fields below are filled in */
	uint16_t header_size;                  /* bytes copied, a multiple of 64 */
	uint16_t esp;                          /* where the ESP header is; 0 = in clear */
	uint16_t inner;                        /* where the customer's IP header is */
	uint32_t inner_sum, outer_sum;
	uint16_t sizes[PW_BENCH_IMIX_PERIOD];
	uint16_t size_at;
	uint64_t random;
	bool marked; /* write into the payload what is expected of the packet */
};

/** The stream of one of the row's workers. */
void pw_bench_stream_init(struct pw_bench_stream *stream, const struct pw_bench_row *row,
			  uint16_t worker, uint64_t seed);

#define PW_BENCH_HEADER_MAX 128 /* bytes that pw_bench_stream_frame() writes, at most, at first */

/**
 * Writes a frame's headers, where it comes as ESP without those of ESP, whose payload ends
 * with the customer's packet. Returns its length so far, and the remote PE or site that it is from.
 */
uint16_t pw_bench_stream_frame(struct pw_bench_stream *stream, uint8_t *frame, uint32_t *peer);
uint32_t pw_bench_stream_random(struct pw_bench_stream *stream, uint32_t bound);
void pw_bench_stream_fill(struct pw_bench_stream *stream, struct rte_mbuf **packets, uint16_t n);

/** Is a marked packet of the stream, as it was sent out of @p port, what it should be? */
bool pw_bench_stream_check(const struct pw_bench_stream *stream, uint16_t port,
			   const struct rte_mbuf *mbuf);

/* ---- sealed.c ---------------------------------------------------------------------------- */

struct pw_crypto_op;

/** Packets as remote PEs sealed them, each with a number of its own, in their order. */
struct pw_bench_sealed {
	uint8_t *memory;
	struct pw_bench_sealed_packet *packets;
	size_t memory_size, packets_size;
	uint32_t count;
	uint32_t next __attribute__((aligned(64))); /* workers that share the SAs take from here */
};

/**
 * Makes about @p count packets for each worker that has SAs of its own, or for all together, in
 * the place of those before; fewer where the memory would be too much. 0 or -errno, having said
 * why.
 */
int pw_bench_seal_ahead(const struct pw_bench_row *row, uint32_t count, bool marked, uint64_t seed);
void pw_bench_sealed_free(void);

/** What a worker's packets are taken from; NULL if the row's do not arrive sealed. */
struct pw_bench_sealed *pw_bench_sealed_of(const struct pw_bench_row *row, uint16_t worker);

/** How many were taken of those that the row's workers, or one of them, had. */
uint32_t pw_bench_sealed_used(const struct pw_bench_row *row);

/** The first frame. */
const uint8_t *pw_bench_sealed_first(uint16_t *length);

/** Hands out copies of the next up to @p n; 0 when there are no more. */
uint16_t pw_bench_sealed_take(struct pw_bench_sealed *sealed, struct rte_mbuf **packets,
			      uint16_t n);

/**
 * Puts ESP around a payload of @p length bytes, which begins behind the header and IV at @p esp,
 * all but the encryption: that is @p op. Returns the bytes from @p esp to the end of the ICV.
 */
uint16_t pw_bench_esp_write(uint8_t *esp, const struct pw_sa *sa, uint64_t number, uint16_t length,
			    struct pw_crypto_op *op);

/** Bytes in front of the payload: ESP header and IV. */
uint16_t pw_bench_esp_before(const struct pw_crypto_suite *suite);

/* ---- floor.c ----------------------------------------------------------------------------- */

/** The cryptography of a row alone, into the sample. 0; 1: it was preempted; -errno. */
int pw_bench_floor(const struct pw_bench_row *row, struct pw_bench_sample *sample);

/* ---- measure.c --------------------------------------------------------------------------- */

/** After the sites are built. 0 or -errno. */
int pw_bench_measure_init(const struct pw_bench_options *options);
void pw_bench_measure_fini(void);

/** TSC cycles of a repetition. */
uint64_t pw_bench_run_cycles(void);

/**
 * Runs a row's packets through the workers once and looks at every one. If they are sealed, the
 * first goes to @p frames, unless NULL. 0 or -errno, having said why.
 */
int pw_bench_verify(const struct pw_bench_row *row, FILE *frames);

/** One repetition, and its floor. 0; 1: it was preempted; -errno, having said why. */
int pw_bench_measure(struct pw_bench_row *row, struct pw_bench_sample *sample);

/**
 * Calls @p fn on the first worker, or on as many, each with its own @p contexts[].
 * 0; 1: it was preempted; -errno, having said why.
 */
int pw_bench_on_worker(void (*fn)(void *context), void *context);
int pw_bench_on_workers(uint16_t workers, void (*fn)(void *context), void *const contexts[]);

/**
 * Called over and over while workers are busy, until it returns an error; NULL: the control thread
 * sleeps until they are done.
 */
extern int (*pw_bench_meanwhile)(void);

/* ---- churn.c ----------------------------------------------------------------------------- */

/**
 * Measures and prints what rows in clear lose while routes change that their packets take.
 * The number of goals that were missed, or -errno, having said why.
 */
int pw_bench_churn(FILE *out, struct pw_bench_row *rows, int count,
		   const struct pw_bench_options *options);

/* ---- lookup.c ---------------------------------------------------------------------------- */

/** Makes the tables; marks the rows whose table there is not. 0 or -errno, having said why. */
int pw_bench_lookup_init(const struct pw_bench_options *options, struct pw_bench_row *rows,
			 int count);
void pw_bench_lookup_fini(void);
int pw_bench_lookup_measure(const struct pw_bench_row *row, struct pw_bench_sample *sample);
void pw_bench_lookup_print(FILE *out);

/* ---- report.c ---------------------------------------------------------------------------- */

/** The graph's stages, for the reports: @p names ends with NULL. */
void pw_bench_stages_set(const char *const *names);

/** The name of a stage by its position; NULL behind the last. */
const char *pw_bench_stage_name(unsigned int index);

void pw_bench_print(FILE *out, const struct pw_bench_row *rows, int count);

/** One line of JSON. False when the row has no result. */
bool pw_bench_json_row(FILE *out, const struct pw_bench_row *row);
int pw_bench_json(const char *path, const struct pw_bench_row *rows, int count);
int pw_bench_csv(const char *path, const struct pw_bench_row *rows, int count);

/* ---- goals.c ----------------------------------------------------------------------------- */

/** Prints each goal that the rows can answer. The number of those that were missed. */
int pw_bench_goals(FILE *out, const struct pw_bench_row *rows, int count);

/** "64", "imix" and the like. @p text has room for 16 bytes. */
const char *pw_bench_size_text(uint16_t size, char *text);
const char *pw_bench_count_text(uint32_t count, char *text);

/* ---- compare.c, plot.c ------------------------------------------------------------------- */

/** 0 or -errno, having said why. */
int pw_bench_compare(FILE *out, const char *path, const struct pw_bench_row *rows, int count);
/** Takes cycles from a line of JSON if it is the row's. */
bool pw_bench_compare_line(const char *line, const struct pw_bench_row *row, double *min,
			   double *median);

int pw_bench_plots(const char *folder, const struct pw_bench_row *rows, int count);

#endif
