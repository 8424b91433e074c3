/* Starts what wmic and schtasks ask for. It runs since the host's start, so that its children are in no session: not in its job, and
 * without its handles, as those of the real program of this name. */
#include "win.h"
#include "wmiprvse.h"

static struct answer start(WCHAR *line)
{
    STARTUPINFOW startup = { .cb = sizeof startup };
    PROCESS_INFORMATION process = { 0 };
    struct answer answer = { 0 };

    if (!CreateProcessW(NULL, line, NULL, NULL, FALSE, CREATE_NEW_CONSOLE | CREATE_NEW_PROCESS_GROUP, NULL, L"C:\\windows\\system32",
                        &startup, &process)) {
        answer.error = GetLastError();
        return answer;
    }
    answer.pid = process.dwProcessId;
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return answer;
}

int wmain(void)
{
    static WCHAR line[LONGEST + 1];
    DWORD size;

    for (;;) {
        HANDLE pipe = CreateNamedPipeW(PIPE, PIPE_ACCESS_DUPLEX, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE, PIPE_UNLIMITED_INSTANCES,
                                       sizeof line, sizeof line, 0, NULL);
        if (pipe == INVALID_HANDLE_VALUE)
            return 1;
        if ((ConnectNamedPipe(pipe, NULL) || GetLastError() == ERROR_PIPE_CONNECTED) &&
            ReadFile(pipe, line, LONGEST * sizeof *line, &size, NULL)) {
            line[size / sizeof *line] = 0;
            struct answer answer = start(line);
            WriteFile(pipe, &answer, sizeof answer, &size, NULL);
            FlushFileBuffers(pipe);
        }
        DisconnectNamedPipe(pipe);
        CloseHandle(pipe);
    }
}
