/* Starts cmd.exe with the command line that LABCMD holds, as Win32-OpenSSH does: raw, and in a job that ends with the session.
 * wine builds a Windows command line out of Unix arguments by quoting them, which would change the quotes that cmd.exe is to see. */
#include "win.h"

/* Whoever was started below dies with this process. */
static void into_job(HANDLE process)
{
    HANDLE job = CreateJobObjectW(NULL, NULL);
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = { 0 };

    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    AssignProcessToJobObject(job, process);
}

int wmain(void)
{
    DWORD length = GetEnvironmentVariableW(L"LABCMD", NULL, 0), code = 127;
    WCHAR *line = calloc(length + 16, sizeof *line);
    STARTUPINFOW startup = { .cb = sizeof startup };
    PROCESS_INFORMATION process;

    wcscpy(line, L"cmd.exe");
    if (length > 1) {
        wcscat(line, L" /c \"");
        GetEnvironmentVariableW(L"LABCMD", line + wcslen(line), length);
        wcscat(line, L"\"");
    }
    SetEnvironmentVariableW(L"LABCMD", NULL);
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_SUSPENDED | CREATE_NO_WINDOW, NULL, NULL, &startup, &process)) {
        say(ERRORS, L"labexec: cmd.exe could not be started: error %lu\r\n", GetLastError());
        return 127;
    }
    into_job(process.hProcess);
    ResumeThread(process.hThread);
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return (int)code;
}
