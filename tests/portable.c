/* Draws what stdin lists, a line each as "kernel" has it in vectors/stream_v1.json, and writes the bytes to stdout.

   cc -I../src_c <the flags of setup.py> portable.c ../src_c/isa.c ../src_c/part.c ../src_c/parallel.c -lm
   ./a.out            the instruction sets that this build can use here, a line each
   ./a.out ISA THREADS <lines >bytes */
#include "fastinit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int never(void *context)
{
    (void)context;
    return 0;
}

static int refuse(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return 1;
}

static int draw_all(const fi_isa *isa, int threads)
{
    char law[32], dtype[32];
    fi_draw draw = {0};
    fi_part part;
    int parameters;
    while (scanf("%31s %31s %" SCNu64 " %" SCNu64 " %" SCNu64 " %d", law, dtype, &draw.seed, &draw.stream, &part.start,
                 &parameters) == 6) {
        int kind = 0;
        while (kind < FI_KINDS && (strcmp(fi_kinds[kind].law, law) || strcmp(fi_kinds[kind].dtype, dtype)))
            kind++;
        if (kind == FI_KINDS || parameters > FI_PARAMETERS)
            return refuse("unknown kernel");
        for (int i = 0; i < parameters; i++)
            if (scanf("%la", &draw.parameters[i]) != 1)
                return refuse("parameters are missing");
        if (scanf("%d", &part.axes) != 1 || part.axes > FI_MAX_AXES)
            return refuse("axes are missing");
        for (int i = 0; i < part.axes; i++)
            if (scanf("%" SCNu64 " %" SCNd64, &part.axis[i].count, &part.axis[i].step) != 2)
                return refuse("an axis is missing");

        int64_t bytes = fi_kinds[kind].itemsize;
        for (int i = part.axes - 1; i >= 0; i--) {
            part.axis[i].stride = bytes;
            bytes *= (int64_t)part.axis[i].count;
        }
        part.out = malloc((size_t)bytes);
        if (!part.out)
            return refuse("out of memory");
        fi_fill(isa, kind, &draw, &part, threads, never, NULL);
        fwrite(part.out, 1, (size_t)bytes, stdout);
        free(part.out);
    }
    return feof(stdin) ? 0 : refuse("not a kernel's line");
}

int main(int count, char **arguments)
{
    for (int i = 0; i < fi_isa_count; i++)
        if (fi_isas[i].supported()) {
            if (count == 1)
                puts(fi_isas[i].name);
            else if (!strcmp(fi_isas[i].name, arguments[1]))
                return draw_all(&fi_isas[i], count > 2 ? atoi(arguments[2]) : 1);
        }
    return count == 1 ? 0 : refuse("unknown instruction set");
}
