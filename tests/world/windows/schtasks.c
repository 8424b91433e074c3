/* schtasks /create /run /end /query /delete, of tasks that start with the host or when they are told to. A task is a file below
 * C:\windows\system32\Tasks, as on Windows: its schedule and its command, a line each. `/onstart` is for the host's own start. */
#include "win.h"
#include "wmiprvse.h"

#define TASKS L"C:\\windows\\system32\\Tasks"

static const WCHAR *name, *command, *schedule, *format = L"table";
static BOOL forced, bare;

static int failed(const WCHAR *words)
{
    say(ERRORS, L"错误: %ls\r\n", words);
    return 1;
}

static void file_of(const WCHAR *task, const WCHAR *suffix, WCHAR *path)
{
    swprintf(path, MAX_PATH * 2, TASKS L"\\%ls%ls", task + (*task == L'\\'), suffix);
}

static BOOL read_task(const WCHAR *path, WCHAR *when, WCHAR *line)
{
    FILE *file = _wfopen(path, L"r, ccs=UTF-8");
    BOOL well = file && fgetws(when, 32, file) && fgetws(line, LONGEST, file);

    if (file)
        fclose(file);
    if (well) {
        when[wcscspn(when, L"\n")] = 0;
        line[wcscspn(line, L"\n")] = 0;
    }
    return well;
}

/* The task's process, 0 where it has none. */
static DWORD running(const WCHAR *task)
{
    WCHAR path[MAX_PATH * 2];
    DWORD pid = 0, code = 0;
    FILE *file;

    file_of(task, L".pid", path);
    if (!(file = _wfopen(path, L"r")))
        return 0;
    if (fscanf(file, "%lu", &pid) != 1)
        pid = 0;
    fclose(file);
    HANDLE process = pid ? OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid) : NULL;
    if (!process || !GetExitCodeProcess(process, &code) || code != STILL_ACTIVE)
        pid = 0;
    if (process)
        CloseHandle(process);
    return pid;
}

static int create(void)
{
    WCHAR path[MAX_PATH * 2];
    FILE *file;

    if (!command || !schedule)
        return unknown(L"schtasks /create", L"without /tr and /sc");
    file_of(name, L"", path);
    if (!forced && GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES)
        return failed(L"任务名已存在。要替换它吗 (Y/N)?");
    for (WCHAR *at = path + wcslen(TASKS) + 1; (at = wcschr(at, L'\\')); *at++ = L'\\') {
        *at = 0;
        CreateDirectoryW(path, NULL);
    }
    if (!(file = _wfopen(path, L"w, ccs=UTF-8")))
        return failed(L"拒绝访问。");
    fwprintf(file, L"%ls\n%ls\n", schedule, command);
    fclose(file);
    say(OUTPUT, L"成功: 成功创建计划任务 \"%ls\"。\r\n", name);
    return 0;
}

/* A task that runs already is not started a second time, which is Windows's default too. */
static int start(const WCHAR *task)
{
    WCHAR path[MAX_PATH * 2], when[32], line[LONGEST];
    struct answer answer;
    FILE *file;

    file_of(task, L"", path);
    if (!read_task(path, when, line))
        return failed(L"系统找不到指定的文件。");
    if (!running(task)) {
        answer = start_outside(line);
        file_of(task, L".pid", path);
        if (!answer.error && (file = _wfopen(path, L"w"))) {
            fprintf(file, "%lu\n", answer.pid);
            fclose(file);
        }
    }
    say(OUTPUT, L"成功: 尝试运行 \"%ls\"。\r\n", task);
    return 0;
}

static int end(void)
{
    WCHAR line[64];
    DWORD pid = running(name);

    if (pid) {
        swprintf(line, 64, L"taskkill.exe /t /f /pid %lu", pid);
        start_outside(line);
    }
    say(OUTPUT, L"成功: 已经结束了计划任务 \"%ls\" 的运行。\r\n", name);
    return 0;
}

static int query(void)
{
    WCHAR path[MAX_PATH * 2], when[32], line[LONGEST];
    const WCHAR *state;

    file_of(name, L"", path);
    if (!read_task(path, when, line))
        return failed(L"系统找不到指定的文件。");
    state = running(name) ? L"正在运行" : L"就绪";
    if (!_wcsicmp(format, L"csv")) {
        say(OUTPUT, L"%ls", bare ? L"" : L"\"任务名\",\"下次运行时间\",\"模式\"\r\n");
        say(OUTPUT, L"\"\\%ls\",\"N/A\",\"%ls\"\r\n", name + (*name == L'\\'), state);
    } else {
        say(OUTPUT, L"%ls", bare ? L"" : L"\r\n文件夹: \\\r\n任务名 下次运行时间 模式\r\n==== ==== ====\r\n");
        say(OUTPUT, L"%-40ls %-22ls %ls\r\n", wcsrchr(name, L'\\') ? wcsrchr(name, L'\\') + 1 : name, L"N/A", state);
    }
    return 0;
}

static int drop(void)
{
    WCHAR path[MAX_PATH * 2];

    file_of(name, L"", path);
    if (!DeleteFileW(path))
        return failed(L"系统找不到指定的文件。");
    file_of(name, L".pid", path);
    DeleteFileW(path);
    say(OUTPUT, L"成功: 计划的任务 \"%ls\" 被成功删除。\r\n", name);
    return 0;
}

static void start_all(const WCHAR *folder)
{
    WCHAR path[MAX_PATH * 2], when[32], line[LONGEST];
    WIN32_FIND_DATAW found;
    HANDLE search;

    swprintf(path, MAX_PATH * 2, TASKS L"%ls\\*", folder);
    search = FindFirstFileW(path, &found);
    for (BOOL more = search != INVALID_HANDLE_VALUE; more; more = FindNextFileW(search, &found)) {
        if (found.cFileName[0] == L'.')
            continue;
        swprintf(path, MAX_PATH * 2, L"%ls\\%ls", folder, found.cFileName);
        if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) {
            start_all(path);
        } else {
            WCHAR whole[MAX_PATH * 2];
            file_of(path, L"", whole);
            if (read_task(whole, when, line) && !_wcsicmp(when, L"onstart")) {
                /* A number from before the start may be another process's by now. */
                wcscat(whole, L".pid");
                DeleteFileW(whole);
                start(path);
            }
        }
    }
}

int wmain(int count, WCHAR **words)
{
    const WCHAR *verb = count > 1 ? words[1] : L"";

    if (!_wcsicmp(verb, L"/onstart")) {
        start_all(L"");
        return 0;
    }
    for (int i = 2; i < count; i++) {
        const WCHAR *word = words[i], *value = i + 1 < count ? words[i + 1] : L"";
        if (!_wcsicmp(word, L"/f"))
            forced = TRUE;
        else if (!_wcsicmp(word, L"/nh"))
            bare = TRUE;
        else if (!_wcsicmp(word, L"/tn"))
            name = value, i++;
        else if (!_wcsicmp(word, L"/tr"))
            command = value, i++;
        else if (!_wcsicmp(word, L"/fo"))
            format = value, i++;
        else if (!_wcsicmp(word, L"/sc") && (!_wcsicmp(value, L"onstart") || !_wcsicmp(value, L"once")))
            schedule = value, i++;
        else if (!_wcsicmp(word, L"/ru") || !_wcsicmp(word, L"/rl") || !_wcsicmp(word, L"/st") || !_wcsicmp(word, L"/sd"))
            i++;
        else
            return unknown(L"schtasks", word);
    }
    if (!name || !*name)
        return unknown(L"schtasks", L"without /tn");
    return !_wcsicmp(verb, L"/create") ? create() : !_wcsicmp(verb, L"/run") ? start(name) : !_wcsicmp(verb, L"/end") ? end()
         : !_wcsicmp(verb, L"/query") ? query() : !_wcsicmp(verb, L"/delete") ? drop() : unknown(L"schtasks", verb);
}
