/* What happened, line by line, for people; costs nothing while it is off. */
#ifndef TRACE_H
#define TRACE_H

#include <stdint.h>

#include "world.h"

struct argument;

void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void trace_command_line(unsigned node, unsigned host, uint32_t connection, const struct argument *arguments,
		unsigned count);

#define trace(...) do { if (world.tracing) { trace_line(__VA_ARGS__); } } while (0)
#define trace_command(...) do { if (world.tracing) { trace_command_line(__VA_ARGS__); } } while (0)

#endif
