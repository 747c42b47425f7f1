/* One line per action, per command that a node executes, and per answer that a visitor gets. */
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "reference.h"
#include "script.h"

void trace_line(const char *format, ...)
{
	va_list arguments;

	printf("%11.6f  ", (double)(sched_now() - 1000000000) / 1e6);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

void trace_command_line(unsigned node, unsigned host, uint32_t connection, const struct argument *arguments,
		unsigned count)
{
	char text[400];
	size_t at = 0;

	if (count > 1 && (strncmp(arguments[0].ptr, "SCRIPT", 6) == 0)) {
		return;
	}
	for (unsigned i = 0; i < count && at + 120 < sizeof text; i++) {
		struct reference_version version;

		if (reference_decode(arguments[i].ptr, arguments[i].len, &version)) {
			char shown[100];

			reference_format(&version, shown);
			at += (size_t)snprintf(text + at, sizeof text - at, " {%s}", shown);
		} else if (arguments[i].len == 40 && script_by_sha1(arguments[i].ptr, 40) >= 0) {
			static const char *const names[] = { "put", "touch", "delete_if", "replace_if" };

			at += (size_t)snprintf(text + at, sizeof text - at, " %s", names[script_by_sha1(arguments[i].ptr, 40)]);
		} else {
			at += (size_t)snprintf(text + at, sizeof text - at, " %.*s",
					(int)(arguments[i].len > 70 ? 70 : arguments[i].len), arguments[i].ptr);
		}
	}
	trace_line("        node %u, from host %u by #%u:%s", node, host, connection, text);
}
