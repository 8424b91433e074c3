/* curl: one GET or POST of http or https, or a range of a file. Its words are in read_word. */
#include "win.h"
#include <winhttp.h>

static WCHAR url[2048], *file_name, *body_name, *header, *format, *range;
static BOOL failing;
static int patience = 60;

static WCHAR *wide(const char *text)
{
    WCHAR *copy = calloc(strlen(text) + 1, sizeof *copy);

    MultiByteToWideChar(CP_ACP, 0, text, -1, copy, (int)strlen(text) + 1);
    return copy;
}

/* -K FILE: lines `url = "..."`. */
static BOOL read_config(const WCHAR *name)
{
    char line[2048], value[2048];
    FILE *file = _wfopen(name, L"r");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, " url = \"%2000[^\"]\"", value) == 1)
            wcscpy(url, wide(value));
    return file && !fclose(file);
}

/* A word with a value behind it. */
static BOOL read_pair(const WCHAR *word, WCHAR *value)
{
    if (!wcscmp(word, L"-o"))
        file_name = value;
    else if (!wcscmp(word, L"-m") || !wcscmp(word, L"--max-time") || !wcscmp(word, L"--connect-timeout"))
        patience = _wtoi(value);
    else if (!wcscmp(word, L"--data-binary") && *value == '@')
        body_name = value + 1;
    else if (!wcscmp(word, L"-H"))
        header = value;
    else if (!wcscmp(word, L"-w"))
        format = value;
    else if (!wcscmp(word, L"-r"))
        range = value;
    else if (!wcscmp(word, L"-K"))
        return read_config(value);
    else
        return !wcscmp(word, L"--speed-limit") || !wcscmp(word, L"--speed-time");
    return TRUE;
}

static int read_words(int count, WCHAR **words)
{
    for (int i = 1; i < count; i++) {
        if (words[i][0] == L'-' && words[i][1] != L'-' && wcsspn(words[i] + 1, L"sSfLg") == wcslen(words[i]) - 1)
            failing |= wcschr(words[i], L'f') != NULL;
        else if (words[i][0] != L'-' && !*url)
            wcsncpy(url, words[i], 2047);
        else if (i + 1 < count && read_pair(words[i], words[i + 1]))
            i++;
        else
            return unknown(L"curl", words[i]);
    }
    return *url ? 0 : unknown(L"curl", L"");
}

static HANDLE target(void)
{
    return file_name ? CreateFileW(file_name, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL) : GetStdHandle(OUTPUT);
}

/* file:///C:/..., from its -r FROM-TO. */
static int copy_range(void)
{
    static char block[1 << 16];
    long long from = 0, to = -1;
    DWORD size, written;
    HANDLE source = CreateFileW(url + 8, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL), out;

    if (source == INVALID_HANDLE_VALUE)
        return 37;
    if (range)
        swscanf(range, L"%lld-%lld", &from, &to);
    SetFilePointerEx(source, (LARGE_INTEGER){ .QuadPart = from }, NULL, FILE_BEGIN);
    if ((out = target()) == INVALID_HANDLE_VALUE)
        return 23;
    for (; to < 0 || from <= to; from += size) {
        DWORD most = to >= 0 && to - from + 1 < (long long)sizeof block ? (DWORD)(to - from + 1) : sizeof block;
        if (!ReadFile(source, block, most, &size, NULL) || !size)
            break;
        if (!WriteFile(out, block, size, &written, NULL))
            return 23;
    }
    return 0;
}

static void tell(DWORD status, BOOL connected)
{
    if (format && !wcscmp(format, L"%{http_code}"))
        say(OUTPUT, L"%03lu", status);
    if (format && !wcscmp(format, L"%{time_connect}"))
        say(OUTPUT, connected ? L"0.000321" : L"0.000000");
}

static int transfer(HINTERNET request)
{
    static char block[1 << 16];
    DWORD status = 0, size = sizeof status, written;
    HANDLE to;

    WinHttpQueryHeaders(request, WINHTTP_QUERY_STATUS_CODE | WINHTTP_QUERY_FLAG_NUMBER, NULL, &status, &size, NULL);
    if (failing && status >= 400) {
        say(ERRORS, L"curl: (22) The requested URL returned error: %lu\r\n", status);
        tell(status, TRUE);
        return 22;
    }
    if ((to = target()) == INVALID_HANDLE_VALUE)
        return 23;
    while (WinHttpReadData(request, block, sizeof block, &size) && size)
        if (!WriteFile(to, block, size, &written, NULL))
            return 23;
    tell(status, TRUE);
    return 0;
}

static char *read_body(DWORD *size)
{
    FILE *file = body_name ? _wfopen(body_name, L"rb") : NULL;
    char *bytes = NULL;

    *size = 0;
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    bytes = malloc(*size + 1);
    *size = (DWORD)fread(bytes, 1, *size, file);
    fclose(file);
    return bytes;
}

int wmain(int count, WCHAR **words)
{
    WCHAR host[256], path[2048];
    URL_COMPONENTS parts = { .dwStructSize = sizeof parts, .lpszHostName = host, .dwHostNameLength = 256, .lpszUrlPath = path,
                             .dwUrlPathLength = 2048 };
    HINTERNET session, connection, request;
    DWORD size;
    char *body;
    int result;

    if (count == 2 && !wcscmp(words[1], L"--version")) {
        say(OUTPUT, L"curl 8.4.0 (Windows) libcurl/8.4.0 Schannel WinIDN\r\n");
        return 0;
    }
    if ((result = read_words(count, words)))
        return result;
    if (!wcsncmp(url, L"file:///", 8))
        return copy_range();
    if (!WinHttpCrackUrl(url, 0, 0, &parts)) {
        say(ERRORS, L"curl: (3) URL rejected\r\n");
        return 3;
    }
    if (body_name && !(body = read_body(&size)))
        return 26;
    if (!body_name)
        body = NULL, size = 0;
    session = WinHttpOpen(L"curl/8.4.0", WINHTTP_ACCESS_TYPE_NO_PROXY, NULL, NULL, 0);
    WinHttpSetTimeouts(session, patience * 1000, patience * 1000, patience * 1000, patience * 1000);
    connection = WinHttpConnect(session, host, parts.nPort, 0);
    request = WinHttpOpenRequest(connection, body_name ? L"POST" : L"GET", path, NULL, NULL, NULL, parts.nScheme == INTERNET_SCHEME_HTTPS ? WINHTTP_FLAG_SECURE : 0);
    if (!WinHttpSendRequest(request, header, header ? (DWORD)-1 : 0, body, size, size, 0) || !WinHttpReceiveResponse(request, NULL)) {
        say(ERRORS, L"curl: (7) Failed to connect to %ls port %u\r\n", host, parts.nPort);
        tell(0, FALSE);
        return GetLastError() == ERROR_WINHTTP_TIMEOUT ? 28 : 7;
    }
    return transfer(request);
}
