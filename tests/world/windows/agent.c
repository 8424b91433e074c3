/* An agent for packages: a service where the service manager started it, else a foreground program. It answers every HTTP
 * request on 127.0.0.1:PORT with `ok VERSION`; the version is read anew each time from version.txt, in the program's directory or
 * in the one above.
 *
 *   agent.exe [--port N] [--log FILE] [--fail] [--silent]      --fail: ends at once with 3; --silent: runs and does not listen */
#include "win.h"

static int port = 8080;
static BOOL silent;
static const WCHAR *log_file;
static HANDLE stopping;
static SERVICE_STATUS_HANDLE service;

static void version(char *text, int size)
{
    WCHAR path[MAX_PATH * 2];
    FILE *file = NULL;

    for (int up = 0; up < 2 && !file; up++) {
        GetModuleFileNameW(NULL, path, MAX_PATH);
        wcscpy(wcsrchr(path, L'\\') + 1, up ? L"..\\version.txt" : L"version.txt");
        file = _wfopen(path, L"r");
    }
    if (!file || !fgets(text, size, file))
        snprintf(text, size, "unknown");
    if (file)
        fclose(file);
    text[strcspn(text, "\r\n")] = 0;
}

static void note(const WCHAR *words)
{
    char text[64], bytes[256];
    FILE *file = log_file ? _wfopen(log_file, L"ab") : NULL;

    version(text, sizeof text);
    bytes[WideCharToMultiByte(CP_OEMCP, 0, words, -1, bytes, sizeof bytes, NULL, NULL) - 1] = 0;
    fprintf(file ? file : stdout, "%s %s pid %lu\r\n", bytes, text, GetCurrentProcessId());
    fflush(stdout);
    if (file)
        fclose(file);
}

static DWORD WINAPI serve(void *unused)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    SOCKET listener, client;
    char request[4096], text[64], answer[256];
    WSADATA data;

    (void)unused;
    WSAStartup(MAKEWORD(2, 2), &data);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 16)) {
        note(L"端口被占用");
        ExitProcess(4);
    }
    while ((client = accept(listener, NULL, NULL)) != INVALID_SOCKET) {
        recv(client, request, sizeof request, 0);
        version(text, sizeof text);
        snprintf(answer, sizeof answer, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\nok %s\r\n",
                 (int)strlen(text) + 5, text);
        send(client, answer, (int)strlen(answer), 0);
        shutdown(client, SD_SEND);
        closesocket(client);
    }
    return 0;
}

static void work(void)
{
    note(L"代理已启动");
    if (!silent)
        CreateThread(NULL, 0, serve, NULL, 0, NULL);
    WaitForSingleObject(stopping, INFINITE);
    note(L"代理已停止");
}

static void report(DWORD state)
{
    SERVICE_STATUS status = { SERVICE_WIN32_OWN_PROCESS, state, SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN, 0, 0, 0, 3000 };
    SetServiceStatus(service, &status);
}

static DWORD WINAPI control(DWORD code, DWORD type, void *data, void *context)
{
    (void)type, (void)data, (void)context;
    if (code == SERVICE_CONTROL_STOP || code == SERVICE_CONTROL_SHUTDOWN) {
        report(SERVICE_STOP_PENDING);
        SetEvent(stopping);
    }
    return NO_ERROR;
}

static void WINAPI run_service(DWORD count, WCHAR **words)
{
    service = RegisterServiceCtrlHandlerExW(count ? words[0] : L"", control, NULL);
    report(SERVICE_RUNNING);
    work();
    report(SERVICE_STOPPED);
}

int wmain(int count, WCHAR **words)
{
    SERVICE_TABLE_ENTRYW table[] = { { (WCHAR *)L"", run_service }, { NULL, NULL } };

    for (int i = 1; i < count; i++) {
        if (!wcscmp(words[i], L"--port") && i + 1 < count)
            port = _wtoi(words[++i]);
        else if (!wcscmp(words[i], L"--log") && i + 1 < count)
            log_file = words[++i];
        else if (!wcscmp(words[i], L"--silent"))
            silent = TRUE;
        else if (!wcscmp(words[i], L"--fail"))
            return 3;
        else
            return unknown(L"agent", words[i]);
    }
    stopping = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!StartServiceCtrlDispatcherW(table)) {
        if (GetLastError() != ERROR_FAILED_SERVICE_CONTROLLER_CONNECT)
            return 5;
        work();
    }
    return 0;
}
