/* SPDX-License-Identifier: BSD-3-Clause */
/* SVG pictures that need nothing but a browser. */
#include "control/bench/bench.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define WIDTH        880
#define LEFT         300
#define RIGHT        90
#define TOP          40
#define BAR          22
#define STEP         30
#define HEIGHT       420 /* of the pictures with lines */

#define LEAST        0.05 /* cycles that can be seen */
#define RATIO_LEFT   60
#define FLOOR_NAME   "cryptography alone"
#define FLOOR_COLOUR "#444444"

/* Told apart by those who see colours differently, too (after Okabe and Ito). */
static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9",
				      "#d55e00", "#f0e442", "#999999", "#44aa99", "#882255"};
#define COLOURS (sizeof(colours) / sizeof(colours[0]))

static FILE *begin(const char *folder, const char *name, int height, const char *title)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.svg", folder, name);
	file = fopen(path, "w");
	if (!file) {
		fprintf(stderr, "pewter-bench: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	fprintf(file,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		"<text x=\"12\" y=\"22\" font-size=\"15\">%s</text>\n",
		WIDTH, height, title);
	return file;
}

static int end(FILE *file)
{
	fprintf(file, "</svg>\n");
	return fclose(file) ? -EIO : 0;
}

/* A round step for about six lines of a scale. */
static double step_of(double most)
{
	double step = pow(10, floor(log10(most / 6)));

	if (most / step > 30)
		return step * 5;
	return most / step > 12 ? step * 2 : step;
}

/* One worker and one size tell the story of stages in clear; sealed rows are few. */
static bool shown(const struct pw_bench_row *row, const struct pw_bench_row *first)
{
	return row->workers == first->workers && !row->own &&
	       (row->size == first->size || row->suite);
}

/* What a bar or a line is, after the work. */
static const char *words(const struct pw_bench_row *row, char *text, size_t room)
{
	char size[16], routes[16], peers[16];

	if (row->suite)
		snprintf(text, room, "%s %s, %s, %s r., %s PE", pw_bench_work_names[row->work],
			 pw_bench_algorithm_name(row->suite), pw_bench_size_text(row->size, size),
			 pw_bench_count_text(row->routes, routes),
			 pw_bench_count_text(row->peers, peers));
	else
		snprintf(text, room, "%s %s, %s routes, %s PE", pw_bench_work_names[row->work],
			 pw_bench_size_text(row->size, size),
			 pw_bench_count_text(row->routes, routes),
			 pw_bench_count_text(row->peers, peers));
	return text;
}

/* ---- cycles by stage --------------------------------------------------------------------- */

/* What a picture shows of the stages: the most of each, and so which have a colour. */
struct shown_stages {
	double most[PW_BENCH_STAGES];
	double floor;
};

static const char *colour_of(const struct shown_stages *stages, unsigned int stage)
{
	unsigned int rank = 0;

	for (unsigned int i = 0; i < stage; i++)
		rank += stages->most[i] >= LEAST;
	return colours[rank % COLOURS];
}

static double piece(FILE *file, double x, int y, double cycles, double scale, const char *colour,
		    const char *name)
{
	if (cycles < LEAST)
		return x;
	fprintf(file,
		"<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\">"
		"<title>%s %.1f</title></rect>\n",
		x, y, cycles * scale, BAR, colour, name, cycles);
	return x + cycles * scale;
}

/* The stage that calls the engine: its cryptography is shown apart. */
static bool seals(const char *stage)
{
	return !strncmp(stage, "esp-", 4);
}

static void bar(FILE *file, const struct pw_bench_row *row, const struct pw_bench_result *result,
		const struct shown_stages *stages, double scale, int y)
{
	double x = LEFT;
	char text[100];

	fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", LEFT - 8, y + 15,
		words(row, text, sizeof(text)));
	for (unsigned int i = 0; pw_bench_stage_name(i); i++) {
		double cycles = result->best.stage[i];
		double floor = seals(pw_bench_stage_name(i)) ? fmin(result->floor.min, cycles) : 0;

		x = piece(file, x, y, floor, scale, FLOOR_COLOUR, FLOOR_NAME);
		x = piece(file, x, y, cycles - floor, scale, colour_of(stages, i),
			  pw_bench_stage_name(i));
	}
	fprintf(file, "<text x=\"%.1f\" y=\"%d\">%.1f", x + 4, y + 15, result->cycles.min);
	if (result->ratio > 0)
		fprintf(file, " (%.2f)", result->ratio);
	fprintf(file, "</text>\n");
}

static void legend_item(FILE *file, int *x, int *y, const char *colour, const char *name)
{
	if (*x > WIDTH - 140) {
		*x = 12;
		*y += 18;
	}
	fprintf(file,
		"<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>"
		"<text x=\"%d\" y=\"%d\">%s</text>\n",
		*x, *y, colour, *x + 16, *y + 11, name);
	*x += 30 + 7 * (int)strlen(name);
}

static void legend(FILE *file, const struct shown_stages *stages, int y)
{
	int x = 12;

	if (stages->floor > 0)
		legend_item(file, &x, &y, FLOOR_COLOUR, FLOOR_NAME);
	for (unsigned int i = 0; pw_bench_stage_name(i); i++)
		if (stages->most[i] >= LEAST)
			legend_item(file, &x, &y, colour_of(stages, i), pw_bench_stage_name(i));
}

static bool has_bar(const struct pw_bench_row *rows, int i, bool sealed,
		    struct pw_bench_result *result)
{
	return !pw_bench_is_lookup(rows[i].work) && sealed == (rows[i].suite != NULL) &&
	       shown(&rows[i], &rows[0]) && pw_bench_result(&rows[i], result);
}

static int plot_stages(const char *folder, const char *name, bool sealed,
		       const struct pw_bench_row *rows, int count)
{
	struct shown_stages stages = {0};
	double most = 1;
	struct pw_bench_result result;
	int bars = 0, y = TOP;
	FILE *file;

	for (int i = 0; i < count; i++) {
		if (!has_bar(rows, i, sealed, &result))
			continue;
		bars++;
		most = fmax(most, result.cycles.min);
		stages.floor = fmax(stages.floor, result.floor.min);
		for (unsigned int k = 0; k < PW_BENCH_STAGES; k++)
			stages.most[k] = fmax(stages.most[k], result.best.stage[k]);
	}
	if (!bars)
		return 0;
	file = begin(folder, name, TOP + bars * STEP + 60,
		     sealed ? "Cycles a packet by stage, one worker; in brackets: times the floor"
			    : "Cycles a packet by stage, one worker (fewest of the repetitions)");
	if (!file)
		return -EIO;
	for (int i = 0; i < count; i++)
		if (has_bar(rows, i, sealed, &result)) {
			bar(file, &rows[i], &result, &stages, (WIDTH - LEFT - RIGHT) / most, y);
			y += STEP;
		}
	legend(file, &stages, y + 12);
	return end(file);
}

/* ---- ratio to the floor by size ---------------------------------------------------------- */

static double ratio_x(double size)
{
	return RATIO_LEFT + (WIDTH - RATIO_LEFT - 240) * (log2(size) - 6) / (log2(1500) - 6);
}

static double ratio_y(double ratio, double most)
{
	return HEIGHT - 40 - (HEIGHT - 40 - TOP) * (ratio - 1) / (most - 1);
}

/* Of the plainest tables: size and algorithm are what is shown. */
static bool in_ratio(const struct pw_bench_row *rows, int i, struct pw_bench_result *result)
{
	return rows[i].suite && rows[i].workers == rows[0].workers && !rows[i].own &&
	       rows[i].size != PW_BENCH_IMIX && rows[i].routes == rows[0].routes &&
	       rows[i].peers == rows[0].peers && pw_bench_result(&rows[i], result);
}

static bool same_ratio(const struct pw_bench_row *a, const struct pw_bench_row *b)
{
	return a->work == b->work && a->suite == b->suite;
}

static void ratio_axes(FILE *file, double most)
{
	static const uint16_t sizes[] = {64, 128, 256, 512, 1024, 1400};
	double step = most > 3 ? 0.5 : 0.1;

	for (double at = 1; at <= most + 0.001; at += step)
		fprintf(file,
			"<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
			"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>\n",
			RATIO_LEFT, ratio_x(1500), ratio_y(at, most), ratio_y(at, most),
			RATIO_LEFT - 6, ratio_y(at, most) + 4, at);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		fprintf(file, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%u</text>\n",
			ratio_x(sizes[i]), HEIGHT - 20, sizes[i]);
	fprintf(file, "<text x=\"%.1f\" y=\"%d\">bytes</text>\n", ratio_x(1500) + 8, HEIGHT - 20);
}

static void ratio_line(FILE *file, const struct pw_bench_row *rows, int count, int from,
		       double most, unsigned int number)
{
	const char *colour = colours[number % COLOURS];
	struct pw_bench_result result;

	fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
	for (int i = from; i < count; i++)
		if (same_ratio(&rows[i], &rows[from]) && in_ratio(rows, i, &result))
			fprintf(file, "%.1f,%.1f ", ratio_x(rows[i].size),
				ratio_y(fmax(result.ratio, 1), most));
	fprintf(file, "\"/>\n<text x=\"%d\" y=\"%u\" fill=\"%s\">%s %s</text>\n", WIDTH - 200,
		TOP + 10 + 18 * number, colour, pw_bench_work_names[rows[from].work],
		pw_bench_algorithm_name(rows[from].suite));
}

static int plot_ratio(const char *folder, const struct pw_bench_row *rows, int count)
{
	struct pw_bench_result result;
	unsigned int lines = 0;
	double most = 0;
	FILE *file;

	for (int i = 0; i < count; i++)
		if (in_ratio(rows, i, &result))
			most = fmax(most, ceil(result.ratio * 10) / 10);
	if (most <= 0)
		return 0;
	most = fmax(most, 1.5);
	file = begin(folder, "ratio", HEIGHT, "Stages to the cryptography alone, by size");
	if (!file)
		return -EIO;
	ratio_axes(file, most);
	for (int i = 0; i < count; i++) {
		bool first = in_ratio(rows, i, &result);

		for (int k = 0; k < i && first; k++)
			first = !same_ratio(&rows[k], &rows[i]) || !in_ratio(rows, k, &result);
		if (first)
			ratio_line(file, rows, count, i, most, lines++);
	}
	return end(file);
}

/* ---- cycles by routes -------------------------------------------------------------------- */

static double x_of(uint32_t routes)
{
	return 90 + (WIDTH - 330) * log10(routes) / log10(2000000);
}

static double y_of(double cycles, double most)
{
	return HEIGHT - 40 - (HEIGHT - 40 - TOP) * cycles / most;
}

static void axes(FILE *file, double most)
{
	static const uint32_t marks[] = {1, 100, 10000, 100000, 1000000};
	double step = step_of(most);
	char text[16];

	for (double at = 0; at <= most; at += step)
		fprintf(file,
			"<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			x_of(1), x_of(2000000), y_of(at, most), y_of(at, most), x_of(1) - 6,
			y_of(at, most) + 4, at);
	for (unsigned int i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		fprintf(file, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
			x_of(marks[i]), HEIGHT - 20, pw_bench_count_text(marks[i], text));
	fprintf(file, "<text x=\"%.1f\" y=\"%d\">routes</text>\n", x_of(2000000) + 8, HEIGHT - 20);
}

/* One line for each kind of row, algorithm and number of remote PEs. */
static bool same_line(const struct pw_bench_row *a, const struct pw_bench_row *b)
{
	return a->work == b->work && a->peers == b->peers && a->suite == b->suite &&
	       a->size == b->size && a->workers == b->workers && a->own == b->own;
}

static void line(FILE *file, const struct pw_bench_row *rows, int count, int from, double most,
		 unsigned int number)
{
	const char *colour = colours[number % COLOURS];
	struct pw_bench_result result;
	char peers[16];

	fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"",
		colour, number < COLOURS ? "" : " stroke-dasharray=\"6 3\"");
	for (int i = from; i < count; i++)
		if (same_line(&rows[i], &rows[from]) && pw_bench_result(&rows[i], &result))
			fprintf(file, "%.1f,%.1f ", x_of(rows[i].routes),
				y_of(result.cycles.min, most));
	fprintf(file, "\"/>\n<text x=\"%d\" y=\"%u\" fill=\"%s\">%s%s%s, %s PE</text>\n",
		WIDTH - 220, TOP + 10 + 18 * number, colour, pw_bench_work_names[rows[from].work],
		rows[from].suite ? " " : "",
		rows[from].suite ? pw_bench_algorithm_name(rows[from].suite) : "",
		pw_bench_count_text(rows[from].peers, peers));
}

/* Of the first row's size and number of workers, where there is more than a point. */
static bool first_of_line(const struct pw_bench_row *rows, int count, int at)
{
	int points = 0;

	if (rows[at].size != rows[0].size || rows[at].workers != rows[0].workers || rows[at].own)
		return false;
	for (int i = 0; i < count; i++) {
		if (i < at && same_line(&rows[i], &rows[at]))
			return false;
		points += same_line(&rows[i], &rows[at]);
	}
	return points > 1;
}

static int plot_routes(const char *folder, const struct pw_bench_row *rows, int count)
{
	struct pw_bench_result result;
	unsigned int lines = 0;
	double most = 1;
	FILE *file;

	for (int i = 0; i < count; i++) {
		int first = 0;

		while (first < i && !same_line(&rows[first], &rows[i]))
			first++;
		if (first_of_line(rows, count, first) && pw_bench_result(&rows[i], &result))
			most = fmax(most, result.cycles.min);
	}
	file = begin(folder, "routes", HEIGHT, "Cycles a packet by number of routes");
	if (!file)
		return -EIO;
	axes(file, most * 1.05);
	for (int i = 0; i < count; i++)
		if (first_of_line(rows, count, i))
			line(file, rows, count, i, most * 1.05, lines++);
	return end(file);
}

int pw_bench_plots(const char *folder, const struct pw_bench_row *rows, int count)
{
	int ret;

	if (mkdir(folder, 0777) && errno != EEXIST) {
		ret = -errno;
		fprintf(stderr, "pewter-bench: %s: %s\n", folder, strerror(-ret));
		return ret;
	}
	ret = plot_stages(folder, "stages", false, rows, count);
	ret = ret ? ret : plot_stages(folder, "esp", true, rows, count);
	ret = ret ? ret : plot_ratio(folder, rows, count);
	return ret ? ret : plot_routes(folder, rows, count);
}
