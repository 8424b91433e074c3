/* How wmic and schtasks have a process started outside of the session: a line goes in, an answer comes out. */
#ifndef WMIPRVSE_H
#define WMIPRVSE_H
#include "win.h"

#define PIPE L"\\\\.\\pipe\\wmiprvse"
#define LONGEST 8191

struct answer {
    DWORD error, pid;
};

static inline struct answer start_outside(const WCHAR *line)
{
    struct answer answer = { 0 };
    DWORD size;

    /* Between two callers there is no pipe for a moment. */
    for (int tries = 0; tries < 500; tries++) {
        if (CallNamedPipeW(PIPE, (void *)line, (DWORD)(wcslen(line) * sizeof *line), &answer, sizeof answer, &size, 10000))
            return answer;
        Sleep(10);
    }
    answer.error = GetLastError();
    return answer;
}
#endif
