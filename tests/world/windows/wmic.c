/* wmic: wine's own knows no other process's command line, and starts processes inside of the session's job. This one answers
 *   process get A,B,... [/value]      os get A,B,... [/value]      process call create "LINE"
 * with the real one's CR CR LF on a pipe and its UTF-16 in a file. It takes no `where`. */
#include "win.h"
#include "wmiprvse.h"
#include <tlhelp32.h>
#include <winternl.h>

#define MOST 16
static WCHAR *names[MOST], *cells[1024][MOST];
static int columns, rows;

static void print(const WCHAR *format, ...)
{
    static WCHAR text[40000];
    va_list list;
    DWORD written;

    va_start(list, format);
    int length = _vsnwprintf(text, 39990, format, list);
    va_end(list);
    if (GetFileType(GetStdHandle(OUTPUT)) != FILE_TYPE_DISK) {
        say(OUTPUT, L"%ls\r\r\n", text);
        return;
    }
    wcscpy(text + length, L"\r\n");
    if (SetFilePointer(GetStdHandle(OUTPUT), 0, NULL, FILE_CURRENT) == 0)
        WriteFile(GetStdHandle(OUTPUT), "\xff\xfe", 2, &written, NULL);
    WriteFile(GetStdHandle(OUTPUT), text, (DWORD)wcslen(text) * 2, &written, NULL);
}

/* Out of the process's own memory, where Windows keeps it. */
static WCHAR *command_line(DWORD pid)
{
    HANDLE process = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, pid);
    PROCESS_BASIC_INFORMATION basic;
    RTL_USER_PROCESS_PARAMETERS parameters, *at;
    WCHAR *line = NULL;

    if (process && !NtQueryInformationProcess(process, ProcessBasicInformation, &basic, sizeof basic, NULL) &&
        ReadProcessMemory(process, &basic.PebBaseAddress->ProcessParameters, &at, sizeof at, NULL) &&
        ReadProcessMemory(process, at, &parameters, sizeof parameters, NULL)) {
        line = calloc(parameters.CommandLine.Length / 2 + 1, 2);
        ReadProcessMemory(process, parameters.CommandLine.Buffer, line, parameters.CommandLine.Length, NULL);
    }
    if (process)
        CloseHandle(process);
    return line ? line : _wcsdup(L"");
}

static WCHAR *executable(DWORD pid)
{
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
    WCHAR path[MAX_PATH] = L"";
    DWORD size = MAX_PATH;

    if (process) {
        QueryFullProcessImageNameW(process, 0, path, &size);
        CloseHandle(process);
    }
    return _wcsdup(path);
}

static WCHAR *number(DWORD value)
{
    WCHAR text[16];
    swprintf(text, 16, L"%lu", value);
    return _wcsdup(text);
}

static WCHAR *moment(LARGE_INTEGER time)
{
    SYSTEMTIME parts;
    FILETIME file = { time.LowPart, time.HighPart }, local;
    TIME_ZONE_INFORMATION zone;
    WCHAR text[40];

    GetTimeZoneInformation(&zone);
    FileTimeToLocalFileTime(&file, &local);
    FileTimeToSystemTime(&local, &parts);
    swprintf(text, 40, L"%04d%02d%02d%02d%02d%02d.%03d000%+04ld", parts.wYear, parts.wMonth, parts.wDay, parts.wHour, parts.wMinute,
             parts.wSecond, parts.wMilliseconds, -zone.Bias);
    return _wcsdup(text);
}

static WCHAR *registry(const WCHAR *name)
{
    WCHAR text[256] = L"";
    DWORD size = sizeof text;
    RegGetValueW(HKEY_LOCAL_MACHINE, L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion", name, RRF_RT_REG_SZ, NULL, text, &size);
    return _wcsdup(text);
}

static WCHAR *os_value(const WCHAR *name)
{
    struct { LARGE_INTEGER boot, now, bias; ULONG rest[8]; } times = { 0 };
    WCHAR text[300], *build = registry(L"CurrentBuildNumber");

    NtQuerySystemInformation(3 /* SystemTimeOfDayInformation */, &times, 48, NULL);
    if (!_wcsicmp(name, L"LastBootUpTime"))
        return moment(times.boot);
    if (!_wcsicmp(name, L"LocalDateTime"))
        return moment(times.now);
    if (!_wcsicmp(name, L"BuildNumber"))
        return build;
    if (!_wcsicmp(name, L"OSArchitecture"))
        return _wcsdup(L"64 位");
    swprintf(text, 300, L"Microsoft %ls", registry(L"ProductName"));
    if (!_wcsicmp(name, L"Caption"))
        return _wcsdup(text);
    swprintf(text, 300, L"10.0.%ls", build);
    return !_wcsicmp(name, L"Version") ? _wcsdup(text) : NULL;
}

static WCHAR *process_value(const WCHAR *name, const PROCESSENTRY32W *entry)
{
    if (!_wcsicmp(name, L"CommandLine"))
        return command_line(entry->th32ProcessID);
    if (!_wcsicmp(name, L"ExecutablePath"))
        return executable(entry->th32ProcessID);
    if (!_wcsicmp(name, L"Name"))
        return _wcsdup(entry->szExeFile);
    if (!_wcsicmp(name, L"ProcessId"))
        return number(entry->th32ProcessID);
    return !_wcsicmp(name, L"ParentProcessId") ? number(entry->th32ParentProcessID) : NULL;
}

static BOOL add_row(const PROCESSENTRY32W *entry)
{
    for (int i = 0; i < columns; i++)
        if (!(cells[rows][i] = entry ? process_value(names[i], entry) : os_value(names[i])))
            return FALSE;
    rows++;
    return TRUE;
}

static void show(BOOL values)
{
    WCHAR line[39000];

    if (!values) {
        for (int row = -1; row < rows; row++) {
            line[0] = 0;
            for (int i = 0; i < columns; i++) {
                size_t width = wcslen(names[i]);
                for (int other = 0; other < rows; other++)
                    if (wcslen(cells[other][i]) > width)
                        width = wcslen(cells[other][i]);
                _snwprintf(line + wcslen(line), 39000 - wcslen(line), L"%-*ls", (int)width + 2, row < 0 ? names[i] : cells[row][i]);
            }
            print(L"%ls", line);
        }
        print(L"");
        return;
    }
    for (int row = 0; row < rows; row++) {
        print(L""), print(L"");
        for (int i = 0; i < columns; i++)
            print(L"%ls=%ls", names[i], cells[row][i]);
    }
    print(L""), print(L""), print(L"");
}

static int by_name(const void *one, const void *other)
{
    return _wcsicmp(*(WCHAR **)one, *(WCHAR **)other);
}

/* The real one writes its own spelling of a property, whatever it was asked by. */
static WCHAR *spelling(WCHAR *name)
{
    static WCHAR *known[] = { L"CommandLine", L"ExecutablePath", L"Name", L"ProcessId", L"ParentProcessId", L"LastBootUpTime",
                              L"LocalDateTime", L"BuildNumber", L"OSArchitecture", L"Caption", L"Version" };
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (!_wcsicmp(known[i], name))
            return known[i];
    return name;
}

static int get(BOOL processes, int count, WCHAR **words)
{
    PROCESSENTRY32W entry = { .dwSize = sizeof entry };
    HANDLE list = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    BOOL values = FALSE, well = TRUE;
    WCHAR *name;

    for (int i = 0; i < count; i++) {
        if (!_wcsicmp(words[i], L"/value") || !_wcsicmp(words[i], L"/format:list")) {
            values = TRUE;
            continue;
        }
        for (name = wcstok(words[i], L", "); name && columns < MOST; name = wcstok(NULL, L", "))
            names[columns++] = spelling(name);
    }
    qsort(names, columns, sizeof *names, by_name);
    if (!processes)
        well = add_row(NULL);
    for (BOOL more = processes && Process32FirstW(list, &entry); more && well && rows < 1024; more = Process32NextW(list, &entry))
        well = add_row(&entry);
    if (!well || !columns) {
        say(ERRORS, L"节点 - VM\r\n错误:\r\n描述 = 无效查询\r\n");
        return 1;
    }
    show(values);
    return 0;
}

/* The return values are the real one's: 9 no such file, 8 any other failure. */
static int create(const WCHAR *line)
{
    struct answer answer = start_outside(line);

    print(L"执行(Win32_Process)->Create()");
    print(L"方法执行成功。");
    print(L"外参数:");
    print(L"instance of __PARAMETERS");
    print(L"{");
    if (!answer.error)
        print(L"\tProcessId = %lu;", answer.pid);
    print(L"\tReturnValue = %d;", !answer.error ? 0 : answer.error == ERROR_FILE_NOT_FOUND ? 9 : 8);
    print(L"};");
    print(L"");
    return 0;
}

int wmain(int count, WCHAR **words)
{
    BOOL processes = count > 1 && !_wcsicmp(words[1], L"process");

    if (count > 3 && (processes || !_wcsicmp(words[1], L"os")) && !_wcsicmp(words[2], L"get"))
        return get(processes, count - 3, words + 3);
    if (count == 5 && processes && !_wcsicmp(words[2], L"call") && !_wcsicmp(words[3], L"create"))
        return create(words[4]);
    return unknown(L"wmic", count > 2 ? words[2] : L"");
}
