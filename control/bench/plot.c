/* SPDX-License-Identifier: BSD-3-Clause */
/* SVG pictures that need nothing but a browser. */
#include "control/bench/bench.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define WIDTH  880
#define LEFT   220
#define RIGHT  60
#define TOP    40
#define BAR    22
#define STEP   30
#define HEIGHT 420 /* of the picture with lines */

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

/* One size and worker count tell the story of stages. */
static bool shown(const struct pw_bench_row *row, const struct pw_bench_row *first)
{
	return row->size == first->size && row->workers == first->workers;
}

/* ---- cycles by stage --------------------------------------------------------------------- */

static void bar(FILE *file, const struct pw_bench_row *row, const struct pw_bench_result *result,
		double scale, int y)
{
	char size[16], routes[16], peers[16];
	double x = LEFT;

	fprintf(file,
		"<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s %s, %s routes, %s PE</text>\n",
		LEFT - 8, y + 15, pw_bench_work_names[row->work],
		pw_bench_size_text(row->size, size), pw_bench_count_text(row->routes, routes),
		pw_bench_count_text(row->peers, peers));
	for (unsigned int i = 0; pw_bench_stage_name(i); i++) {
		double width = result->best.stage[i] * scale;

		if (result->best.stage[i] < 0.05)
			continue;
		fprintf(file,
			"<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\">"
			"<title>%s %.1f</title></rect>\n",
			x, y, width, BAR, colours[i % COLOURS], pw_bench_stage_name(i),
			result->best.stage[i]);
		x += width;
	}
	fprintf(file, "<text x=\"%.1f\" y=\"%d\">%.1f</text>\n", x + 4, y + 15, result->cycles.min);
}

static void legend(FILE *file, const double *most, int y)
{
	int x = 12;

	for (unsigned int i = 0; pw_bench_stage_name(i); i++) {
		if (most[i] < 0.05)
			continue;
		if (x > WIDTH - 140) {
			x = 12;
			y += 18;
		}
		fprintf(file,
			"<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>"
			"<text x=\"%d\" y=\"%d\">%s</text>\n",
			x, y, colours[i % COLOURS], x + 16, y + 11, pw_bench_stage_name(i));
		x += 30 + 7 * (int)strlen(pw_bench_stage_name(i));
	}
}

static int plot_stages(const char *folder, const struct pw_bench_row *rows, int count)
{
	double most = 1, stages[PW_BENCH_STAGES] = {0};
	struct pw_bench_result result;
	int bars = 0, y = TOP;
	FILE *file;

	for (int i = 0; i < count; i++) {
		if (pw_bench_is_lookup(rows[i].work) || !shown(&rows[i], &rows[0]) ||
		    !pw_bench_result(&rows[i], &result))
			continue;
		bars++;
		most = fmax(most, result.cycles.min);
		for (unsigned int k = 0; k < PW_BENCH_STAGES; k++)
			stages[k] = fmax(stages[k], result.best.stage[k]);
	}
	if (!bars)
		return 0;
	file = begin(folder, "stages", TOP + bars * STEP + 60,
		     "Cycles a packet by stage, one worker (fewest of the repetitions)");
	if (!file)
		return -EIO;
	for (int i = 0; i < count; i++) {
		if (pw_bench_is_lookup(rows[i].work) || !shown(&rows[i], &rows[0]) ||
		    !pw_bench_result(&rows[i], &result))
			continue;
		bar(file, &rows[i], &result, (WIDTH - LEFT - RIGHT) / most, y);
		y += STEP;
	}
	legend(file, stages, y + 12);
	return end(file);
}

/* ---- cycles by routes -------------------------------------------------------------------- */

static double x_of(uint32_t routes)
{
	return LEFT / 3.0 + (WIDTH - LEFT - RIGHT) * log10(routes) / log10(2000000);
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

/* One line for each kind of row and number of remote PEs. */
static void line(FILE *file, const struct pw_bench_row *rows, int count, int from, double most,
		 const char *colour)
{
	struct pw_bench_result result;
	double x = 0, y = 0;
	char peers[16];

	fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
	for (int i = from; i < count; i++)
		if (rows[i].work == rows[from].work && rows[i].peers == rows[from].peers &&
		    shown(&rows[i], &rows[from]) && pw_bench_result(&rows[i], &result)) {
			x = x_of(rows[i].routes);
			y = y_of(result.cycles.min, most);
			fprintf(file, "%.1f,%.1f ", x, y);
		}
	fprintf(file, "\"/>\n");
	if (x > 0)
		fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s%s%s</text>\n", x + 6,
			y + 4, colour, pw_bench_work_names[rows[from].work],
			rows[from].peers > 1 ? ", PEs " : "",
			rows[from].peers > 1 ? pw_bench_count_text(rows[from].peers, peers) : "");
}

static bool first_of_line(const struct pw_bench_row *rows, int at)
{
	for (int i = 0; i < at; i++)
		if (rows[i].work == rows[at].work && rows[i].peers == rows[at].peers)
			return false;
	return true;
}

static int plot_routes(const char *folder, const struct pw_bench_row *rows, int count)
{
	struct pw_bench_result result;
	unsigned int lines = 0;
	double most = 1;
	FILE *file;

	for (int i = 0; i < count; i++)
		if (pw_bench_result(&rows[i], &result))
			most = fmax(most, result.cycles.min);
	file = begin(folder, "routes", HEIGHT, "Cycles a packet by number of routes");
	if (!file)
		return -EIO;
	axes(file, most * 1.05);
	for (int i = 0; i < count; i++)
		if (first_of_line(rows, i))
			line(file, rows, count, i, most * 1.05, colours[lines++ % COLOURS]);
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
	ret = plot_stages(folder, rows, count);
	return ret ? ret : plot_routes(folder, rows, count);
}
