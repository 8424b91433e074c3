/* sc: wine's own starts and stops services, but neither tells their process nor changes them. Options are `name= value`, two words. */
#include "win.h"

static SC_HANDLE manager;

static int result(const WCHAR *call, BOOL well)
{
    DWORD error = GetLastError();
    WCHAR words[512] = L"";

    if (well) {
        say(OUTPUT, L"[SC] %ls 成功\r\n", call);
        return 0;
    }
    FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0, words, 512, NULL);
    say(OUTPUT, L"[SC] %ls 失败 %lu:\r\n\r\n%ls\r\n", call, error, words);
    return (int)error;
}

static void tell(const WCHAR *name, const SERVICE_STATUS_PROCESS *status, BOOL whole)
{
    static const WCHAR *states[] = { L"", L"STOPPED", L"START_PENDING", L"STOP_PENDING", L"RUNNING", L"CONTINUE_PENDING",
                                     L"PAUSE_PENDING", L"PAUSED" };
    BOOL stoppable = status->dwControlsAccepted & SERVICE_ACCEPT_STOP;

    say(OUTPUT, L"\r\nSERVICE_NAME: %ls \r\n", name);
    say(OUTPUT, L"        TYPE               : %lx  WIN32_OWN_PROCESS  \r\n", status->dwServiceType);
    say(OUTPUT, L"        STATE              : %lu  %ls \r\n", status->dwCurrentState, states[status->dwCurrentState % 8]);
    say(OUTPUT, L"                                (%ls, NOT_PAUSABLE, %ls)\r\n", stoppable ? L"STOPPABLE" : L"NOT_STOPPABLE",
        status->dwControlsAccepted & SERVICE_ACCEPT_SHUTDOWN ? L"ACCEPTS_SHUTDOWN" : L"IGNORES_SHUTDOWN");
    say(OUTPUT, L"        WIN32_EXIT_CODE    : %lu  (0x%lx)\r\n", status->dwWin32ExitCode, status->dwWin32ExitCode);
    say(OUTPUT, L"        SERVICE_EXIT_CODE  : %lu  (0x%lx)\r\n", status->dwServiceSpecificExitCode, status->dwServiceSpecificExitCode);
    say(OUTPUT, L"        CHECKPOINT         : 0x%lx\r\n        WAIT_HINT          : 0x%lx\r\n", status->dwCheckPoint, status->dwWaitHint);
    if (whole)
        say(OUTPUT, L"        PID                : %lu\r\n        FLAGS              : \r\n", status->dwProcessId);
}

static int query(SC_HANDLE service, const WCHAR *name, BOOL whole)
{
    SERVICE_STATUS_PROCESS status;
    DWORD size;

    if (!QueryServiceStatusEx(service, SC_STATUS_PROCESS_INFO, (BYTE *)&status, sizeof status, &size))
        return result(L"QueryServiceStatusEx", FALSE);
    tell(name, &status, whole);
    return 0;
}

static int query_config(SC_HANDLE service, const WCHAR *name)
{
    static const WCHAR *starts[] = { L"BOOT_START", L"SYSTEM_START", L"AUTO_START", L"DEMAND_START", L"DISABLED" };
    static BYTE buffer[8192];
    QUERY_SERVICE_CONFIGW *config = (void *)buffer;
    DWORD size;

    if (!QueryServiceConfigW(service, config, sizeof buffer, &size))
        return result(L"QueryServiceConfig", FALSE);
    result(L"QueryServiceConfig", TRUE);
    say(OUTPUT, L"\r\nSERVICE_NAME: %ls\r\n        TYPE               : %lx  WIN32_OWN_PROCESS \r\n", name, config->dwServiceType);
    say(OUTPUT, L"        START_TYPE         : %lu   %ls\r\n", config->dwStartType, starts[config->dwStartType % 5]);
    say(OUTPUT, L"        ERROR_CONTROL      : %lu   NORMAL\r\n", config->dwErrorControl);
    say(OUTPUT, L"        BINARY_PATH_NAME   : %ls\r\n        LOAD_ORDER_GROUP   : \r\n", config->lpBinaryPathName);
    say(OUTPUT, L"        TAG                : 0\r\n        DISPLAY_NAME       : %ls\r\n        DEPENDENCIES       : \r\n", config->lpDisplayName);
    say(OUTPUT, L"        SERVICE_START_NAME : %ls\r\n", config->lpServiceStartName);
    return 0;
}

struct options {
    const WCHAR *image, *display, *depend, *account;
    DWORD type, start, error;
};

static DWORD start_of(const WCHAR *word)
{
    static const WCHAR *names[] = { L"boot", L"system", L"auto", L"demand", L"disabled" };
    for (DWORD i = 0; i < 5; i++)
        if (!_wcsicmp(word, names[i]))
            return i;
    return !_wcsicmp(word, L"delayed-auto") ? SERVICE_AUTO_START : SERVICE_NO_CHANGE;
}

/* The word that is not understood, or NULL. */
static const WCHAR *read_options(struct options *options, int count, WCHAR **words)
{
    for (int i = 0; i < count; i += 2) {
        if (i + 1 == count)
            return words[i];
        if (!_wcsicmp(words[i], L"binPath="))
            options->image = words[i + 1];
        else if (!_wcsicmp(words[i], L"DisplayName="))
            options->display = words[i + 1];
        else if (!_wcsicmp(words[i], L"obj="))
            options->account = words[i + 1];
        else if (!_wcsicmp(words[i], L"start=") && start_of(words[i + 1]) != SERVICE_NO_CHANGE)
            options->start = start_of(words[i + 1]);
        else if (_wcsicmp(words[i], L"type=") || _wcsicmp(words[i + 1], L"own"))
            return words[i];
    }
    return NULL;
}

static int create(const WCHAR *name, int count, WCHAR **words)
{
    struct options options = { .start = SERVICE_DEMAND_START };
    const WCHAR *word = read_options(&options, count, words);

    if (word || !options.image)
        return unknown(L"sc create", word ? word : L"");
    return result(L"CreateService",
                  CreateServiceW(manager, name, options.display, SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS, options.start,
                                 SERVICE_ERROR_NORMAL, options.image, NULL, NULL, NULL, options.account, NULL) != NULL);
}

static int change(SC_HANDLE service, int count, WCHAR **words)
{
    struct options options = { .start = SERVICE_NO_CHANGE };
    const WCHAR *word = read_options(&options, count, words);

    if (word)
        return unknown(L"sc config", word);
    return result(L"ChangeServiceConfig", ChangeServiceConfigW(service, SERVICE_NO_CHANGE, options.start, SERVICE_NO_CHANGE, options.image,
                                                               NULL, NULL, NULL, options.account, NULL, options.display));
}

static int describe(SC_HANDLE service, WCHAR *words)
{
    SERVICE_DESCRIPTIONW description = { words };
    return result(L"ChangeServiceConfig2", ChangeServiceConfig2W(service, SERVICE_CONFIG_DESCRIPTION, &description));
}

static int stop(SC_HANDLE service, const WCHAR *name)
{
    SERVICE_STATUS status;
    if (!ControlService(service, SERVICE_CONTROL_STOP, &status))
        return result(L"ControlService", FALSE);
    return query(service, name, FALSE);
}

static int start(SC_HANDLE service, const WCHAR *name, int count, WCHAR **words)
{
    if (!StartServiceW(service, count, (const WCHAR **)words))
        return result(L"StartService", FALSE);
    return query(service, name, TRUE);
}

int wmain(int count, WCHAR **words)
{
    const WCHAR *verb = count > 1 ? words[1] : L"", *name = count > 2 ? words[2] : L"";
    SC_HANDLE service;

    if (count < 3)
        return unknown(L"sc", verb);
    manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    if (!_wcsicmp(verb, L"create"))
        return create(name, count - 3, words + 3);
    service = OpenServiceW(manager, name, SERVICE_ALL_ACCESS);
    if (!service)
        return result(!_wcsnicmp(verb, L"query", 5) ? L"EnumQueryServicesStatus:OpenService" : L"OpenService", FALSE);
    if (!_wcsicmp(verb, L"query"))
        return query(service, name, FALSE);
    if (!_wcsicmp(verb, L"queryex"))
        return query(service, name, TRUE);
    if (!_wcsicmp(verb, L"qc"))
        return query_config(service, name);
    if (!_wcsicmp(verb, L"start"))
        return start(service, name, count - 3, words + 3);
    if (!_wcsicmp(verb, L"stop"))
        return stop(service, name);
    if (!_wcsicmp(verb, L"config"))
        return change(service, count - 3, words + 3);
    if (!_wcsicmp(verb, L"description") && count == 4)
        return describe(service, words[3]);
    if (!_wcsicmp(verb, L"failure"))
        return result(L"ChangeServiceConfig2", TRUE);
    if (!_wcsicmp(verb, L"delete"))
        return result(L"DeleteService", DeleteService(service));
    return unknown(L"sc", verb);
}
